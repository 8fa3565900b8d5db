"""Lists of users: who is on them, page by page, and who is not shown."""

from __future__ import annotations

from typing import Any

import pytest

from api.cursors import decode_id, encode_id
from api.people import MAX_EXAMINED
from tests.unit.api_fakes import World, problem_of

CROWD = [f"user{n:04}" for n in range(250)]


@pytest.fixture
def world() -> World:
    """ann, whom a crowd follows, and who follows some of it."""
    found = World()
    found.redis.user("ann")
    for name in CROWD:
        found.redis.follow(name, "ann")
    for name in CROWD[::5]:
        found.redis.follow("ann", name)
    found.redis.found.follows.add(("ann", "t:rust"))
    return found


def _page(world: World, path: str, user: str | None = None, **params: Any) -> dict[str, Any]:
    response = world.ask("GET", f"/api/v1/users/{path}", user, params=params)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    assert page["has_more"] is (page["next_cursor"] is not None)
    return page


def _all(world: World, path: str, user: str | None = None, limit: int = 100) -> list[str]:
    found: list[str] = []
    params: dict[str, Any] = {"limit": limit}
    while True:
        page = _page(world, path, user, **params)
        found += [each["user_id"] for each in page["users"]]
        if not page["has_more"]:
            return found
        assert page["users"], "a page without users, though many are to be shown"
        params["cursor"] = page["next_cursor"]


@pytest.mark.parametrize("limit", [1, 50, 83, 100])
def test_followers_come_page_by_page_each_once(world: World, limit: int) -> None:
    assert _all(world, "ann/followers", limit=limit) == CROWD


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200])
def test_the_last_page_says_that_it_is(count: int) -> None:
    world = World()
    world.redis.user("ann")
    for name in CROWD[:count]:
        world.redis.follow(name, "ann")
    assert _all(world, "ann/followers") == CROWD[:count]
    page = _page(world, "ann/followers", limit=100)
    assert page["has_more"] is (count > 100)


def test_topics_are_not_among_the_users_who_are_followed(world: World) -> None:
    assert _all(world, "ann/following") == CROWD[::5]


def test_who_is_listed_is_told_with_name_and_relation(world: World) -> None:
    world.redis.user("user0000", display_name="The first", is_verified=True)
    world.redis.follow("bob", "user0000")
    first, second = _page(world, "ann/followers", "bob", limit=2)["users"]
    assert first == {
        "user_id": "user0000",
        "username": "user0000",
        "display_name": "The first",
        "avatar": None,
        "is_verified": True,
        "is_following": True,
    }
    assert second["user_id"] == "user0001"
    assert second["is_following"] is False
    anonymous = _page(world, "ann/followers", limit=1)["users"]
    assert [each["is_following"] for each in anonymous] == [False]


@pytest.mark.parametrize("status", ["deleted", "deactivated"])
def test_who_is_gone_is_on_no_list(world: World, status: str) -> None:
    world.redis.user("user0000", status=status)
    for path in ("ann/followers", "ann/following"):
        assert "user0000" not in _all(world, path)


def test_who_blocks_or_is_blocked_is_not_shown(world: World) -> None:
    world.redis.block("bob", "user0000")
    world.redis.block("user0005", "bob")
    for path in ("ann/followers", "ann/following"):
        found = _all(world, path, "bob")
        assert not {"user0000", "user0005"} & set(found)
        assert "user0010" in found


@pytest.mark.parametrize("path", ["followers", "following", "mutuals"])
@pytest.mark.parametrize("status", [None, "deleted", "deactivated"])
def test_lists_of_who_is_not_there_are_not_there(path: str, status: str | None) -> None:
    world = World()
    if status is not None:
        world.redis.user("ann", status=status)
    problem_of(world.ask("GET", f"/api/v1/users/ann/{path}", "bob"), 404)


def test_mutuals_are_followers_whom_the_caller_follows(world: World) -> None:
    for name in (*CROWD[100:103], "stranger"):
        world.redis.follow("bob", name)
    assert _all(world, "ann/mutuals", "bob") == CROWD[100:103]
    assert _all(world, "ann/mutuals", "bob", limit=2) == CROWD[100:103]
    problem_of(world.ask("GET", "/api/v1/users/ann/mutuals"), 401)


def test_one_request_looks_through_so_many_and_says_where_to_go_on(world: World) -> None:
    strangers = [f"a{n:05}" for n in range(MAX_EXAMINED + 200)]
    for name in (*strangers, CROWD[0]):
        world.redis.follow("bob", name)
    page = _page(world, "ann/mutuals", "bob", limit=5)
    assert page["users"] == []
    assert decode_id(page["next_cursor"]) == strangers[MAX_EXAMINED - 1]
    assert world.archive.calls.count("followed") == 10
    page = _page(world, "ann/mutuals", "bob", limit=5, cursor=page["next_cursor"])
    assert [each["user_id"] for each in page["users"]] == [CROWD[0]]
    assert page["has_more"] is False


def test_a_user_whose_name_has_slashes(world: World) -> None:
    world.redis.user("at://x/followers")
    world.redis.follow("bob", "at://x/followers")
    assert _all(world, "at://x/followers/followers") == ["bob"]


@pytest.mark.parametrize("text", ["", "x", "AQ", "Ag", "Agb/", "AmFubg==", "Ag" + "A" * 400])
def test_other_cursors_are_refused(world: World, text: str) -> None:
    response = world.ask("GET", "/api/v1/users/ann/followers", params={"cursor": text})
    assert problem_of(response, 400)["type"].endswith("bad-cursor")


@pytest.mark.parametrize("user_id", ["ann", "日本", "x" * 256])
def test_cursors_come_back(user_id: str) -> None:
    assert decode_id(encode_id(user_id)) == user_id


@pytest.mark.parametrize("limit", [0, 101])
def test_limits(world: World, limit: int) -> None:
    problem_of(world.ask("GET", "/api/v1/users/ann/followers", params={"limit": limit}), 422)


def test_without_cassandra_there_are_no_lists(world: World) -> None:
    world.archive.is_down = True
    problem_of(world.ask("GET", "/api/v1/users/ann/followers"), 503)


def test_without_redis_there_are(world: World) -> None:
    world.cache.is_down = True
    assert _all(world, "ann/followers") == CROWD
