"""Whom and what one mutes and blocks: page by page, and for oneself alone."""

from __future__ import annotations

from typing import Any

import pytest

from api.auth import issue
from api.cursors import encode_id
from tests.unit.api_fakes import KEY, World, problem_of

CROWD = [f"user{n:04}" for n in range(250)]
TOPICS = ["ångström", "rust", "zig"]
PATHS = ("mutes", "blocks")


@pytest.fixture
def world() -> World:
    """ann, who mutes a crowd and some topics, and blocks the crowd; and eve, who blocks ann."""
    found = World()
    for name in ("ann", "eve"):
        found.redis.user(name)
    for name in CROWD:
        found.redis.mute("ann", f"u:{name}")
        found.redis.block("ann", name)
    for topic in TOPICS:
        found.redis.mute("ann", f"t:{topic}")
    found.redis.mute("eve", "u:ann")
    found.redis.block("eve", "ann")
    return found


def _pages(world: World, path: str, user: str = "ann", limit: int = 100) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": limit}
    while True:
        response = world.ask("GET", f"/api/v1/users/me/{path}", user, params=params)
        assert response.status_code == 200, response.text
        found.append(response.json())
        assert found[-1]["has_more"] is (found[-1]["next_cursor"] is not None)
        if not found[-1]["has_more"]:
            return found
        params["cursor"] = found[-1]["next_cursor"]


def _users(world: World, path: str, user: str = "ann", limit: int = 100) -> list[str]:
    pages = _pages(world, path, user, limit)
    return [each["user_id"] for page in pages for each in page["users"]]


@pytest.mark.parametrize("limit", [1, 50, 83, 100])
@pytest.mark.parametrize("path", PATHS)
def test_users_come_page_by_page_each_once(world: World, path: str, limit: int) -> None:
    assert _users(world, path, limit=limit) == CROWD


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
def test_topics_come_before_users_and_count_as_well(world: World, limit: int) -> None:
    pages = _pages(world, "mutes", limit=limit)
    sizes = [len(page["topics"]) + len(page["users"]) for page in pages]
    assert sizes[:-1] == [limit] * (len(pages) - 1)
    assert [topic for page in pages for topic in page["topics"]] == sorted(TOPICS)
    first_users = next(n for n, page in enumerate(pages) if page["users"])
    assert not any(page["topics"] for page in pages[first_users + 1 :])


def test_who_is_listed_is_told_with_name_and_relation(world: World) -> None:
    world.redis.user("user0000", display_name="The first", is_verified=True)
    world.redis.follow("ann", "user0000")
    for path in PATHS:
        page = world.ask("GET", f"/api/v1/users/me/{path}", "ann").json()
        assert page["users"][0] == {
            "user_id": "user0000",
            "username": "user0000",
            "display_name": "The first",
            "avatar": None,
            "is_verified": True,
            "is_following": True,
        }


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("status", ["deleted", "deactivated"])
def test_who_is_gone_is_on_no_list(world: World, path: str, status: str) -> None:
    world.redis.user("user0000", status=status)
    assert _users(world, path) == CROWD[1:]


def test_who_blocks_is_not_among_the_blocked(world: World) -> None:
    assert "eve" not in _users(world, "blocks")
    assert _users(world, "blocks", "user0000") == []
    assert _users(world, "blocks", "eve") == ["ann"]


def test_who_blocks_one_and_is_blocked_is_listed(world: World) -> None:
    world.redis.block("ann", "eve")
    assert "eve" in _users(world, "blocks")


def test_who_is_blocked_may_be_among_the_muted(world: World) -> None:
    """Each list says what the caller did, whatever else there is between the two."""
    world.redis.mute("ann", "u:eve")
    assert "eve" in _users(world, "mutes")


@pytest.mark.parametrize("path", PATHS)
def test_nobody_else_gets_a_list(world: World, path: str) -> None:
    problem_of(world.ask("GET", f"/api/v1/users/me/{path}"), 401)
    assert _users(world, path, "bob") == []
    assert world.ask("GET", f"/api/v1/users/ann/{path}", "eve").status_code == 404


@pytest.mark.parametrize("path", PATHS)
def test_a_list_needs_the_scope_read(world: World, path: str) -> None:
    token = issue(KEY, "ann", 60, "write")
    headers = {"Authorization": f"Bearer {token}"}
    problem_of(world.ask("GET", f"/api/v1/users/me/{path}", headers=headers), 403)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("params", "status"), [({"cursor": "x"}, 400), ({"limit": 101}, 422)])
def test_what_is_not_valid(world: World, path: str, params: dict[str, Any], status: int) -> None:
    problem_of(world.ask("GET", f"/api/v1/users/me/{path}", "ann", params=params), status)


def test_a_topic_with_the_longest_name_has_a_cursor(world: World) -> None:
    longest = "x" * 254
    world.redis.mute("bob", f"t:{longest}")
    world.redis.mute("bob", "u:ann")
    one, other = _pages(world, "mutes", "bob", limit=1)
    assert (one["topics"], one["next_cursor"]) == ([longest], encode_id(f"t:{longest}"))
    assert [each["user_id"] for each in other["users"]] == ["ann"]


@pytest.mark.parametrize("path", PATHS)
def test_without_cassandra_there_are_no_lists(world: World, path: str) -> None:
    world.archive.is_down = True
    problem_of(world.ask("GET", f"/api/v1/users/me/{path}", "ann"), 503)


@pytest.mark.parametrize("path", PATHS)
def test_without_redis_there_are(world: World, path: str) -> None:
    world.cache.is_down = True
    assert _users(world, path) == CROWD
