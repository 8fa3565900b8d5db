"""Who may see what, by every route that would tell."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api_fakes import World, ids, problem_of

VIEWERS = ("author", "mutual", "follower", "followed", "listed", "stranger", None)
MAY_SEE = {
    "public": set(VIEWERS),
    "followers": {"author", "mutual", "follower"},
    "friends": {"author", "mutual"},
    "custom": {"author", "listed"},
    "private": {"author"},
}
CASES = [
    (visibility, viewer, viewer in allowed)
    for visibility, allowed in MAY_SEE.items()
    for viewer in VIEWERS
]


@pytest.fixture
def world() -> World:
    world = World()
    for viewer in ("mutual", "follower"):
        world.redis.follow(viewer, "author")
    for viewer in ("mutual", "followed"):
        world.redis.follow("author", viewer)
    for viewer in VIEWERS:
        if viewer:
            world.redis.user(viewer)
            world.redis.entry(viewer, "p", "u:author")
    return world


def put(world: World, visibility: str = "public", **fields: Any) -> None:
    audience = ("listed",) if visibility == "custom" else ()
    world.redis.post("p", "author", visibility=visibility, audience=audience, **fields)


def is_erased(world: World, viewer: str | None) -> bool:
    """Whether a viewer writes no more, whatever there is to be seen."""
    user = world.redis.found.users.get(viewer or "")
    return user is not None and user.status == "deleted"


def sees(world: World, viewer: str | None) -> set[bool]:
    """Whether each route shows the post to a viewer."""
    answers = {world.ask("GET", "/api/v1/posts/p", viewer).status_code}
    shown = set()
    if viewer is not None:
        path = "/api/v1/posts/p/engagements"
        answers.add(world.ask("POST", path, viewer, json={"action": "like"}).status_code)
        body = {"content": "x", "reply_to": "p"}
        answers.add(world.ask("POST", "/api/v1/posts", viewer, json=body).status_code)
        body = {"content": "x", "quote_of": "p"}
        answers.add(world.ask("POST", "/api/v1/posts", viewer, json=body).status_code)
        shown.add(ids(world.feed(viewer)) == ["p"])
    assert answers <= {200, 202} or answers <= {404, 422} or is_erased(world, viewer), answers
    return shown | {answers <= {200, 202}}


@pytest.mark.parametrize(("visibility", "viewer", "is_seen"), CASES)
def test_each_visibility_by_each_route(
    world: World, visibility: str, viewer: str | None, is_seen: bool
) -> None:
    put(world, visibility)
    assert sees(world, viewer) == {is_seen}


@pytest.mark.parametrize(("visibility", "viewer", "is_seen"), CASES)
def test_the_same_holds_with_redis_down(
    world: World, visibility: str, viewer: str | None, is_seen: bool
) -> None:
    """But for a listed reader who does not follow: a block cannot be excluded then."""
    put(world, visibility)
    world.cache.is_down = True
    expected = is_seen and (visibility, viewer) != ("custom", "listed")
    assert sees(world, viewer) == {expected}


@pytest.mark.parametrize("visibility", MAY_SEE)
@pytest.mark.parametrize("viewer", [viewer for viewer in VIEWERS if viewer not in ("author", None)])
def test_a_block_hides_every_post(world: World, visibility: str, viewer: str) -> None:
    put(world, visibility)
    world.redis.block("author", viewer)
    assert sees(world, viewer) == {False}


@pytest.mark.parametrize("viewer", VIEWERS)
def test_a_deleted_post_is_gone_for_all(world: World, viewer: str | None) -> None:
    put(world, is_deleted=True)
    assert sees(world, viewer) == {False}


@pytest.mark.parametrize("status", ["deleted", "deactivated"])
@pytest.mark.parametrize("viewer", VIEWERS)
def test_posts_of_an_account_that_is_gone_are_gone(
    world: World, status: str, viewer: str | None
) -> None:
    put(world)
    world.redis.user("author", status=status)
    assert sees(world, viewer) == {False}
    assert world.ask("GET", "/api/v1/users/author", viewer).status_code == 404


def test_a_share_by_someone_blocked_is_no_reason(world: World) -> None:
    put(world)
    world.redis.entry("stranger", "p", "s:troll")
    world.redis.block("stranger", "troll")
    assert world.feed("stranger")["posts"][0]["reasons"] == ["u:author"]
    world.redis.rows["stranger"] = []
    world.redis.entry("stranger", "p", "s:troll")
    assert world.feed("stranger")["posts"] == []


def test_what_may_not_be_seen_is_answered_like_what_is_not_there(world: World) -> None:
    put(world, "private")
    hidden = world.ask("GET", "/api/v1/posts/p", "stranger")
    absent = world.ask("GET", "/api/v1/posts/q", "stranger")
    assert hidden.content == absent.content
    assert hidden.headers == absent.headers
    problem_of(hidden, 404)
    for method, path, body in (
        ("POST", "/api/v1/posts/{}/engagements", {"action": "view"}),
        ("POST", "/api/v1/posts/{}/engagements", {"action": "share"}),
        ("POST", "/api/v1/posts/{}/engagements", {"action": "comment_deleted", "comment_id": "c"}),
        ("DELETE", "/api/v1/posts/{}", None),
    ):
        answers = [
            world.ask(method, path.format(name), "stranger", json=body).content for name in "pq"
        ]
        assert answers[0] == answers[1]
    assert world.writer.events == []


def test_an_audience_is_not_told(world: World) -> None:
    put(world, "custom")
    assert "listed" not in world.ask("GET", "/api/v1/posts/p", "author").text


def test_a_post_that_cannot_be_known_is_not_called_absent(world: World) -> None:
    world.archive.is_down = True
    problem_of(world.ask("GET", "/api/v1/posts/p", "stranger"), 503)
    problem_of(world.ask("GET", "/api/v1/users/nobody", "stranger"), 503)
