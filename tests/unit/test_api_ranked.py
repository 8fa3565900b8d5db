"""The ranked feed: who may see what, order, pages from what is kept, explanations, outages."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from api.models import FeedPage
from api.ranking.features import Features
from api.ranking.order import KEPT
from api.ranking.scores import Score
from api.stores import Found, Inclinations, Wanted
from api.timeline import MAX_PULLED
from schemas.views import TrendingEntry
from tests.unit.api_fakes import DAY, NOW, World, ids, problem_of

PATH = "/api/v1/feed"
HOUR = 3_600_000


@pytest.fixture
def world() -> World:
    found = World()
    found.redis.user("al")
    return found


def post(world: World, name: str, author: str, *, hours: float = 1, **more: Any) -> None:
    """A post on al's timeline, by whom al follows, with all that the stores have of one."""
    at = NOW - int(hours * HOUR)
    counts = {kind: more.pop(kind) for kind in ("reactions", "comments", "shares") if kind in more}
    reason = more.pop("reason", f"u:{author}")
    world.redis.post(name, author, at, **more)
    world.redis.counters(name, **counts)
    world.redis.user(author)
    world.redis.follow("al", author)
    world.redis.entry("al", name, reason, at)


def many(world: World, count: int, authors: int = 50) -> list[str]:
    """Posts by many authors, the better the greater their number."""
    names = [f"p{number:03}" for number in range(count)]
    for number, name in enumerate(names):
        post(world, name, f"a{number % authors}", reactions={"like": number})
    return names


def viral(world: World, name: str, author: str = "star", **more: Any) -> None:
    world.redis.post(name, author, NOW - HOUR, **more)
    world.redis.counters(name, reactions={"like": 500}, views=5_000)
    world.redis.user(author)
    world.redis.trend(TrendingEntry(name, 9.0, 90, 60, is_viral=True))


def read(world: World, user: str = "al", **params: Any) -> dict[str, Any]:
    return world.feed(user, mode="ranked", **params)


def pages(world: World, limit: int, **params: Any) -> list[dict[str, Any]]:
    found = [read(world, limit=limit, **params)]
    while found[-1]["has_more"]:
        cursor = found[-1]["next_cursor"]
        found.append(read(world, limit=limit, cursor=cursor, **params))
        assert len(found) < 300
    assert found[-1]["next_cursor"] is None
    return found


def use(world: World, ranker: Any) -> None:
    world.app.state.services.ranker = ranker


class Failing:
    """A ranker with a fault."""

    name = "failing"

    def scores(self, _rows: Sequence[Features]) -> list[Score]:
        raise KeyError("a feature")


# What stands where


def test_an_empty_feed(world: World) -> None:
    page = read(world)
    FeedPage.model_validate(page, strict=True)
    assert (page["posts"], page["has_more"], page["degraded"]) == ([], False, [])
    assert world.rankings.kept == {}


def test_what_others_and_the_reader_did_decides(world: World) -> None:
    post(world, "new", "ann", hours=0.1)
    post(world, "liked", "bob", hours=5, reactions={"like": 40})
    post(world, "near", "cy", hours=0.1)
    world.redis.inclinations["al"] = Inclinations([("u:cy", 80.0)], [])
    assert ids(read(world)) == ["liked", "near", "new"]
    assert ids(world.feed("al")) == ["new", "near", "liked"]


def test_what_the_reader_wants_less_of_stands_lower(world: World) -> None:
    for name, author in (("p", "ann"), ("q", "bob"), ("r", "cy")):
        post(world, name, author, hashtags=(name,))
    world.redis.inclinations["al"] = Inclinations([], [("t:r", 5.0), ("u:bob", 30.0)])
    assert ids(read(world)) == ["p", "r", "q"]


def test_a_post_stands_with_its_reasons_and_where_its_newest_entry_does(world: World) -> None:
    post(world, "p", "ann", hours=3)
    world.redis.entry("al", "p", "s:bob", NOW - HOUR)
    (found,) = read(world)["posts"]
    assert found["reasons"] == ["s:bob", "u:ann"]
    assert found["entry_at"].startswith("2026-01-01T11:00")
    assert found["explanation"] is None


def test_at_most_two_in_a_row_and_five_of_twenty_by_one_author(world: World) -> None:
    for number in range(30):
        post(world, f"a{number:02}", "ann", reactions={"like": 900})
    for number in range(30):
        post(world, f"b{number:02}", f"b{number}")
    names = ids(read(world, limit=20))
    authors = [name[0] for name in names]
    assert authors.count("a") == 5
    assert "aaa" not in "".join(authors)
    shown = [name for page in pages(world, 20) for name in ids(page)]
    assert len(shown) == len(set(shown)) == 60


def test_the_ranker_is_the_one_of_the_weights(world: World) -> None:
    post(world, "old", "ann", hours=9, reactions={"like": 900})
    post(world, "new", "bob", hours=1)

    class ByName:
        name = "names"

        def scores(self, rows: Sequence[Features]) -> list[Score]:
            return [Score(float(row.post_id == "new"), ()) for row in rows]

    assert ids(read(world)) == ["old", "new"]
    use(world, ByName())
    assert ids(read(world)) == ["new", "old"]


# Who may see what


def test_the_same_posts_as_in_latest(world: World) -> None:
    """Whatever is left out there is left out here."""
    rng = random.Random(5)
    world.redis.post("answered", "cy")
    for number in range(60):
        author = f"a{number}"
        fields: dict[str, Any] = {
            "visibility": rng.choice(["public", "public", "followers", "friends", "private"]),
            "is_deleted": rng.random() < 0.1,
            "reply_to": rng.choice([None, None, "answered", "unknown"]),
            "hidden_by": rng.choice([None, None, None, "reports"]),
        }
        post(world, f"p{number:02}", author, reason=rng.choice([f"u:{author}", "s:cy"]), **fields)
        if rng.random() < 0.2:
            world.redis.user(author, status="deactivated")
        if rng.random() < 0.1:
            world.redis.block("al", author)
        if rng.random() < 0.1:
            world.redis.mute("al", f"u:{author}")
        if rng.random() < 0.1:
            world.redis.hidden.add(("al", f"p{number:02}"))
    wanted = {each["post_id"]: each["reasons"] for each in world.feed("al", limit=100)["posts"]}
    found = {each["post_id"]: each["reasons"] for each in read(world, limit=100)["posts"]}
    assert found == wanted
    assert 5 < len(found) < 40


def test_viral_posts_of_others_are_candidates(world: World) -> None:
    post(world, "p", "ann")
    viral(world, "v")
    page = read(world)
    assert ids(page) == ["v", "p"]
    found = page["posts"][0]
    assert found["reasons"] == ["viral"]
    assert found["entry_at"] == found["created_at"]
    assert ids(world.feed("al")) == ["p"]


def test_a_viral_post_that_was_brought_stands_once_for_what_brought_it(world: World) -> None:
    post(world, "v", "star")
    viral(world, "v")
    assert [each["reasons"] for each in read(world)["posts"]] == [["u:star"]]


def test_a_viral_post_stands_for_that_when_what_brought_it_does_not_count(world: World) -> None:
    post(world, "v", "star", reason="s:cy")
    viral(world, "v")
    assert [each["reasons"] for each in read(world)["posts"]] == [["s:cy"]]
    world.redis.mute("al", "u:cy")
    assert [each["reasons"] for each in read(world)["posts"]] == [["viral"]]


@pytest.mark.parametrize("visibility", ["followers", "friends", "custom", "private"])
def test_only_public_posts_are_found(world: World, visibility: str) -> None:
    """Also not for who could see them."""
    viral(world, "v", visibility=visibility, audience=("al",))
    world.redis.follow("al", "star")
    world.redis.follow("star", "al")
    assert ids(read(world)) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda views: views.block("al", "star"),
        lambda views: views.mute("al", "u:star"),
        lambda views: views.mute("al", "t:x"),
        lambda views: views.hidden.add(("al", "v")),
        lambda views: views.user("star", status="deleted"),
        lambda views: views.post("v", "star", is_deleted=True),
        lambda views: views.post("v", "star", hidden_by="moderator"),
        lambda views: views.post("v", "star", reply_to="w"),
        lambda views: views.post("v", "al"),
        lambda views: views.inclinations.update(al=Inclinations([], [("u:star", 1.0)])),
    ],
    ids=[
        *("blocked", "muted", "muted topic", "hidden", "author gone", "deleted", "moderated"),
        *("a reply", "one's own", "aversion"),
    ],
)
def test_a_viral_post_that_the_reader_is_not_to_see(world: World, change: Any) -> None:
    viral(world, "v", hashtags=("x",))
    assert ids(read(world)) == ["v"]
    change(world.redis)
    assert ids(read(world)) == []


# Pages


@pytest.mark.parametrize("limit", [1, 7, 20, 100])
def test_pages_are_parts_of_one_ranking(world: World, limit: int) -> None:
    names = many(world, 130)
    found = pages(world, limit)
    shown = [name for page in found for name in ids(page)]
    assert sorted(shown) == names
    assert all(len(page["posts"]) == limit for page in found[:-1])
    assert shown == ids(read(world, limit=100)) + shown[100:]


def test_what_comes_meanwhile_moves_nothing(world: World) -> None:
    many(world, 60)
    whole = [name for page in pages(world, 10) for name in ids(page)]
    first = read(world, limit=10)
    for number in range(20):
        post(world, f"new{number}", f"n{number}", hours=0, reactions={"like": 9_999})
    for name in whole[10:30]:
        world.redis.counters(name, reactions={"like": 99_999})
    shown = ids(first)
    cursor = first["next_cursor"]
    while cursor:
        page = read(world, limit=10, cursor=cursor)
        shown += ids(page)
        cursor = page["next_cursor"]
    assert shown == whole


def spoil(world: World, way: int, name: str, author: str) -> None:
    """One of the six ways in which a post is not to be seen any more."""
    match way:
        case 0:
            world.redis.post(name, author, is_deleted=True)
        case 1:
            world.redis.post(name, author, visibility="private")
        case 2:
            world.redis.hidden.add(("al", name))
        case 3:
            world.redis.block("al", author)
        case 4:
            world.redis.mute("al", f"u:{author}")
        case 5:
            world.redis.post(name, author, hidden_by="reports")


def test_what_may_not_be_seen_any_more_is_made_up_for(world: World) -> None:
    many(world, 60)
    first = read(world, limit=10)
    rest = [name for page in pages(world, 10) for name in ids(page)][10:]
    gone = rest[:30:3]
    authors = {name: each.author_id for name, each in world.redis.found.posts.items()}
    for number, name in enumerate(gone):
        spoil(world, number % 6, name, authors[name])
    unseen = {authors[name] for n, name in enumerate(gone) if n % 6 in (3, 4)} | set(gone)
    wanted = [name for name in rest if name not in unseen and authors[name] not in unseen]
    second = read(world, limit=10, cursor=first["next_cursor"])
    assert ids(second) == wanted[:10]
    third = read(world, limit=100, cursor=second["next_cursor"])
    assert ids(third) == wanted[10:]
    assert not third["has_more"]


def test_there_is_no_more_when_nothing_more_may_be_seen(world: World) -> None:
    names = many(world, 30)
    first = read(world, limit=10)
    for name in set(names) - set(ids(first)):
        world.redis.hidden.add(("al", name))
    page = read(world, limit=10, cursor=first["next_cursor"])
    assert (page["posts"], page["has_more"], page["next_cursor"]) == ([], False, None)


def test_a_feed_of_one_page_is_not_kept(world: World) -> None:
    many(world, 20)
    assert not read(world, limit=20)["has_more"]
    assert world.rankings.kept == {}
    assert read(world, limit=19)["has_more"]
    assert len(world.rankings.kept) == 1


def test_nobody_else_can_go_on_in_it(world: World) -> None:
    many(world, 30)
    cursor = read(world, limit=10)["next_cursor"]
    asked = {"mode": "ranked", "cursor": cursor}
    response = world.ask("GET", PATH, "bo", params=asked)
    assert problem_of(response, 410)["type"].endswith(":snapshot-gone")
    assert world.ask("GET", PATH, "al", params=asked).status_code == 200


def test_what_is_kept_no_longer_is_gone(world: World) -> None:
    many(world, 30)
    cursor = read(world, limit=10)["next_cursor"]
    world.rankings.kept.clear()
    response = world.ask("GET", PATH, "al", params={"mode": "ranked", "cursor": cursor})
    assert problem_of(response, 410)["type"].endswith(":snapshot-gone")


def test_the_cursor_of_a_ranked_feed_is_none_of_latest(world: World) -> None:
    many(world, 30)
    cursor = read(world, limit=10)["next_cursor"]
    response = world.ask("GET", PATH, "al", params={"cursor": cursor})
    assert problem_of(response, 400)["type"].endswith(":bad-cursor")


@pytest.mark.parametrize("cursor", ["", "x", "Aw", "AwAA", "AwABcGFn", "AwAB" + "_" * 90])
def test_a_cursor_of_another_make_is_a_problem(world: World, cursor: str) -> None:
    response = world.ask("GET", PATH, "al", params={"mode": "ranked", "cursor": cursor})
    assert problem_of(response, 400)["type"].endswith(":bad-cursor")


def test_nothing_is_kept_of_who_is_erased(world: World) -> None:
    many(world, 30)
    world.redis.user("al", status="deleted")
    assert not read(world, limit=10)["has_more"]
    assert world.rankings.kept == {}


def test_the_newest_500_are_candidates_and_200_are_kept(world: World) -> None:
    for number in range(600):
        post(world, f"p{number:03}", f"a{number}", hours=number / 100)
    world.redis.counters("p499", reactions={"like": 900})
    world.redis.counters("p500", reactions={"like": 900})
    shown = [name for page in pages(world, 100) for name in ids(page)]
    assert len(shown) == KEPT
    assert shown[0] == "p499"
    assert "p500" not in shown


def test_more_are_looked_at_when_few_may_be_seen(world: World) -> None:
    for number in range(700):
        is_hidden = number < 450
        post(world, f"p{number:03}", f"a{number}", hours=number / 100)
        if is_hidden:
            world.redis.hidden.add(("al", f"p{number:03}"))
    shown = [name for page in pages(world, 100) for name in ids(page)]
    assert len(shown) == KEPT
    assert world.cache.calls.count("load") < 12


def test_a_request_looks_at_1000_at_most(world: World) -> None:
    for number in range(1_100):
        post(world, f"p{number:04}", f"a{number % 9}", hours=number / 100)
        if number not in (999, 1_000):
            world.redis.hidden.add(("al", f"p{number:04}"))
    assert ids(read(world)) == ["p0999"]


# Round trips


def test_a_ranking_is_a_round_trip_a_stage(world: World) -> None:
    many(world, 300)
    read(world)
    asked_at_once = ["timeline", "viral", "trending", "interests", "seen"]
    candidates, shown = "load", "load"
    assert world.cache.calls == [*asked_at_once, candidates, shown, "keep"]
    assert world.archive.calls == []


def test_of_candidates_that_are_not_shown_it_is_asked_only_what_they_are_judged_by(
    world: World,
) -> None:
    many(world, 300)
    asked: list[Wanted] = []
    load = world.cache.load

    async def note(wanted: Wanted) -> Found:
        asked.append(wanted)
        return await load(wanted)

    world.cache.load = note  # type: ignore[method-assign]
    page = read(world, limit=5)
    candidates, shown = asked
    assert len(candidates.hidden) == 300
    assert candidates.mine == []
    assert {*ids(page)} < {*shown.mine} < {*candidates.hidden}


def test_a_further_page_is_two_round_trips(world: World) -> None:
    many(world, 300)
    cursor = read(world)["next_cursor"]
    world.cache.calls.clear()
    read(world, cursor=cursor)
    assert world.cache.calls == ["snapshot", "load"]


def test_viral_posts_cost_one_more_for_their_authors_and_topics(world: World) -> None:
    many(world, 100)
    for number in range(20):
        viral(world, f"v{number}", f"s{number}", hashtags=("x",))
    read(world)
    assert world.cache.calls.count("load") == 4


# Explanations


def test_each_post_says_how_it_came_to_its_place(world: World) -> None:
    many(world, 30)
    viral(world, "v")
    world.redis.inclinations["al"] = Inclinations([("u:a3", 20.0)], [("u:a4", 5.0)])
    world.rankings.seen_posts.add(("al", "p005"))
    found = pages(world, 10, explain="true")
    explained = {p["post_id"]: p["explanation"] for page in found for p in page["posts"]}
    assert [each["position"] for each in explained.values()] == list(range(1, 32))
    assert sorted(each["position_by_score"] for each in explained.values()) == list(range(1, 32))
    for each in explained.values():
        assert each["ranker"] == "heuristic"
        product = 1.0
        for term in each["first_pass"]["terms"]:
            product *= term["value"]
        assert each["first_pass"]["score"] == pytest.approx(product)
        total = sum(term["value"] for term in each["second_pass"]["terms"])
        assert each["second_pass"]["score"] == pytest.approx(total)
    assert explained["p005"]["demotions"] == [{"name": "seen", "value": 0.3}]
    assert explained["p004"]["demotions"] == [{"name": "aversion", "value": 0.5}]
    assert explained["v"]["demotions"] == [{"name": "viral", "value": 0.75}]
    terms = {term["name"]: term["value"] for term in explained["p003"]["first_pass"]["terms"]}
    assert (terms["engagement"], terms["affinity"]) == (4.0, 1.2)
    assert [each["position"] for each in explained.values()] == sorted(
        each["position"] for each in explained.values()
    )


def test_explaining_begins_with_the_first_page(world: World) -> None:
    many(world, 30)
    cursor = read(world, limit=10)["next_cursor"]
    asked = {"mode": "ranked", "cursor": cursor, "explain": "true"}
    response = world.ask("GET", PATH, "al", params=asked)
    assert problem_of(response, 422)["type"].endswith(":not-explained")
    explained = read(world, limit=10, explain="true")["next_cursor"]
    page = read(world, limit=10, cursor=explained)
    assert all(each["explanation"] is None for each in page["posts"])


def test_latest_is_explained_by_the_time(world: World) -> None:
    post(world, "p", "ann", hours=0)
    (found,) = world.feed("al", explain="true")["posts"]
    assert world.feed("al")["posts"][0]["explanation"] is None
    time = {"score": float(NOW), "terms": [{"name": "time", "value": float(NOW)}]}
    assert found["explanation"] == {
        "ranker": "latest",
        "score": float(NOW),
        "first_pass": None,
        "second_pass": time,
        "demotions": [],
        "position": None,
        "position_by_score": None,
    }


# Seen


def test_what_was_viewed_stands_lower(world: World) -> None:
    for name, author, likes in (("p", "ann", 3), ("q", "bob", 2), ("r", "cy", 1)):
        post(world, name, author, reactions={"like": likes})
    assert ids(read(world)) == ["p", "q", "r"]
    for action in ("view", "click"):
        path = "/api/v1/posts/p/engagements" if action == "view" else "/api/v1/posts/q/engagements"
        assert world.ask("POST", path, "al", json={"action": action}).status_code == 202
    assert ids(read(world)) == ["r", "p", "q"]
    assert ids(read(world)) == ["r", "p", "q"], "reading is not viewing"
    assert world.rankings.seen_posts == {("al", "p"), ("al", "q")}


def test_what_is_done_otherwise_is_no_view(world: World) -> None:
    post(world, "p", "ann")
    for action in ("like", "share", "hide", "unlike"):
        response = world.ask("POST", "/api/v1/posts/p/engagements", "al", json={"action": action})
        assert response.status_code == 202
    assert world.rankings.seen_posts == set()


def test_a_view_counts_whether_it_can_be_noted_or_not(world: World) -> None:
    post(world, "p", "ann")
    world.cache.is_down = True
    response = world.ask("POST", "/api/v1/posts/p/engagements", "al", json={"action": "view"})
    assert response.status_code == 202
    assert [event.action for event in world.writer.events] == ["view"]


def test_nothing_is_noted_of_who_is_erased(world: World) -> None:
    post(world, "p", "ann")
    world.redis.user("al", status="deleted")
    world.ledger.is_down = True  # else the write is refused
    response = world.ask("POST", "/api/v1/posts/p/engagements", "al", json={"action": "view"})
    assert response.status_code == 202
    assert world.rankings.seen_posts == set()


# What fails


def test_a_ranker_that_fails_leaves_the_order_of_time(world: World) -> None:
    many(world, 30)
    wanted = ids(world.feed("al", limit=100))
    use(world, Failing())
    found = pages(world, 10, explain="true")
    assert [name for page in found for name in ids(page)] == wanted
    assert all(page["degraded"] == ["ranker"] for page in found)
    assert all(
        (each["explanation"]["ranker"], each["explanation"]["second_pass"]) == (None, None)
        for page in found
        for each in page["posts"]
    )


def test_without_redis_the_newest_are_first(world: World) -> None:
    names = many(world, 50)
    wanted = [name for page in world.pages("al", 10) for name in ids(page)]
    world.cache.is_down = True
    world.cache.calls.clear()
    read(world)
    assert world.cache.calls == ["timeline", "viral", "interests", "seen"], "each is tried once"
    found = pages(world, 10)
    assert [name for page in found for name in ids(page)] == wanted
    assert sorted(wanted) == names
    assert all(page["degraded"] == ["redis"] for page in found)


def test_a_feed_that_began_without_redis_goes_on_as_it_began(world: World) -> None:
    many(world, 50)
    wanted = [name for page in world.pages("al", 10) for name in ids(page)]
    world.cache.is_down = True
    first = read(world, limit=10)
    world.cache.is_down = False
    second = read(world, limit=10, cursor=first["next_cursor"])
    assert ids(first) + ids(second) == wanted[:20]
    assert second["degraded"] == []


def test_redis_failing_between_pages_is_the_newest_from_the_top(world: World) -> None:
    many(world, 50)
    first = read(world, limit=10)
    world.cache.is_down = True
    page = read(world, limit=10, cursor=first["next_cursor"])
    assert ids(page) == ids(world.feed("al", limit=10))
    assert page["degraded"] == ["redis"]


def test_redis_failing_before_the_feed_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(world, 50)
    wanted = ids(world.feed("al", limit=10))
    keep = world.rankings.keep

    async def fail(*kept: Any) -> None:
        world.cache.is_down = True
        await keep(*kept)

    monkeypatch.setattr(world.rankings, "keep", fail)
    page = read(world, limit=10)
    assert (ids(page), page["degraded"], page["has_more"]) == (wanted, ["redis"], True)


def test_without_the_timeline_what_is_popular_is_shown(world: World) -> None:
    """Redis lost the feed, and Cassandra cannot be reached."""
    world.redis.floors["al"] = None
    world.redis.post("pop", "star")
    world.redis.counters("pop")
    world.redis.user("star")
    world.redis.post("secret", "star", visibility="followers")
    for name in ("pop", "secret"):
        world.redis.trend(TrendingEntry(name, 5.0, 9, 9), at=NOW - 60_000)
    world.archive.is_down = True
    page = read(world)
    assert [(each["post_id"], each["reasons"]) for each in page["posts"]] == [("pop", ["popular"])]
    assert page["degraded"] == ["cassandra"]
    world.archive.is_down = False
    assert ids(read(world)) == []


def test_both_down_is_a_problem(world: World) -> None:
    many(world, 3)
    world.cache.is_down = world.archive.is_down = True
    response = world.ask("GET", PATH, "al", params={"mode": "ranked"})
    assert problem_of(response, 503)["type"].endswith(":unavailable")


@pytest.mark.parametrize("params", [{"mode": "best"}, {"limit": 0}, {"limit": 101}, {"explain": 7}])
def test_a_parameter_out_of_bounds_is_a_problem(world: World, params: dict[str, Any]) -> None:
    response = world.ask("GET", PATH, "al", params={"mode": "ranked", **params})
    assert problem_of(response, 422)


def test_who_slept_is_served_what_is_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no more of the authors is read at once than for a page of `latest`."""
    limits: list[int] = []
    authored = world.archive.authored

    async def watched(*asked: Any) -> Any:
        limits.append(asked[-1])
        return await authored(*asked)

    monkeypatch.setattr(world.archive, "authored", watched)
    world.redis.user("al", is_dormant=True)
    world.redis.floors["al"] = None
    world.redis.follow("al", "bob")
    for number in range(150):
        world.redis.post(f"p{number}", "bob", NOW - number * DAY // 30)
    found = pages(world, 20)
    assert all(page["is_opening"] for page in found)
    assert len({name for page in found for name in ids(page)}) == 150
    assert limits == [MAX_PULLED, MAX_PULLED]
