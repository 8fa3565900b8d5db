"""Lists of posts: many by id, a user's, and those the caller likes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api_fakes import NOW, World, ids, problem_of

POSTS = "/api/v1/posts"
LIKES = "/api/v1/users/me/likes"


@pytest.fixture
def world() -> World:
    world = World()
    for user in ("al", "bob", "cy"):
        world.redis.user(user)
    return world


def walk(world: World, path: str, user: str | None, limit: int) -> list[list[str]]:
    """The posts of all pages."""
    found: list[list[str]] = []
    params: dict[str, Any] = {"limit": limit}
    while True:
        page = world.ask("GET", path, user, params=params).json()
        found.append(ids(page))
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            return found
        params["cursor"] = page["next_cursor"]
        assert len(found) < 100


# Many by id


def test_many_posts_keep_their_order_and_miss_what_may_not_be_seen(world: World) -> None:
    world.redis.post("a", "bob")
    world.redis.post("b", "bob", visibility="private")
    world.redis.post("c", "bob", visibility="followers")
    world.redis.post("d", "bob", is_deleted=True)
    world.redis.post("e", "al", visibility="private")
    world.redis.react("al", "a", kind="wow")
    world.redis.follow("al", "bob")
    page = world.ask("GET", POSTS, "al", params={"ids": "e,nothing,d,c,b,a,c"}).json()
    assert ids(page) == ["e", "c", "a"]
    assert [post["my_reaction"] for post in page["posts"]] == [None, None, "wow"]
    assert page["degraded"] == []
    assert ids(world.ask("GET", POSTS, params={"ids": "e,c,b,a"}).json()) == ["a"]


@pytest.mark.parametrize(
    ("asked", "is_valid"),
    [
        (",".join(f"p{n}" for n in range(100)), True),
        (",".join(f"p{n}" for n in range(101)), False),
        ("p", True),
        ("", False),
        ("p,", False),
        ("p,a\nb", False),
        ("x" * 257, False),
    ],
)
def test_how_many_and_which_ids(world: World, asked: str, is_valid: bool) -> None:
    response = world.ask("GET", POSTS, "al", params={"ids": asked})
    if is_valid:
        assert (response.status_code, response.json()["posts"]) == (200, [])
    else:
        assert problem_of(response, 422)["errors"][0]["field"] == "query.ids"


def test_many_posts_take_two_loads_of_redis(world: World) -> None:
    for n in range(50):
        world.redis.post(f"p{n}", "bob")
    asked = ",".join(f"p{n}" for n in range(50))
    assert len(ids(world.ask("GET", POSTS, "al", params={"ids": asked}).json())) == 50
    assert world.cache.calls == ["load", "load"]


def test_many_posts_while_a_store_is_down(world: World) -> None:
    world.redis.post("a", "bob")
    world.split()
    world.cassandra.post("b", "bob")
    world.cassandra.user("bob")
    world.archive.is_down = True
    page = world.ask("GET", POSTS, "al", params={"ids": "a,b"}).json()
    assert (ids(page), page["degraded"]) == (["a"], ["cassandra"])
    world.archive.is_down, world.cache.is_down = False, True
    page = world.ask("GET", POSTS, "al", params={"ids": "a,b"}).json()
    assert (ids(page), page["degraded"]) == (["b"], ["redis"])
    world.archive.is_down = True
    problem_of(world.ask("GET", POSTS, "al", params={"ids": "a,b"}), 503)


def test_whose_author_may_be_gone_is_not_shown(world: World) -> None:
    world.redis.post("a", "dee")  # of whom Redis knows nothing
    world.archive.is_down = True
    page = world.ask("GET", POSTS, "al", params={"ids": "a"}).json()
    assert (ids(page), page["degraded"]) == ([], ["cassandra"])


# A user's


def test_a_users_posts_newest_first(world: World) -> None:
    for n in range(7):
        world.redis.post(f"p{n}", "bob", NOW + n // 2)
    world.redis.post("other", "cy")
    assert walk(world, "/api/v1/users/bob/posts", None, 3) == [
        ["p6", "p5", "p4"],
        ["p3", "p2", "p1"],
        ["p0"],
    ]
    assert walk(world, "/api/v1/users/bob/posts", "al", 7) == [[f"p{6 - n}" for n in range(7)]]


def test_a_users_posts_are_those_that_the_caller_may_see(world: World) -> None:
    for n, visibility in enumerate(("public", "followers", "friends", "private")):
        world.redis.post(visibility, "bob", NOW - n, visibility=visibility)
    world.redis.post("listed", "bob", NOW - 9, visibility="custom", audience=("cy",))
    world.redis.follow("al", "bob")
    path = "/api/v1/users/bob/posts"
    everything = ["public", "followers", "friends", "private", "listed"]
    assert walk(world, path, None, 9) == [["public"]]
    assert walk(world, path, "al", 9) == [["public", "followers"]]
    assert walk(world, path, "cy", 9) == [["public", "listed"]]
    assert walk(world, path, "bob", 9) == [everything]
    world.redis.block("bob", "cy")
    assert walk(world, path, "cy", 9) == [[]]


def test_pages_are_refilled_up_to_a_bound(world: World) -> None:
    for n in range(600):
        world.redis.post(f"p{n:03}", "bob", NOW + n, visibility="private")
    world.redis.post("old", "bob", NOW - 1)
    assert walk(world, "/api/v1/users/bob/posts", "al", 5) == [[], ["old"]]


def test_a_post_is_listed_under_its_time_only(world: World) -> None:
    """A row of a place that it had before may stand a moment longer."""
    world.redis.post("p", "bob", NOW)
    world.split()
    world.cassandra.post("p", "bob", NOW - 9)
    world.cassandra.post("q", "bob", NOW - 10)
    world.cassandra.user("bob")
    assert walk(world, "/api/v1/users/bob/posts", None, 5) == [["q"]]


@pytest.mark.parametrize("status", ["deleted", "deactivated"])
def test_who_is_gone_has_no_list(world: World, status: str) -> None:
    world.redis.post("p", "dee")
    world.redis.user("dee", status=status)
    for user_id in ("dee", "nobody"):
        problem_of(world.ask("GET", f"/api/v1/users/{user_id}/posts", "al"), 404)


def test_a_users_posts_while_a_store_is_down(world: World) -> None:
    world.redis.post("p", "bob")
    world.cache.is_down = True
    page = world.ask("GET", "/api/v1/users/bob/posts", "al").json()
    assert (ids(page), page["degraded"]) == (["p"], ["redis"])
    world.cache.is_down, world.archive.is_down = False, True
    problem_of(world.ask("GET", "/api/v1/users/bob/posts", "al"), 503)


# Those the caller likes


def test_likes_newest_reaction_first(world: World) -> None:
    for n in range(5):
        world.redis.post(f"p{n}", "bob", NOW - n)
        world.redis.react("al", f"p{n}", NOW + n // 2, "love" if n == 4 else "like")
    page = world.ask("GET", LIKES, "al", params={"limit": 2}).json()
    assert ids(page) == ["p4", "p3"]
    assert page["posts"][0]["my_reaction"] == "love"
    assert page["posts"][0]["reacted_at"] == "2026-01-01T12:00:00.002Z"
    assert walk(world, LIKES, "al", 2) == [["p4", "p3"], ["p2", "p1"], ["p0"]]
    assert walk(world, LIKES, "cy", 2) == [[]]


def test_likes_that_may_no_longer_be_seen_are_left_out(world: World) -> None:
    for n, fields in enumerate(({}, {"visibility": "private"}, {"is_deleted": True})):
        world.redis.post(f"p{n}", "bob", **fields)
        world.redis.react("al", f"p{n}", NOW + n)
    assert walk(world, LIKES, "al", 5) == [["p0"]]
    world.redis.block("bob", "al")
    assert walk(world, LIKES, "al", 5) == [[]]


def test_likes_go_on_in_cassandra(world: World) -> None:
    """Redis holds the newest 10,000."""
    world.split()
    for n in range(6):
        world.redis.post(f"p{n}", "bob")
        world.cassandra.react("al", f"p{n}", NOW - n)
    for n in range(3):
        world.redis.react("al", f"p{n}", NOW - n)
    assert walk(world, LIKES, "al", 2) == [["p0", "p1"], ["p2", "p3"], ["p4", "p5"]]
    page = world.ask("GET", LIKES, "al").json()
    assert all(post["is_liked"] for post in page["posts"])


def test_likes_while_a_store_is_down(world: World) -> None:
    for n in range(3):
        world.redis.post(f"p{n}", "bob")
        world.redis.react("al", f"p{n}", NOW - n)
    world.cache.is_down = True
    page = world.ask("GET", LIKES, "al").json()
    assert (ids(page), page["degraded"], page["has_more"]) == (["p0", "p1", "p2"], ["redis"], False)
    world.cache.is_down, world.archive.is_down = False, True
    page = world.ask("GET", LIKES, "al").json()
    assert (ids(page), page["degraded"]) == (["p0", "p1", "p2"], ["cassandra"])
    assert page["has_more"], "more may be in Cassandra"
    world.archive.is_down = False
    cursor = page["next_cursor"]
    assert ids(world.ask("GET", LIKES, "al", params={"cursor": cursor}).json()) == []
    world.cache.is_down = world.archive.is_down = True
    problem_of(world.ask("GET", LIKES, "al"), 503)


def test_nobody_sees_what_others_like(world: World) -> None:
    world.redis.post("p", "bob")
    world.redis.react("bob", "p")
    problem_of(world.ask("GET", LIKES), 401)
    problem_of(world.ask("GET", "/api/v1/users/bob/likes", "al"), 404)


@pytest.mark.parametrize("path", [LIKES, "/api/v1/users/bob/posts"])
def test_what_is_not_valid(world: World, path: str) -> None:
    for limit in (0, 101, "x"):
        problem_of(world.ask("GET", path, "al", params={"limit": limit}), 422)
    problem_of(world.ask("GET", path, "al", params={"cursor": "x"}), 400)
