"""The feed read upwards, filtered, and not sent again to who has it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from api import newer
from api.cursors import encode_place
from schemas.events import Media
from tests.unit.api_fakes import DAY, NOW, World, ids, problem_of
from tests.unit.test_api_feed import fill, trim

FEED = "/api/v1/feed"


@pytest.fixture
def world() -> World:
    return World()


def since(world: World, place: tuple[int, str], limit: int, **params: Any) -> list[dict[str, Any]]:
    """All pages above a place."""
    cursor = encode_place(place)
    pages: list[dict[str, Any]] = []
    while True:
        pages.append(world.feed("al", since=cursor, limit=limit, **params))
        assert pages[-1]["next_cursor"] is None
        cursor = pages[-1]["newer_cursor"]
        if not pages[-1]["has_more"]:
            return pages
        assert len(pages) < 200


def upwards(world: World, place: tuple[int, str], limit: int, **params: Any) -> list[str]:
    return [post for page in since(world, place, limit, **params) for post in ids(page)]


# Upwards


@pytest.mark.parametrize("limit", [1, 3, 20, 100])
def test_what_is_newer_comes_oldest_first_and_without_gaps(world: World, limit: int) -> None:
    names = fill(world, 70)
    assert upwards(world, (NOW - 49_000, "p49"), limit) == names[48::-1]


def test_polling_from_the_first_page_on(world: World) -> None:
    fill(world, 30)
    page = world.feed("al", limit=5)
    cursor = page["newer_cursor"]
    page = world.feed("al", since=cursor)
    assert (page["posts"], page["has_more"], page["newer_cursor"]) == ([], False, cursor)
    for n in (1, 2, 3):
        world.redis.post(f"new{n}", "bob", NOW + n)
        world.redis.entry("al", f"new{n}", "u:bob", NOW + n)
    page = world.feed("al", since=cursor, limit=2)
    assert (ids(page), page["has_more"]) == (["new1", "new2"], True)
    page = world.feed("al", since=page["newer_cursor"], limit=2)
    assert (ids(page), page["has_more"]) == (["new3"], False)
    assert world.feed("al", since=page["newer_cursor"])["posts"] == []


def test_an_empty_feed_can_be_polled(world: World) -> None:
    page = world.feed("al")
    fill(world, 3)
    assert ids(world.feed("al", since=page["newer_cursor"])) == ["p2", "p1", "p0"]


def test_a_page_further_down_names_what_is_above_it(world: World) -> None:
    fill(world, 10)
    second = world.feed("al", limit=3, cursor=world.feed("al", limit=3)["next_cursor"])
    assert upwards(world, (NOW - 3_000, "p3"), 9) == ["p2", "p1", "p0"]
    assert ids(world.feed("al", since=second["newer_cursor"])) == ["p2", "p1", "p0"]
    past = world.feed("al", cursor=encode_place((1, "")))
    assert (past["posts"], past["newer_cursor"]) == ([], encode_place((1, "")))


def test_one_time_is_ordered_by_id(world: World) -> None:
    fill(world, 5, step_ms=0)
    assert upwards(world, (NOW, "p1"), 2) == ["p2", "p3", "p4"]


def test_a_post_that_is_shared_anew_is_newer(world: World) -> None:
    fill(world, 5)
    world.redis.entry("al", "p4", "s:cy", NOW + 5)
    [page] = since(world, (NOW - 3_000, "p3"), 9)
    assert ids(page) == ["p2", "p1", "p0", "p4"]
    assert page["posts"][-1]["reasons"] == ["s:cy", "u:bob"]


@pytest.mark.parametrize("keep", [1, 10, 39])
def test_upwards_from_below_the_floor(world: World, keep: int) -> None:
    names = fill(world, 60)
    trim(world, "al", keep)
    assert upwards(world, (NOW - 50_000, "p50"), 7) == names[49::-1]


def test_upwards_from_below_the_floor_without_cassandra_leaves_no_gap(world: World) -> None:
    names = fill(world, 60)
    world.redis.user("bob")
    for name in names:
        world.redis.counters(name)
    trim(world, "al", 30)
    world.archive.is_down = True
    cursor = encode_place((NOW - 50_000, "p50"))
    page = world.feed("al", since=cursor)
    assert (page["posts"], page["newer_cursor"]) == ([], cursor)
    assert page["degraded"] == ["cassandra"]
    held = world.feed("al", since=encode_place((NOW - 5_000, "p5")))
    assert (ids(held), held["degraded"]) == (names[4::-1], [])


def test_upwards_while_redis_is_down(world: World) -> None:
    names = fill(world, 30)
    world.cache.is_down = True
    [page] = since(world, (NOW - 20_000, "p20"), 30)
    assert (ids(page), page["degraded"]) == (names[19::-1], ["redis"])


def test_random_timelines_read_the_same_both_ways(world: World) -> None:
    rng = random.Random(7)
    for n in range(120):
        world.redis.post(f"p{n}", "bob", NOW, visibility=rng.choice(["public", "private"]))
        for reason in rng.sample(["u:bob", "t:x", "s:cy", "s:dee"], rng.randint(1, 3)):
            world.redis.entry("al", f"p{n}", reason, NOW - rng.randrange(60) * 1000)
    trim(world, "al", 100)
    down = [post for page in world.pages("al", 9) for post in page["posts"]]
    places = [(int(post["entry_at"][17:19]), post["post_id"]) for post in down]
    assert len(down) > 30
    assert upwards(world, (0, ""), 7) == [post["post_id"] for post in down][::-1]
    assert len(set(places)) == len(places)


def test_what_may_not_be_seen_is_left_out_and_made_up_for(world: World) -> None:
    fill(world, 60)
    for n in range(10, 60):
        world.redis.post(f"p{n}", "bob", visibility="private")
    page = world.feed("al", since=encode_place((0, "")), limit=5)
    assert ids(page) == ["p9", "p8", "p7", "p6", "p5"]


def test_a_request_upwards_looks_at_a_bounded_number(world: World) -> None:
    fill(world, 1_300)
    for n in range(1, 1_300):
        world.redis.post(f"p{n}", "bob", visibility="private")
    first = world.feed("al", since=encode_place((0, "")), limit=5)
    assert (first["posts"], first["has_more"]) == ([], True)
    assert ids(world.feed("al", since=first["newer_cursor"], limit=5)) == ["p0"]


def test_too_far_back_is_a_problem(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newer, "MAX_NEWER", 100)
    fill(world, 151)
    params = {"since": encode_place((0, ""))}
    assert problem_of(world.ask("GET", FEED, "al", params=params), 400)["type"].endswith("far-back")


def test_not_both_ways_at_once(world: World) -> None:
    cursor = encode_place((NOW, "p"))
    for other in ("cursor", "before"):
        params = {"since": cursor, other: cursor}
        problem_of(world.ask("GET", FEED, "al", params=params), 422)


def test_down_to_the_oldest_entry_in_cassandra(world: World) -> None:
    """30 days, over two months or three."""
    names = fill(world, 30, step_ms=DAY - 60_000)
    trim(world, "al", 3)
    found = [post for page in world.pages("al", 4) for post in ids(page)]
    assert found == names
    assert upwards(world, (0, ""), 4) == names[::-1]


# Filters


@pytest.fixture
def mixed(world: World) -> World:
    """Posts of each kind, newest first as they are named here."""
    posts: list[tuple[str, str, dict[str, Any], list[str]]] = [
        ("plain", "bob", {}, ["u:bob"]),
        ("tagged", "bob", {"hashtags": ("rust", "go")}, ["u:bob", "t:rust"]),
        ("picture", "bob", {"media": (Media(url="u"),)}, ["u:bob"]),
        ("film", "cy", {"media": (Media(url="u"), Media(url="v", kind="video"))}, ["u:cy"]),
        ("british", "cy", {"language": "en-GB"}, ["u:cy"]),
        ("english", "cy", {"language": "en"}, ["u:cy"]),
        ("german", "cy", {"language": "de"}, ["u:cy"]),
        ("reply", "al", {"reply_to": "plain"}, ["u:al"]),
        ("shared", "dee", {}, ["s:bob"]),
        ("both", "bob", {}, ["u:bob", "s:cy"]),
    ]
    for n, (name, author, fields, reasons) in enumerate(posts):
        world.redis.post(name, author, NOW - n, **fields)
        for reason in reasons:
            world.redis.entry("al", name, reason, NOW - n)
    return world


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"author": "cy"}, ["film", "british", "english", "german"]),
        ({"author": "al"}, ["reply"]),
        ({"author": "nobody"}, []),
        ({"topic": "rust"}, ["tagged"]),
        ({"topic": "#Rust"}, ["tagged"]),
        ({"media": "image"}, ["picture", "film"]),
        ({"media": "video"}, ["film"]),
        ({"language": "en"}, ["british", "english"]),
        ({"language": "DE"}, ["german"]),
        ({"author": "cy", "language": "en"}, ["british", "english"]),
        ({"author": "bob", "language": "en"}, []),
    ],
)
def test_only_what_is_asked_for(mixed: World, params: dict[str, str], expected: list[str]) -> None:
    assert ids(mixed.feed("al", **params)) == expected
    assert upwards(mixed, (0, ""), 2, **params) == expected[::-1]


def test_without_replies_and_shares(mixed: World) -> None:
    everything = ids(mixed.feed("al"))
    assert len(everything) == 10
    rest = ids(mixed.feed("al", no_replies=True))
    assert rest == [name for name in everything if name != "reply"]
    page = mixed.feed("al", no_shares=True)
    assert ids(page) == [name for name in everything if name != "shared"]
    assert page["posts"][-1]["reasons"] == ["u:bob"]


def test_a_filtered_page_is_refilled_up_to_a_bound(world: World) -> None:
    fill(world, 1_300)
    world.redis.post("p990", "cy")
    world.redis.post("p1200", "cy")
    first = world.feed("al", author="cy", limit=1)
    assert (ids(first), first["has_more"]) == (["p990"], True)
    second = world.feed("al", author="cy", limit=1, cursor=first["next_cursor"])
    assert (ids(second), second["has_more"]) == (["p1200"], False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("author", "x" * 257),
        ("topic", "#"),
        ("media", "smell"),
        ("language", "english"),
        ("no_replies", "perhaps"),
    ],
)
def test_a_filter_that_is_not_valid(world: World, name: str, value: str) -> None:
    problem = problem_of(world.ask("GET", FEED, "al", params={name: value}), 422)
    assert problem["errors"][0]["field"] == f"query.{name}"


# Not again


def test_a_page_that_is_the_same_is_not_sent_again(world: World) -> None:
    fill(world, 3)
    first = world.ask("GET", FEED, "al")
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    for named in (tag, tag[2:], "*", f'"x", {tag}'):
        again = world.ask("GET", FEED, "al", headers={"If-None-Match": named})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "private, no-cache"
    other = world.ask("GET", FEED, "al", headers={"If-None-Match": '"x"'})
    assert (other.status_code, other.json()) == (200, first.json())


def test_whatever_a_page_says_is_in_its_tag(world: World) -> None:
    fill(world, 3)
    tags = [world.ask("GET", FEED, "al").headers["etag"]]

    def differs(**params: Any) -> None:
        response = world.ask("GET", FEED, "al", params=params, headers={"If-None-Match": tags[-1]})
        assert response.status_code == 200
        tags.append(response.headers["etag"])

    world.redis.counters("p1", reactions={"like": 1})
    differs()
    world.redis.react("al", "p1")
    differs()
    world.redis.user("bob", display_name="Bob")
    differs()
    differs(limit=2)
    world.redis.post("p0", "bob", is_deleted=True)
    differs()
    assert len(set(tags)) == len(tags)


def test_a_tag_opens_nothing(world: World) -> None:
    fill(world, 3)
    headers = {"If-None-Match": world.ask("GET", FEED, "al").headers["etag"]}
    problem_of(world.ask("GET", FEED, headers=headers), 401)
    headers = {"If-None-Match": "x" * 8_193}
    problem_of(world.ask("GET", FEED, "al", headers=headers), 422)
