"""Writes: what is published, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from api.ids import Mint, is_id
from schemas.codec import decode, encode
from schemas.events import Engagement, Follow, Media, Post, User
from schemas.views import CommentView
from tests.unit.api_fakes import NOW, World, problem_of

ENGAGE = "/api/v1/posts/p/engagements"


@pytest.fixture
def world() -> World:
    world = World()
    world.redis.user("bob")
    world.redis.post("p", "bob")
    return world


def test_a_post_is_published_as_it_was_sent(world: World) -> None:
    body = {
        "content": "hi",
        "media": [{"url": "https://x/a.mp4", "kind": "video", "width": 4, "height": 3}],
        "media_urls": ["https://x/b.jpg"],
        "visibility": "custom",
        "audience": ["cy", "cy", "dee"],
        "quote_of": "p",
        "language": "en",
    }
    response = world.ask("POST", "/api/v1/posts", "al", json=body)
    assert response.status_code == 202
    [event] = world.writer.events
    assert event == Post(
        event_id=response.json()["event_id"],
        action="created",
        post_id=response.json()["post_id"],
        at=NOW,
        author_id="al",
        content="hi",
        media=(
            Media(url="https://x/a.mp4", kind="video", width=4, height=3),
            Media(url="https://x/b.jpg"),
        ),
        visibility="custom",
        audience=("cy", "dee"),
        quote_of="p",
        language="en",
    )
    assert decode(encode(event)) == event


LONG = "é" * 32_769
BAD_POSTS: list[tuple[dict[str, Any], str]] = [
    ({}, "body"),
    ({"content": ""}, "body"),
    ({"content": LONG}, "body.content"),
    ({"content": "x", "visibility": "secret"}, "body.visibility"),
    ({"content": "x", "visibility": "custom"}, "body"),
    ({"content": "x", "audience": ["cy"]}, "body"),
    ({"content": "x", "visibility": "custom", "audience": ["a\nb"]}, "body.audience.0"),
    ({"content": "x", "visibility": "custom", "audience": ["a"] * 10_001}, "body.audience"),
    ({"content": "x", "media_urls": ["https://x/y"] * 65}, "body.media_urls"),
    ({"content": "x", "media_urls": ["javascript:alert(1)"]}, "body.media_urls.0"),
    ({"content": "x", "reply_to": "nothing"}, "body.reply_to"),
    ({"content": "x", "reply_to": "x" * 257}, "body.reply_to"),
    ({"content": "x", "post_id": "mine"}, "body.post_id"),
    ({"content": "x", "author_id": "bob"}, "body.author_id"),
    ({"content": 7}, "body.content"),
]


@pytest.mark.parametrize(("body", "field"), BAD_POSTS)
def test_a_post_that_does_not_do_is_refused(world: World, body: dict[str, Any], field: str) -> None:
    problem = problem_of(world.ask("POST", "/api/v1/posts", "al", json=body), 422)
    assert field in [error["field"] for error in problem["errors"]]
    assert LONG not in str(problem)
    assert world.writer.events == []


def test_content_of_64_kib_is_taken(world: World) -> None:
    body = {"content": "é" * 32_768}
    assert world.ask("POST", "/api/v1/posts", "al", json=body).status_code == 202


@pytest.mark.parametrize("raw", [b"{", b"", b'{"content": "\\ud800"}', b"[]", b"null", b"\xff"])
def test_a_body_that_is_no_post_is_refused(world: World, raw: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = world.ask("POST", "/api/v1/posts", "al", content=raw, headers=headers)
    problem_of(response, response.status_code)
    assert response.status_code in (400, 422)


def test_a_body_of_another_kind_is_refused(world: World) -> None:
    problem_of(world.ask("POST", "/api/v1/posts", "al", content=b"content=x"), 415)


def test_only_the_author_deletes(world: World) -> None:
    problem_of(world.ask("DELETE", "/api/v1/posts/p", "al"), 403)
    problem_of(world.ask("DELETE", "/api/v1/posts/none", "bob"), 404)
    assert world.writer.events == []
    assert world.ask("DELETE", "/api/v1/posts/p", "bob").status_code == 202
    [event] = world.writer.events
    assert isinstance(event, Post)
    assert (event.action, event.post_id, event.author_id) == ("deleted", "p", "bob")
    decode(encode(event))


def test_ids_with_slashes_are_ids(world: World) -> None:
    name = "at://did:plc:x/app.bsky.feed.post/3k"
    world.redis.post(name, "bob")
    path = "/api/v1/posts/at%3A%2F%2Fdid%3Aplc%3Ax%2Fapp.bsky.feed.post%2F3k"
    assert world.ask("GET", path).json()["post_id"] == name
    world.ask("POST", path + "/engagements", "al", json={"action": "like"})
    assert isinstance(event := world.writer.events[0], Engagement)
    assert event.post_id == name


def test_an_engagement_is_published(world: World) -> None:
    body = {
        "action": "react",
        "kind": "love",
        "dwell_ms": 1200,
        "surface": {"feed": "latest", "position": 3},
    }
    response = world.ask("POST", ENGAGE, "al", json=body)
    assert response.status_code == 202
    [event] = world.writer.events
    assert isinstance(event, Engagement)
    assert (event.action, event.kind, event.user_id, event.post_id, event.at) == (
        "react",
        "love",
        "al",
        "p",
        NOW,
    )
    assert event.surface is not None
    assert decode(encode(event)) == event


def test_a_comment_gets_an_id(world: World) -> None:
    response = world.ask("POST", ENGAGE, "al", json={"action": "comment", "text": "hm"})
    assert isinstance(event := world.writer.events[0], Engagement)
    assert event.comment_id == response.json()["comment_id"]
    assert is_id(event.comment_id)
    body = {"action": "comment", "text": "hm", "comment_id": "mine", "parent": "c0"}
    assert world.ask("POST", ENGAGE, "al", json=body).json()["comment_id"] == "mine"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action": "message"},
        {"action": "profile_view"},
        {"action": "react"},
        {"action": "react", "kind": "No Kind"},
        {"action": "comment"},
        {"action": "comment", "text": ""},
        {"action": "comment", "text": LONG},
        {"action": "comment_deleted"},
        {"action": "like", "text": "x"},
        {"action": "like", "user_id": "bob"},
        {"action": "like", "at": 1},
    ],
)
def test_an_engagement_that_does_not_do_is_refused(world: World, body: dict[str, Any]) -> None:
    problem_of(world.ask("POST", ENGAGE, "al", json=body), 422)
    assert world.writer.events == []


def test_only_public_posts_are_shared(world: World) -> None:
    world.redis.post("p", "bob", visibility="followers")
    world.redis.follow("al", "bob")
    problem_of(world.ask("POST", ENGAGE, "al", json={"action": "share"}), 422)
    assert world.ask("POST", ENGAGE, "al", json={"action": "like"}).status_code == 202


@pytest.mark.parametrize(("user", "status"), [("al", 403), ("cy", 202), ("bob", 202)])
def test_a_comment_is_deleted_by_its_author_or_the_posts(
    world: World, user: str, status: int
) -> None:
    world.cassandra.comments["p", "c"] = CommentView("p", "c", "cy", NOW)
    body = {"action": "comment_deleted", "comment_id": "c"}
    assert world.ask("POST", ENGAGE, user, json=body).status_code == status
    assert len(world.writer.events) == (status == 202)


def test_one_may_erase_oneself_and_nobody_else(world: World) -> None:
    response = world.ask("DELETE", "/api/v1/users/al", "al")
    assert response.status_code == 202
    [event] = world.writer.events
    assert isinstance(event, User)
    assert (event.action, event.user_id) == ("deleted", "al")
    problem_of(world.ask("DELETE", "/api/v1/users/bob", "al"), 403)
    problem_of(world.ask("DELETE", "/api/v1/users/al"), 401)
    assert len(world.writer.events) == 1


@pytest.mark.parametrize(
    ("body", "is_favourite"),
    [(None, False), ({}, False), ({"is_favourite": False}, False), ({"is_favourite": True}, True)],
)
def test_follow_and_unfollow(
    world: World, body: dict[str, bool] | None, is_favourite: bool
) -> None:
    assert world.ask("POST", "/api/v1/users/bob/follow", "al", json=body).status_code == 202
    assert world.ask("DELETE", "/api/v1/users/bob/follow", "al").status_code == 202
    assert [
        (event.action, event.user_id, event.target, event.is_favourite)
        for event in world.writer.events
        if isinstance(event, Follow)
    ] == [("follow", "al", "u:bob", is_favourite), ("unfollow", "al", "u:bob", False)]


@pytest.mark.parametrize("body", [{"is_favourite": "maybe"}, {"favourite": True}, [], "x"])
def test_how_a_user_is_followed_must_be_said_well(world: World, body: object) -> None:
    problem_of(world.ask("POST", "/api/v1/users/bob/follow", "al", json=body), 422)
    assert world.writer.events == []


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_following_oneself_or_nobody_is_refused(world: World, method: str) -> None:
    problem_of(world.ask(method, "/api/v1/users/al/follow", "al"), 422)
    problem_of(world.ask(method, "/api/v1/users/nobody/follow", "al"), 404)
    problem_of(world.ask(method, "/api/v1/users/a%00b/follow", "al"), 422)
    assert world.writer.events == []


def test_a_user_without_a_profile_is_followed_for_posts_or_audience(world: World) -> None:
    world.redis.post("q", "writer")
    world.redis.source("u:known", 3)
    for name in ("writer", "known"):
        assert world.ask("POST", f"/api/v1/users/{name}/follow", "al").status_code == 202


def test_a_block_excludes_a_follow(world: World) -> None:
    world.redis.block("bob", "al")
    problem_of(world.ask("POST", "/api/v1/users/bob/follow", "al"), 403)
    assert world.writer.events == []


def test_an_account_that_is_gone_is_left_but_not_followed(world: World) -> None:
    world.redis.user("bob", status="deleted")
    problem_of(world.ask("POST", "/api/v1/users/bob/follow", "al"), 404)
    assert world.ask("DELETE", "/api/v1/users/bob/follow", "al").status_code == 202


def test_kafka_down_is_a_problem(world: World) -> None:
    world.writer.is_down = True
    for path, body in (
        ("/api/v1/posts", {"content": "x"}),
        (ENGAGE, {"action": "like"}),
        ("/api/v1/users/bob/follow", None),
    ):
        problem_of(world.ask("POST", path, "al", json=body), 503)


def test_minted_ids_are_short_distinct_and_sort_by_time() -> None:
    mint = Mint()
    made = [mint.new(NOW + number // 50) for number in range(5_000)]
    assert sorted(made) == made
    assert len(set(made)) == len(made)
    assert {len(name) for name in made} == {26}
    assert Mint().new(NOW) < Mint().new(NOW + 1)


def test_ids_of_one_time_rise_also_when_others_are_made_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests that came in one ms make them while others come: the later one is the newer."""
    falling = iter(range(9_000, 0, -1))
    monkeypatch.setattr("api.ids.secrets.randbits", lambda _bits: next(falling))
    mint = Mint()
    made = [(at, mint.new(at)) for at in [NOW, NOW + 1, NOW, NOW - 1, NOW + 1, NOW, NOW - 1]]
    for at in (NOW - 1, NOW, NOW + 1):
        of_one = [name for when, name in made if when == at]
        assert sorted(of_one) == of_one
    for number in range(5_000):
        mint.new(NOW + number)
    assert len(mint._newest) == 4_096
