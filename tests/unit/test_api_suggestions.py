"""Suggestions: who is found by friends, in which order, and who is never shown."""

from __future__ import annotations

from math import log2, log10
from typing import Any

import pytest

from api.circle import FOLLOWS_OF_EACH, MAX_CANDIDATES, NEWEST, Circle, Follows, candidates
from api.influence import influence
from tests.unit.api_fakes import NOW, World, problem_of

PATH = "/api/v1/users/me/suggestions"
ROUND_TRIPS = ["circle", "load", "follows_of", "load"]


def asked(world: World, **params: Any) -> dict[str, Any]:
    response = world.ask("GET", PATH, "ann", params=params)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [each["user_id"] for each in found["users"]]


@pytest.fixture
def world() -> World:
    """ann follows bob and cat; both follow dan, cat also follows eve."""
    found = World()
    for user_id in ("ann", "bob", "cat", "dan", "eve"):
        found.redis.user(user_id)
    for user_id, other in (
        *(("ann", "bob"), ("ann", "cat")),
        *(("bob", "dan"), ("cat", "dan"), ("cat", "eve")),
    ):
        found.redis.follow(user_id, other)
    return found


def test_who_is_followed_by_more_friends_comes_first(world: World) -> None:
    found = asked(world)
    assert [(each["user_id"], each["score"], each["via"]) for each in found["users"]] == [
        ("dan", round(1 / log2(3) + 1 / log2(4), 6), ["bob", "cat"]),
        ("eve", 0.5, ["cat"]),
    ]
    assert found["as_of"] == "2026-01-01T12:00:00.000Z"
    assert found["degraded"] == []
    assert found["users"][0] == {
        "user_id": "dan",
        "username": "dan",
        "display_name": None,
        "avatar": None,
        "is_verified": False,
        "is_following": False,
        "score": 1.13093,
        "influence": 0,
        "via": ["bob", "cat"],
    }


@pytest.mark.parametrize(("affinity", "score"), [(0, 0.5), (40, 0.7), (100, 1.0), (900, 1.0)])
def test_affinity_doubles_a_friend_at_most(world: World, affinity: float, score: float) -> None:
    world.redis.affinities["ann", "cat"] = affinity
    by_name = {each["user_id"]: each["score"] for each in asked(world)["users"]}
    assert by_name["eve"] == score


def test_topics_count_as_followed_but_are_not_suggested(world: World) -> None:
    world.redis.found.follows |= {("cat", "t:rust"), ("ann", "t:art")}
    found = asked(world)
    assert names(found) == ["dan", "eve"]
    assert found["users"][1]["score"] == round(1 / log2(5), 6)


def test_equal_scores_stand_by_influence_and_then_by_id(world: World) -> None:
    for name in ("fay", "abe", "zoe"):
        world.redis.user(name, following=1)
        world.redis.follow("cat", name)
    world.redis.source("u:zoe", 9)
    found = asked(world)
    assert names(found) == ["dan", "zoe", "abe", "eve", "fay"]
    assert found["users"][1]["influence"] == pytest.approx(0.9)


def test_the_limit_cuts(world: World) -> None:
    assert names(asked(world, limit=1)) == ["dan"]
    problem_of(world.ask("GET", PATH, "ann", params={"limit": 51}), 422)
    problem_of(world.ask("GET", PATH, "ann", params={"limit": 0}), 422)


def test_nobody_is_suggested_to_nobody(world: World) -> None:
    problem_of(world.ask("GET", PATH), 401)


def test_who_follows_nobody_has_no_suggestions() -> None:
    assert names(asked(World())) == []


@pytest.mark.parametrize("status", ["deleted", "deactivated"])
def test_who_is_gone_is_not_suggested_and_finds_nobody(world: World, status: str) -> None:
    world.redis.user("dan", status=status)
    assert names(asked(world)) == ["eve"]
    world.redis.user("cat", status=status)
    assert names(asked(world)) == []


@pytest.mark.parametrize("blocker", ["ann", "dan"])
def test_who_is_blocked_either_way_is_not_suggested(world: World, blocker: str) -> None:
    world.redis.block(blocker, "ann" if blocker == "dan" else "dan")
    assert names(asked(world)) == ["eve"]


def test_who_is_muted_is_not_suggested(world: World) -> None:
    world.redis.mute("ann", "u:dan")
    assert names(asked(world)) == ["eve"]


def test_neither_oneself_nor_who_is_followed_is_suggested(world: World) -> None:
    for friend in ("bob", "cat"):
        world.redis.follow(friend, "ann")
    world.redis.follow("bob", "cat")
    world.redis.follow("ann", "eve")
    assert names(asked(world)) == ["dan"]


def test_a_follow_beyond_those_looked_at_is_seen_too(world: World) -> None:
    circle = Circle(["u:cat"], {})
    assert [each.user_id for each in candidates("ann", circle, {"cat": Follows(["u:bob"], 1)})]
    world.redis.follow("cat", "bob")
    assert "bob" not in names(asked(world))


def test_the_newest_and_the_closest_are_asked(world: World) -> None:
    """Whom ann followed long ago finds somebody only if close to her."""
    for number in range(NEWEST):
        world.redis.follow("ann", f"new{number}", NOW + 1 + number)
    assert names(asked(world)) == []
    world.redis.affinities["ann", "cat"] = 1.0
    world.redis.affinities["ann", "dan"] = 9.0  # not followed
    assert names(asked(world)) == ["dan", "eve"]


def test_a_friend_has_at_most_so_many_newest_follows(world: World) -> None:
    for number in range(FOLLOWS_OF_EACH):
        world.redis.user(f"new{number:03}")
        world.redis.follow("cat", f"new{number:03}", NOW + 1)
    found = asked(world, limit=50)
    assert "eve" not in names(found)
    assert names(found)[0] == "dan", "whom bob follows still"
    assert found["users"][1]["score"] == round(1 / log2(104), 6)


def test_the_number_of_round_trips_does_not_grow(world: World) -> None:
    for number in range(40):
        world.redis.follow("ann", f"friend{number}")
        for other in range(30):
            world.redis.user(f"other{other}")
            world.redis.follow(f"friend{number}", f"other{other}")
    assert len(names(asked(world, limit=50))) == 32
    assert world.cache.calls == ROUND_TRIPS
    assert len(world.archive.calls) <= 2, "once for friends, once for others without a profile"


def test_without_redis_cassandra_knows_the_follows(world: World) -> None:
    world.redis.affinities["ann", "cat"] = 100.0
    world.cache.is_down = True
    found = asked(world)
    assert names(found) == ["dan", "eve"]
    assert found["users"][1]["score"] == 1.0
    assert found["degraded"] == ["redis"]
    assert world.archive.calls == ROUND_TRIPS


def test_without_cassandra_who_is_not_known_is_left_out(world: World) -> None:
    del world.redis.found.users["dan"]
    assert names(asked(world)) == ["dan", "eve"], "without a profile, but nobody says gone"
    world = _again(world)
    world.archive.is_down = True
    found = asked(world)
    assert names(found) == ["eve"]
    assert found["degraded"] == ["cassandra"]


def _again(world: World) -> World:
    """The same views behind an application that remembers nothing."""
    found = World()
    found.redis = found.cassandra = found.cache.views = found.archive.views = world.redis
    return found


def test_without_stores_there_is_no_answer(world: World) -> None:
    world.cache.is_down = world.archive.is_down = True
    problem_of(world.ask("GET", PATH, "ann"), 503)


def test_so_many_candidates_are_kept() -> None:
    newest = [f"u:x{number:03}" for number in range(MAX_CANDIDATES + 50)]
    found = candidates("ann", Circle(["u:cat"], {}), {"cat": Follows(newest, 250)})
    assert [each.user_id for each in found] == [f"x{n:03}" for n in range(MAX_CANDIDATES)]


def test_sums_do_not_depend_on_the_order_of_friends() -> None:
    friends = {f"f{n}": Follows(["u:x"], n) for n in range(30)}
    circle = Circle(
        [f"u:{name}" for name in friends], {name: n / 7 for n, name in enumerate(friends)}
    )
    one = candidates("ann", circle, friends)
    assert one == candidates("ann", circle, dict(reversed(friends.items())))
    assert len(one[0].via) == 3


@pytest.mark.parametrize(
    ("followers", "following", "expected"),
    [
        (0, 0, 0.0),
        (0, 10, 0.0),
        (9, 0, 1.0),
        (99, 0, 2.0),
        (99, 99, 1.0),
        (99, 9_801, 0.02),
        (100, 50, log10(101) * 2 / 3),
    ],
)
def test_influence(followers: int, following: int, expected: float) -> None:
    assert influence(followers, following) == pytest.approx(expected, abs=1e-6)


def test_influence_that_is_the_same_is_equal() -> None:
    """log10(8) * 7 / 21 is log10(2) * 1 / 1, but for the last bit of a float."""
    assert influence(7, 14) == influence(1, 0)
