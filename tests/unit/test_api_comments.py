"""Comments as the API gives them: in order, page by page, and only to who may see them."""

from __future__ import annotations

from typing import Any

import pytest

from api.comments import MAX_BEST
from schemas.events import Engagement
from schemas.views import CommentCountsView, CommentView
from tests.unit.api_fakes import NOW, World, problem_of

PATH = "/api/v1/posts/p/comments"


@pytest.fixture
def world() -> World:
    """A public post by ann."""
    found = World()
    found.redis.user("ann")
    found.redis.post("p", "ann")
    return found


def _say(world: World, name: str, user: str = "bob", at: int = 0, **fields: Any) -> None:
    comment = CommentView("p", name, user, NOW + at, f"text of {name}", **fields)
    world.cassandra.comments["p", name] = comment


def _page(world: World, user: str | None = None, **params: Any) -> dict[str, Any]:
    response = world.ask("GET", PATH, user, params=params)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    assert page["has_more"] is (page["next_cursor"] is not None)
    return page


def _all(
    world: World, user: str | None = None, limit: int = 100, order: str = "newest"
) -> list[str]:
    found: list[str] = []
    params: dict[str, Any] = {"limit": limit, "order": order}
    while True:
        page = _page(world, user, **params)
        found += [each["comment_id"] for each in page["comments"]]
        if not page["has_more"]:
            return found
        params["cursor"] = page["next_cursor"]


def test_a_comment(world: World) -> None:
    world.redis.user("bob", display_name="Bob")
    _say(world, "c", parent="b")
    world.cassandra.comment_counts["c"] = CommentCountsView("p", "c", 3, 2)
    assert _page(world) == {
        "comments": [
            {
                "comment_id": "c",
                "user": {
                    "user_id": "bob",
                    "username": "bob",
                    "display_name": "Bob",
                    "avatar": None,
                    "is_verified": False,
                },
                "text": "text of c",
                "parent": "b",
                "created_at": "2026-01-01T12:00:00.000Z",
                "like_count": 3,
                "reply_count": 2,
            }
        ],
        "next_cursor": None,
        "has_more": False,
    }


@pytest.mark.parametrize("limit", [1, 7, 20, 100])
@pytest.mark.parametrize("count", [0, 1, 20, 101])
def test_the_newest_come_first_each_once(world: World, count: int, limit: int) -> None:
    names = [f"c{n:03}" for n in range(count)]
    for n, name in enumerate(names):
        _say(world, name, at=n // 3)
    assert _all(world, limit=limit) == names[::-1]


def _like(world: World, name: str, likes: int) -> None:
    world.redis.comment_counts[name] = CommentCountsView("p", name, likes)


@pytest.mark.parametrize("limit", [1, 7, 50, 100])
@pytest.mark.parametrize("count", [0, 1, 50, 51, 101])
def test_the_most_liked_come_first_each_once(world: World, count: int, limit: int) -> None:
    names = [f"c{n:03}" for n in range(count)]
    for n, name in enumerate(names):
        _say(world, name, at=-n)
        _like(world, name, n // 3)
    assert _all(world, limit=limit, order="likes") == names[::-1]


def test_so_many_are_listed_by_likes(world: World) -> None:
    for n in range(MAX_BEST + 20):
        _say(world, f"c{n:04}")
        _like(world, f"c{n:04}", n)
    found = _all(world, order="likes")
    assert found == [f"c{n:04}" for n in range(MAX_BEST + 19, 19, -1)]


def test_likes_that_change_between_two_pages_move_nothing_else(world: World) -> None:
    for n, name in enumerate("abcdef"):
        _say(world, name)
        _like(world, name, 10 * n)
    first = _page(world, limit=2, order="likes")
    assert [each["comment_id"] for each in first["comments"]] == ["f", "e"]
    _like(world, "b", 99)
    _like(world, "f", 15)
    rest = _page(world, order="likes", cursor=first["next_cursor"])
    assert [each["comment_id"] for each in rest["comments"]] == ["d", "c", "f", "a"]


def test_by_likes_too_only_what_is_there_and_may_be_seen_is_shown(world: World) -> None:
    world.redis.block("al", "foe")
    for name, user in (("c", "bob"), ("d", "foe"), ("e", "bob")):
        _say(world, name, user)
        _like(world, name, 1)
    del world.cassandra.comments["p", "e"]
    assert _all(world, "al", limit=1, order="likes") == ["c"]


@pytest.mark.parametrize("orders", [("newest", "likes"), ("likes", "newest")])
def test_the_cursor_of_another_order_is_refused(world: World, orders: tuple[str, str]) -> None:
    for name in "ab":
        _say(world, name)
        _like(world, name, 1)
    cursor = _page(world, limit=1, order=orders[0])["next_cursor"]
    problem_of(world.ask("GET", PATH, params={"cursor": cursor, "order": orders[1]}), 400)


def test_an_order_must_be_one(world: World) -> None:
    problem_of(world.ask("GET", PATH, params={"order": "best"}), 422)


def test_without_redis_there_is_no_list_by_likes(world: World) -> None:
    _say(world, "c")
    world.cache.is_down = True
    problem_of(world.ask("GET", PATH, params={"order": "likes"}), 503)


def test_the_comments_of_who_is_gone_blocked_or_muted_are_not_shown(world: World) -> None:
    world.redis.user("left", status="deactivated")
    world.redis.block("al", "foe")
    world.redis.mute("al", "u:bore")
    for user in ("left", "foe", "bore", "al", "bob"):
        _say(world, f"by {user}", user)
    assert set(_all(world, "al")) == {"by al", "by bob"}
    assert set(_all(world)) == {"by foe", "by bore", "by al", "by bob"}


def test_one_request_looks_at_so_many(world: World) -> None:
    world.redis.mute("al", "u:bore")
    for n in range(620):
        _say(world, f"c{n:03}", "bore", at=1)
    _say(world, "c", "bob")
    page = _page(world, "al", limit=1)
    assert page["comments"] == []
    assert page["has_more"]
    assert world.archive.calls.count("comments") == 10
    assert _all(world, "al", limit=1) == ["c"]


@pytest.mark.parametrize("gone", [0, 49, 50, 51])
def test_comments_that_go_while_they_are_read_end_no_page(world: World, gone: int) -> None:
    names = [f"c{n:03}" for n in range(120)]
    for n, name in enumerate(names):
        _say(world, name, at=-n)
    del world.cassandra.comments["p", names[gone]]
    world.cassandra.left.add((NOW - gone, names[gone]))
    left = [name for name in names if name != names[gone]]
    for limit in (1, 50, 100):
        assert _all(world, limit=limit) == left


@pytest.mark.parametrize(("visibility", "shown"), [("public", ["c"]), ("followers", [])])
def test_without_redis_only_what_anybody_may_read_is_shown(
    world: World, visibility: str, shown: list[str]
) -> None:
    """As it is not known whether who comments blocks the caller."""
    world.redis.post("p", "ann", visibility=visibility)
    world.redis.follow("al", "ann")
    world.redis.user("bob")
    _say(world, "c")
    world.cache.is_down = True
    assert _all(world, "al") == shown


@pytest.mark.parametrize(
    ("post", "viewer"),
    [
        pytest.param({"visibility": "followers"}, "al", id="for followers"),
        pytest.param({"visibility": "private"}, "al", id="private"),
        pytest.param({"visibility": "followers"}, None, id="for followers, and nobody asks"),
        pytest.param({"is_deleted": True}, "ann", id="deleted"),
    ],
)
def test_comments_on_what_may_not_be_seen_are_not_there(
    world: World, post: dict[str, Any], viewer: str | None
) -> None:
    world.redis.post("p", "ann", **post)
    _say(world, "c")
    problem_of(world.ask("GET", PATH, viewer), 404)


def test_no_post_no_comments(world: World) -> None:
    problem_of(world.ask("GET", "/api/v1/posts/q/comments"), 404)


def test_the_cursor_of_another_list_is_refused(world: World) -> None:
    problem_of(world.ask("GET", PATH, params={"cursor": "AmFubg"}), 400)


def test_without_cassandra_there_are_none(world: World) -> None:
    world.archive.is_down = True
    problem_of(world.ask("GET", PATH), 503)


@pytest.mark.parametrize("action", ["like", "unlike", "react"])
def test_a_comment_is_liked(world: World, action: str) -> None:
    _say(world, "c")
    body = {"action": action, "comment_id": "c"} | ({"kind": "wow"} if action == "react" else {})
    response = world.ask("POST", "/api/v1/posts/p/engagements", "al", json=body)
    assert response.status_code == 202, response.text
    (event,) = world.writer.events
    assert isinstance(event, Engagement)
    assert (event.action, event.post_id, event.comment_id) == (action, "p", "c")


def test_a_comment_that_is_not_there_is_not_liked(world: World) -> None:
    body = {"action": "like", "comment_id": "c"}
    problem_of(world.ask("POST", "/api/v1/posts/p/engagements", "al", json=body), 404)
    assert world.writer.events == []


def test_a_comment_that_is_not_shown_is_not_liked(world: World) -> None:
    world.redis.block("al", "bob")
    _say(world, "c")
    body = {"action": "like", "comment_id": "c"}
    problem_of(world.ask("POST", "/api/v1/posts/p/engagements", "al", json=body), 404)
    assert world.writer.events == []
