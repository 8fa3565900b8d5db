"""User names over HTTP."""

from __future__ import annotations

import pytest

from tests.unit.api_fakes import World, problem_of


@pytest.fixture
def world() -> World:
    world = World()
    world.redis.user("u1", username="Sam")
    world.redis.source("u:u1", 3)
    world.redis.names["sam"] = "u1"
    return world


@pytest.mark.parametrize("name", ["sam", "SAM", "@Sam", "%40sam"])
def test_a_name_leads_to_the_profile(world: World, name: str) -> None:
    found = world.ask("GET", f"/api/v1/usernames/{name}").json()
    assert (found["user_id"], found["username"], found["followers"]) == ("u1", "Sam", 3)


def test_a_name_that_is_nobodys(world: World) -> None:
    problem_of(world.ask("GET", "/api/v1/usernames/kim"), 404)


@pytest.mark.parametrize("status", ["deactivated", "deleted"])
def test_who_is_gone_has_no_profile(world: World, status: str) -> None:
    world.redis.user("u1", username="Sam", status=status)
    problem_of(world.ask("GET", "/api/v1/usernames/sam"), 404)


def test_one_store_is_enough_for_a_name_that_is_found(world: World) -> None:
    world.cache.is_down = True
    assert world.ask("GET", "/api/v1/usernames/sam").json()["user_id"] == "u1"
    problem_of(world.ask("GET", "/api/v1/usernames/kim"), 503)


def test_an_id_that_looks_like_a_name_is_no_name(world: World) -> None:
    world.redis.user("@sam")
    assert world.ask("GET", "/api/v1/users/@sam").json()["user_id"] == "@sam"
