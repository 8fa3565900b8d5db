"""Close friends: who is one, in which order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api_fakes import World, problem_of

PATH = "/api/v1/users/me/close-friends"


@pytest.fixture
def world() -> World:
    """ann and bob, and ann and cy, follow each other; ann is closer to cy."""
    found = World()
    for user_id, score in (("bob", 12.5), ("cy", 300.0)):
        found.redis.user(user_id)
        found.redis.follow("ann", user_id)
        found.redis.follow(user_id, "ann")
        found.redis.affinities["ann", user_id] = score
    return found


def asked(world: World, **params: Any) -> list[tuple[str, float]]:
    response = world.ask("GET", PATH, "ann", params=params)
    assert response.status_code == 200, response.text
    return [(each["user_id"], each["affinity"]) for each in response.json()["users"]]


def test_closest_first_and_capped(world: World) -> None:
    assert asked(world) == [("cy", 100.0), ("bob", 12.5)]
    assert asked(world, limit=1) == [("cy", 100.0)]
    assert world.cache.calls[:2] == ["circle", "load"]


@pytest.mark.parametrize("why", ["not close", "one way", "the other way", "muted", "gone"])
def test_who_is_none(world: World, why: str) -> None:
    match why:
        case "not close":
            world.redis.affinities["ann", "bob"] = 9.9
        case "one way":
            world.redis.found.follows.remove(("bob", "u:ann"))
        case "the other way":
            world.redis.found.follows.remove(("ann", "u:bob"))
        case "muted":
            world.redis.mute("ann", "u:bob")
        case "gone":
            world.redis.user("bob", status="deactivated")
    assert asked(world) == [("cy", 100.0)]


def test_they_are_ones_own(world: World) -> None:
    problem_of(world.ask("GET", PATH), 401)


def test_without_redis_cassandra_knows(world: World) -> None:
    world.cache.is_down = True
    response = world.ask("GET", PATH, "ann").json()
    assert [each["user_id"] for each in response["users"]] == ["cy", "bob"]
    assert response["degraded"] == ["redis"]
