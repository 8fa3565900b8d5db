"""The feed: order, grouping, paging across the floor, what is left out, what is down."""

from __future__ import annotations

import base64
import random

import pytest

from api import timeline
from api.cursors import decode_place, encode_place
from api.feed import FeedQuery
from api.feed_filter import EVERYTHING
from api.models import FeedPage
from tests.unit.api_fakes import DAY, NOW, World, ids, problem_of


@pytest.fixture
def world() -> World:
    return World()


def fill(world: World, count: int, *, owner: str = "al", step_ms: int = 1000) -> list[str]:
    """Posts p0 (newest) to p<count-1> by bob on the owner's timeline."""
    names = [f"p{number}" for number in range(count)]
    for number, name in enumerate(names):
        at = NOW - number * step_ms
        world.redis.post(name, "bob", at)
        world.redis.entry(owner, name, "u:bob", at)
    return names


def trim(world: World, owner: str, keep: int) -> None:
    """Cassandra keeps all entries, Redis the newest ones."""
    everything = world.redis
    world.split()
    world.cassandra.found = everything.found
    world.cassandra.rows = {owner: everything.newest_first(owner)}
    held = everything.newest_first(owner)
    everything.rows[owner] = held[:keep]
    everything.floors[owner] = held[keep].at


def test_an_empty_feed_has_no_more(world: World) -> None:
    assert world.feed("al") == {
        "posts": [],
        "next_cursor": None,
        "has_more": False,
        "newer_cursor": encode_place((0, "")),
        "degraded": [],
        "is_opening": False,
    }


def test_a_post_is_given_with_all_its_fields(world: World) -> None:
    world.redis.user("bob", display_name="Bob", avatar="https://x/b.png")
    world.redis.post("p", "bob", NOW + 7, hashtags=("a",), reply_to="q")
    world.redis.counters("p", reactions={"like": 4, "love": 1}, comments=3, shares=2, views=9)
    world.redis.mine["al"] = ({"p": "like"}, {"p"})
    world.redis.entry("al", "p", "u:bob", NOW + 7)
    world.redis.post("q", "al")
    page = world.feed("al")
    FeedPage.model_validate(page, strict=True)
    post = page["posts"][0]
    assert post["user"] == {
        "user_id": "bob",
        "username": "bob",
        "display_name": "Bob",
        "avatar": "https://x/b.png",
        "is_verified": False,
    }
    assert post["created_at"] == "2026-01-01T12:00:00.007Z" == post["entry_at"]
    assert (post["like_count"], post["comment_count"]) == (4, 3)
    assert (post["share_count"], post["view_count"]) == (2, 9)
    assert post["counts"] == {
        "reactions": {"like": 4, "love": 1},
        "comments": 3,
        "shares": 2,
        "views": 9,
    }
    assert post["is_liked"]
    assert post["my_reaction"] == "like"
    assert post["is_shared"]
    assert post["reasons"] == ["u:bob"]
    assert post["reply_to"] == "q"


def test_a_post_stands_once_where_its_newest_entry_does(world: World) -> None:
    for name, at in (("old", NOW - 50), ("mid", NOW - 30)):
        world.redis.post(name, "bob", at)
        world.redis.entry("al", name, "u:bob", at)
    world.redis.entry("al", "old", "s:cy", NOW - 10)
    world.redis.entry("al", "old", "s:dee", NOW - 20)
    page = world.feed("al")
    assert ids(page) == ["old", "mid"]
    assert page["posts"][0]["reasons"] == ["s:cy", "s:dee", "u:bob"]
    assert page["posts"][0]["entry_at"].endswith(":59.990Z")


def test_a_topic_is_a_reason_whatever_becomes_of_a_user_of_its_name(world: World) -> None:
    world.redis.post("p", "bob")
    world.redis.entry("al", "p", "t:cy")
    world.redis.entry("al", "p", "s:cy")
    assert world.feed("al")["posts"][0]["reasons"] == ["t:cy", "s:cy"]
    world.redis.block("al", "cy")
    assert world.feed("al")["posts"][0]["reasons"] == ["t:cy"]
    world.redis.block("al", "bob")
    assert ids(world.feed("al")) == []


def test_who_is_muted_is_left_out(world: World) -> None:
    """As an author whoever brings the post, as a sharer, as a topic; to the reader alone."""
    world.redis.post("p", "bob")
    for reason in ("u:bob", "s:cy", "t:rust"):
        world.redis.entry("al", "p", reason)
        world.redis.entry("dee", "p", reason)
    world.redis.mute("al", "t:rust")
    assert world.feed("al")["posts"][0]["reasons"] == ["u:bob", "s:cy"]
    world.redis.mute("al", "u:cy")
    assert world.feed("al")["posts"][0]["reasons"] == ["u:bob"]
    world.redis.mute("al", "u:bob")
    assert ids(world.feed("al")) == []
    assert world.feed("dee")["posts"][0]["reasons"] == ["u:bob", "t:rust", "s:cy"]


def test_who_shares_ones_own_post_and_is_muted_is_no_reason(world: World) -> None:
    world.redis.post("p", "al")
    for reason in ("u:al", "s:cy"):
        world.redis.entry("al", "p", reason)
    world.redis.mute("al", "u:cy")
    assert world.feed("al")["posts"][0]["reasons"] == ["u:al"]


def test_a_mute_of_every_reason_hides_the_post(world: World) -> None:
    world.redis.post("p", "bob")
    world.redis.entry("al", "p", "s:cy")
    world.redis.mute("al", "u:cy")
    assert ids(world.feed("al")) == []


def heavy(world: World, count: int, *, step_ms: int = 1000, offset_ms: int = 500) -> list[str]:
    """A heavy source whom al follows, and that holds h0 (newest) to h<count-1>."""
    world.redis.follow("al", "star")
    names = [f"h{number}" for number in range(count)]
    for number, name in enumerate(names):
        at = NOW - number * step_ms - offset_ms
        world.redis.post(name, "star", at)
        world.redis.recent("u:star", name, "u:star", at)
    return names


@pytest.mark.parametrize("limit", [1, 7, 100])
@pytest.mark.parametrize("keep", [30, 20, 1])
def test_what_heavy_sources_hold_is_among_the_rest(world: World, keep: int, limit: int) -> None:
    pushed, pulled = fill(world, 40), heavy(world, 40)
    wanted = [name for pair in zip(pushed, pulled, strict=True) for name in pair]
    recents = world.redis.recents
    trim(world, "al", keep)
    world.cassandra.recents = recents
    for is_down in (False, True):
        world.cache.is_down = is_down
        pages = world.pages("al", limit)
        assert [name for page in pages for name in ids(page)] == wanted
        assert all(page["degraded"] == ["redis"] * is_down for page in pages)


def test_what_was_pushed_and_is_pulled_stands_once(world: World) -> None:
    pulled = heavy(world, 30)
    for number in (3, 25):
        world.redis.entry("al", f"h{number}", "u:star", NOW - number * 1000 - 500)
    world.redis.entry("al", "h7", "s:cy", NOW)
    pages = world.pages("al", 10)
    assert [name for page in pages for name in ids(page)] == [
        "h7",
        *(name for name in pulled if name != "h7"),
    ]
    assert pages[0]["posts"][0]["reasons"] == ["s:cy", "u:star"]
    assert all(post["reasons"] == ["u:star"] for page in pages[1:] for post in page["posts"])


@pytest.mark.parametrize("is_down", [False, True])
def test_what_was_pulled_is_not_shown_again_for_an_older_entry(world: World, is_down: bool) -> None:
    pushed, pulled = fill(world, 40), heavy(world, 12)
    world.redis.entry("al", "h3", "s:cy", NOW - 35_200)
    recents = world.redis.recents
    trim(world, "al", 2)
    world.cassandra.recents = recents
    world.cache.is_down = is_down
    shown = [name for page in world.pages("al", 5) for name in ids(page)]
    pairs = zip(pushed, pulled, strict=False)
    assert shown == [*(name for pair in pairs for name in pair), *pushed[12:]]


@pytest.mark.parametrize("mode", ["latest", "ranked"])
def test_every_page_says_that_some_heavy_sources_are_missing(world: World, mode: str) -> None:
    fill(world, 60)
    world.cache.is_partial = True
    pages = world.pages("al", 20, mode=mode)
    assert [page["degraded"] for page in pages] == [["sources"]] * 3
    world.cache.is_partial = False
    assert world.feed("al", mode=mode)["degraded"] == []


def test_heavy_sources_of_others_bring_nothing(world: World) -> None:
    heavy(world, 3)
    assert ids(world.feed("bo")) == []
    world.redis.post("h0", "star", visibility="private")
    assert ids(world.feed("al")) == ["h1", "h2"]


def test_only_heavy_sources_and_a_feed_that_redis_lost(world: World) -> None:
    pulled = heavy(world, 30)
    everything = world.redis
    world.split()
    world.cassandra.found = everything.found
    assert [name for page in world.pages("al", 7) for name in ids(page)] == pulled


@pytest.mark.parametrize(
    ("followed", "answered", "reasons", "shown"),
    [
        (["bob", "cy"], "cy", ["u:bob"], ["u:bob"]),
        (["bob"], "cy", ["u:bob"], None),
        (["cy"], "cy", ["t:x"], None),
        (["bob", "cy"], "cy", ["t:x", "u:bob"], ["u:bob", "t:x"]),
        (["dee"], "cy", ["s:dee", "t:x"], ["s:dee"]),
        (["bob"], "bob", ["u:bob"], ["u:bob"]),
        ([], "al", ["t:x"], ["t:x"]),
        (["bob"], None, ["u:bob"], None),
        (["bob"], None, ["s:dee"], ["s:dee"]),
    ],
    ids=[
        "both ends are followed",
        "only who answers",
        "only who is answered, and the topic",
        "both, and the topic",
        "a share shows it to all",
        "one answers oneself",
        "the reader is answered",
        "what it answers is not known",
        "that, and a share",
    ],
)
def test_a_reply_is_shown_to_who_follows_both_ends(
    world: World,
    followed: list[str],
    answered: str | None,
    reasons: list[str],
    shown: list[str] | None,
) -> None:
    world.redis.post("p", "bob", reply_to="q")
    if answered is not None:
        world.redis.post("q", answered, is_deleted=True)
    for other in followed:
        world.redis.follow("al", other)
    for reason in reasons:
        world.redis.entry("al", "p", reason)
    found = [sorted(post["reasons"]) for post in world.feed("al")["posts"]]
    assert found == ([] if shown is None else [sorted(shown)])


def test_ones_own_reply_is_shown(world: World) -> None:
    world.redis.post("p", "al", reply_to="q")
    world.redis.entry("al", "p", "u:al")
    assert ids(world.feed("al")) == ["p"]


def test_replies_cost_one_more_trip(world: World) -> None:
    for name in fill(world, 30):
        world.redis.counters(name)
        world.redis.post(name, "bob", reply_to="q")
    world.redis.post("q", "cy")
    for name in ("bob", "cy"):
        world.redis.user(name)
        world.redis.follow("al", name)
    assert len(world.feed("al")["posts"]) == 20
    assert world.cache.calls == ["timeline", "load", "load", "load"]


def test_the_same_time_is_ordered_by_post_id_descending(world: World) -> None:
    for name in ("a", "c", "b"):
        world.redis.post(name, "bob")
        world.redis.entry("al", name, "u:bob")
    assert [ids(page) for page in world.pages("al", 1)] == [["c"], ["b"], ["a"]]


@pytest.mark.parametrize("limit", [1, 7, 15, 100])
def test_paging_shows_everything_once(world: World, limit: int) -> None:
    names = fill(world, 45)
    pages = world.pages("al", limit)
    assert [name for page in pages for name in ids(page)] == names
    assert all(len(page["posts"]) == limit for page in pages[:-1])
    assert pages[-1]["next_cursor"] is None


def test_exactly_a_page_has_no_more(world: World) -> None:
    fill(world, 20)
    page = world.feed("al", limit=20)
    assert len(page["posts"]) == 20
    assert not page["has_more"]


@pytest.mark.parametrize("keep", [1000, 990, 3])
def test_paging_goes_on_in_cassandra_below_the_floor(world: World, keep: int) -> None:
    names = fill(world, 1_250)
    trim(world, "al", keep)
    assert [name for page in world.pages("al", 100) for name in ids(page)] == names


def test_several_entries_of_the_floors_own_time_are_neither_lost_nor_doubled(world: World) -> None:
    for number in range(60):
        world.redis.post(f"p{number:02}", "bob", NOW - number // 20)
        world.redis.entry("al", f"p{number:02}", "u:bob", NOW - number // 20)
    wanted = [row.post_id for row in world.redis.newest_first("al")]
    trim(world, "al", 30)
    assert [name for page in world.pages("al", 7) for name in ids(page)] == wanted


def test_at_the_floor_cassandra_decides(world: World) -> None:
    world.split()
    for name in ("a", "b", "c"):
        world.cassandra.post(name, "bob")
        world.cassandra.entry("al", name, "u:bob", NOW)
    world.redis.entry("al", "a", "u:bob", NOW)
    world.redis.floors["al"] = NOW
    assert ids(world.feed("al")) == ["c", "b", "a"]


def test_a_post_shown_above_the_floor_is_not_shown_below(world: World) -> None:
    names = fill(world, 60)
    world.redis.entry("al", "p55", "s:cy", NOW + 5)
    trim(world, "al", 20)
    shown = [name for page in world.pages("al", 7) for name in ids(page)]
    assert shown == ["p55", *(name for name in names if name != "p55")]


def test_a_post_shown_in_cassandra_is_not_shown_further_below(world: World) -> None:
    names = fill(world, 1_600)
    world.redis.entry("al", "p1550", "s:cy", NOW - 40_500)
    trim(world, "al", 20)
    shown = [name for page in world.pages("al", 100) for name in ids(page)]
    rest = [name for name in names if name != "p1550"]
    assert shown == [*rest[:41], "p1550", *rest[41:]]


@pytest.mark.parametrize("keep", [5, 20, 45, 62])
@pytest.mark.parametrize("limit", [3, 7, 100])
def test_a_post_stands_where_the_newest_reason_does_that_is_not_muted(
    world: World, keep: int, limit: int
) -> None:
    names = fill(world, 60)
    for name, sharer, at in (
        ("p55", "cy", NOW + 5),
        ("p56", "cy", NOW - 30_500),
        ("p57", "cy", NOW - 10_500),
        ("p57", "dee", NOW - 40_500),
    ):
        world.redis.entry("al", name, f"s:{sharer}", at)
    world.redis.mute("al", "u:cy")
    trim(world, "al", keep)
    shown = [name for page in world.pages("al", limit) for name in ids(page)]
    names.remove("p57")
    assert shown == [*names[:41], "p57", *names[41:]]


def test_without_shares_a_post_stands_where_it_came_otherwise(world: World) -> None:
    names = fill(world, 60)
    world.redis.entry("al", "p55", "s:cy", NOW + 5)
    trim(world, "al", 20)
    pages = world.pages("al", 100, no_shares="true")
    assert [name for page in pages for name in ids(page)] == names


def test_a_reply_that_was_shared_below_stands_there(world: World) -> None:
    """For the share, as the reader does not follow both ends."""
    fill(world, 60)
    world.redis.post("r", "bob", NOW - 500, reply_to="nothing")
    world.redis.entry("al", "r", "u:bob", NOW - 500)
    world.redis.entry("al", "r", "s:cy", NOW - 40_500)
    trim(world, "al", 20)
    shown = [name for page in world.pages("al", 25) for name in ids(page)]
    assert shown[41] == "r"
    assert len(shown) == len(set(shown)) == 61


def test_random_timelines_page_like_their_definition(world: World) -> None:
    rng = random.Random(7)
    for number in range(200):
        world.redis.post(f"p{number}", "bob", NOW - 10_000)
    for _ in range(700):
        name, at = f"p{rng.randrange(200)}", NOW - rng.randrange(300)
        world.redis.entry("al", name, f"s:{rng.randrange(40)}", at)
    wanted: list[str] = []
    for row in world.redis.newest_first("al"):
        if row.post_id not in wanted:
            wanted.append(row.post_id)
    trim(world, "al", 150)
    for limit in (17, 50):
        assert [name for page in world.pages("al", limit) for name in ids(page)] == wanted


def test_the_feed_ends_after_30_days_in_cassandra(world: World) -> None:
    fill(world, 40, step_ms=DAY)
    trim(world, "al", 2)
    assert len(world.feed("al", limit=100)["posts"]) == 31


def test_what_is_left_out_is_made_up_for(world: World) -> None:
    names = fill(world, 300)
    for number, name in enumerate(names):
        if number % 3:
            world.redis.post(name, "bob", visibility="private")
    wanted = names[::3]
    pages = world.pages("al", 10)
    assert [len(page["posts"]) for page in pages] == [10] * 10
    assert [name for page in pages for name in ids(page)] == wanted


def test_no_more_when_only_what_may_not_be_seen_is_left(world: World) -> None:
    names = fill(world, 60)
    for name in names[20:]:
        world.redis.post(name, "bob", visibility="private")
    assert not world.feed("al", limit=20)["has_more"]


def test_a_request_looks_at_a_bounded_number_and_paging_still_ends(world: World) -> None:
    names = fill(world, 2_500)
    for name in names[:-1]:
        world.redis.post(name, "bob", visibility="private")
    first = world.feed("al")
    assert first["posts"] == []
    assert first["has_more"]
    assert [name for page in world.pages("al", 20) for name in ids(page)] == names[-1:]


def test_the_read_is_two_trips_to_redis_and_none_to_cassandra(world: World) -> None:
    for name in fill(world, 30):
        world.redis.counters(name)
    world.redis.user("bob")
    world.feed("al")
    assert world.cache.calls == ["timeline", "load"]
    assert world.archive.calls == []


def test_without_a_feed_in_redis_the_archive_is_read(world: World) -> None:
    """Nor do entries count that stand in one that is being opened."""
    names = fill(world, 30)
    everything = world.redis
    world.split()
    world.cassandra.found = everything.found
    world.cassandra.rows = {"al": everything.newest_first("al")}
    everything.rows["al"] = everything.newest_first("al")[3:7]
    everything.floors["al"] = None
    pages = world.pages("al", 20)
    assert [name for page in pages for name in ids(page)] == names
    assert all(page["degraded"] == [] for page in pages)


# Who comes back after a long time


def _slept(world: World, rng: random.Random, *, posts: int = 60) -> list[str]:
    """Al was dormant: some posts of those followed were still pushed, then nothing."""
    world.redis.user("al", is_dormant=True)
    for name in ("bob", "cy"):
        world.redis.follow("al", name)
    places = []
    for number in range(posts):
        author, at = rng.choice(["al", "bob", "cy", "stranger"]), NOW - rng.randrange(40) * 1000
        world.redis.post(f"p{number}", author, at)
        if author != "stranger":
            places.append((at, f"p{number}"))
            if at < NOW - 20_000:
                world.redis.entry("al", f"p{number}", f"u:{author}", at)
    world.redis.floors["al"] = None
    return [post_id for _, post_id in sorted(places, reverse=True)]


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_who_was_dormant_is_served_the_posts_of_those_followed(world: World, limit: int) -> None:
    names = _slept(world, random.Random(limit))
    pages = world.pages("al", limit)
    assert [name for page in pages for name in ids(page)] == names
    assert all(page["is_opening"] for page in pages)
    assert pages[0]["posts"][0]["reasons"] == [f"u:{pages[0]['posts'][0]['user']['user_id']}"]


def test_more_posts_than_are_pulled_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "PULLED_ROWS", 3)
    names = _slept(world, random.Random(2))
    assert [name for page in world.pages("al", 5) for name in ids(page)] == names


def test_what_was_pushed_before_and_what_heavy_sources_hold_is_there_too(world: World) -> None:
    names = _slept(world, random.Random(3), posts=4)
    world.redis.post("shared", "stranger", NOW - DAY)
    world.redis.entry("al", "shared", "s:bob", NOW - DAY)
    world.redis.recent("u:bob", "heavy", "u:bob", NOW - 2 * DAY)
    world.redis.post("heavy", "bob", NOW - 2 * DAY)
    assert ids(world.feed("al")) == [*names, "shared", "heavy"]


def test_who_is_not_dormant_is_served_what_was_pushed_alone(world: World) -> None:
    _slept(world, random.Random(1))
    world.redis.user("al", is_dormant=False)
    page = world.feed("al", limit=100)
    assert ids(page) == [row.post_id for row in world.redis.newest_first("al")]
    assert not page["is_opening"]
    assert "authored" not in world.archive.calls


def test_a_feed_that_is_there_again_is_served_as_any(world: World) -> None:
    _slept(world, random.Random(1))
    world.redis.floors["al"] = 0
    assert not world.feed("al")["is_opening"]
    assert "authored" not in world.archive.calls


def test_who_was_dormant_is_served_without_redis_too(world: World) -> None:
    names = _slept(world, random.Random(5))
    world.cache.is_down = True
    page = world.feed("al", limit=100)
    assert ids(page) == names
    assert (page["is_opening"], page["degraded"]) == (True, ["redis"])


def test_without_cassandra_nothing_can_be_pulled(world: World) -> None:
    _slept(world, random.Random(5))
    world.archive.is_down = True
    page = world.feed("al")
    assert (ids(page), page["is_opening"], page["degraded"]) == ([], True, ["cassandra"])


def test_what_redis_lacks_comes_from_cassandra_and_is_not_asked_again(world: World) -> None:
    world.split()
    world.redis.entry("al", "p", "u:bob")
    world.cassandra.post("p", "bob")
    world.cassandra.user("bob", username="bobby")
    assert world.feed("al")["posts"][0]["user"]["username"] == "bobby"
    assert world.archive.calls == ["load"]
    world.redis.post("p", "bob")
    world.redis.user("bob")
    assert world.feed("al")["posts"][0]["user"]["username"] == "bob"
    assert world.archive.calls == ["load"], "that there are no counters is remembered"


def test_redis_down_serves_from_cassandra_and_says_so(world: World) -> None:
    names = fill(world, 50)
    world.cache.is_down = True
    pages = world.pages("al", 20)
    assert [name for page in pages for name in ids(page)] == names
    assert all(page["degraded"] == ["redis"] for page in pages)


def test_redis_failing_in_the_middle_loses_nothing(world: World) -> None:
    names = fill(world, 50)
    first = world.feed("al", limit=20)
    world.cache.is_down = True
    second = world.feed("al", limit=20, cursor=first["next_cursor"])
    world.cache.is_down = False
    third = world.feed("al", limit=20, cursor=second["next_cursor"])
    assert ids(first) + ids(second) + ids(third) == names


def test_cassandra_down_serves_what_is_there_and_can_be_continued(world: World) -> None:
    names = fill(world, 50)
    world.redis.user("bob")
    for name in names:
        world.redis.counters(name)
    trim(world, "al", 30)
    world.archive.is_down = True
    first = world.feed("al", limit=20)
    assert first["degraded"] == []
    second = world.feed("al", limit=20, cursor=first["next_cursor"])
    assert ids(second) == names[20:30]
    assert second["degraded"] == ["cassandra"]
    assert second["has_more"]
    third = world.feed("al", limit=20, cursor=second["next_cursor"])
    assert third["posts"] == []
    world.archive.is_down = False
    last = world.feed("al", limit=20, cursor=third["next_cursor"])
    assert ids(last) == names[30:]
    assert not last["has_more"]


def test_both_down_is_a_problem(world: World) -> None:
    fill(world, 3)
    world.cache.is_down = world.archive.is_down = True
    response = world.ask("GET", "/api/v1/feed", "al")
    assert problem_of(response, 503)["type"].endswith(":unavailable")
    assert response.headers["retry-after"]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", ""])
def test_a_limit_out_of_bounds_is_a_problem(world: World, limit: str) -> None:
    response = world.ask("GET", "/api/v1/feed", "al", params={"limit": limit})
    assert problem_of(response, 422)["errors"][0]["field"] == "query.limit"


GARBAGE = [
    "",
    "x",
    "AQ",
    "!!!!",
    "päng",
    "AA" * 2000,
    base64.urlsafe_b64encode(b"\x02" + bytes(6) + b"p").decode().rstrip("="),
    base64.urlsafe_b64encode(b"\x01\xff\xff\xff\xff\xff\xffp").decode().rstrip("="),
    base64.urlsafe_b64encode(b"\x01" + bytes(6) + b"\xff\xfe").decode().rstrip("="),
    base64.urlsafe_b64encode(b"\x01" + bytes(6) + b"a\0b").decode().rstrip("="),
    encode_place((NOW, "p1")) + "=",
]


@pytest.mark.parametrize("cursor", GARBAGE)
@pytest.mark.parametrize("name", ["cursor", "before", "since"])
def test_a_cursor_of_another_make_is_a_problem(world: World, name: str, cursor: str) -> None:
    response = world.ask("GET", "/api/v1/feed", "al", params={name: cursor})
    assert problem_of(response, 400)["type"].endswith(":bad-cursor")


@pytest.mark.parametrize("position", [(0, ""), (NOW, "p"), (NOW, "at://did:x/ü/" + "z" * 200)])
def test_a_cursor_holds_its_position(position: tuple[int, str]) -> None:
    assert decode_place(encode_place(position)) == position


def test_a_feed_is_never_stored_by_others(world: World) -> None:
    headers = world.ask("GET", "/api/v1/feed", "al").headers
    assert headers["cache-control"] == "private, no-cache"
    assert "Authorization" in headers["vary"]
    assert headers["x-content-type-options"] == "nosniff"


def test_what_no_filter_asks_for_is_not_looked_for_in_each_post() -> None:
    assert FeedQuery().filter() is EVERYTHING
    assert FeedQuery(no_replies=True).filter() != EVERYTHING


def test_posts_for_followers_cost_no_more_trips(world: World) -> None:
    for name in fill(world, 30):
        world.redis.counters(name)
        world.redis.post(name, "bob", visibility="followers")
    world.redis.user("bob")
    world.redis.follow("al", "bob")
    assert len(world.feed("al")["posts"]) == 20
    assert world.cache.calls == ["timeline", "load"]
