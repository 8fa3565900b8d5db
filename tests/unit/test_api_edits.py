"""Editing posts and profiles, and what each path publishes."""

from __future__ import annotations

from typing import Any

import pytest

from api.auth import issue
from schemas.codec import decode, encode
from schemas.events import Engagement, Follow, Media, Post, User
from schemas.validation import validate
from schemas.views import CommentView
from tests.unit.api_fakes import KEY, NOW, World, problem_of

POST = "/api/v1/posts/p"
ME = "/api/v1/users/me"


@pytest.fixture
def world() -> World:
    world = World()
    for user in ("al", "bob"):
        world.redis.user(user, display_name=user.title(), bio="b", is_verified=user == "al")
    world.redis.post(
        "p",
        "al",
        content="old #x",
        media=(Media(url="https://x/a", kind="video"),),
        reply_to="r",
        language="en",
        location="here",
    )
    world.redis.post("q", "bob")
    world.redis.comments["q", "c"] = CommentView("q", "c", "al", NOW, "hm")
    return world


def the_event(world: World) -> Any:
    [event] = world.writer.events
    assert decode(encode(event)) == event
    return event


# Posts

KEPT: dict[str, Any] = {
    "content": "old #x",
    "media": (Media(url="https://x/a", kind="video"),),
    "visibility": "public",
    "audience": (),
    "language": "en",
    "location": "here",
}


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"content": "new"}, {"content": "new"}),
        ({"content": ""}, {"content": ""}),
        ({"media": []}, {"media": ()}),
        ({"media_urls": ["https://x/b"]}, {"media": (Media(url="https://x/b"),)}),
        (
            {"media": [{"url": "https://x/c", "kind": "link"}], "media_urls": ["https://x/b"]},
            {"media": (Media(url="https://x/c", kind="link"), Media(url="https://x/b"))},
        ),
        ({"visibility": "private"}, {"visibility": "private"}),
        (
            {"visibility": "custom", "audience": ["cy", "cy"]},
            {"visibility": "custom", "audience": ("cy",)},
        ),
        ({"language": None}, {"language": None}),
        ({"language": "de", "location": None}, {"language": "de", "location": None}),
    ],
)
def test_an_edit_keeps_what_it_does_not_name(
    world: World, body: dict[str, Any], changed: dict[str, Any]
) -> None:
    response = world.ask("PATCH", POST, "al", json=body)
    assert response.status_code == 202, response.text
    event = the_event(world)
    assert response.json() == {"event_id": event.event_id, "post_id": "p"}
    assert event == Post(
        event_id=event.event_id,
        action="edited",
        post_id="p",
        author_id="al",
        at=NOW,
        reply_to="r",
        **(KEPT | changed),
    )


@pytest.mark.parametrize(
    ("body", "audience"),
    [
        ({"content": "new"}, ("cy",)),
        ({"visibility": "followers"}, ()),
        ({"audience": ["dee"]}, ("dee",)),
    ],
)
def test_an_audience_goes_with_its_visibility(
    world: World, body: dict[str, Any], audience: tuple[str, ...]
) -> None:
    world.redis.post("p", "al", visibility="custom", audience=("cy",))
    assert world.ask("PATCH", POST, "al", json=body).status_code == 202
    assert the_event(world).audience == audience


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"content": "", "media": []}, "body"),
        ({"visibility": "custom"}, "body"),
        ({"audience": ["cy"]}, "body"),
        ({"visibility": "secret"}, "body.visibility"),
        ({"content": None}, "body.content"),
        ({"content": "é" * 32_769}, "body.content"),
        ({"media_urls": ["https://x"] * 65}, "body.media_urls"),
        (
            {"media_urls": ["https://x"] * 40, "media": [{"url": "https://x"}] * 40},
            "body",
        ),
        ({"language": "english!"}, "body.language"),
        ({"reply_to": "q"}, "body.reply_to"),
        ({"author_id": "bob"}, "body.author_id"),
    ],
)
def test_an_edit_that_does_not_do(world: World, body: dict[str, Any], field: str) -> None:
    problem = problem_of(world.ask("PATCH", POST, "al", json=body), 422)
    assert problem["errors"][0]["field"] == field
    assert world.writer.events == []


def test_only_the_author_edits(world: World) -> None:
    problem_of(world.ask("PATCH", POST, "bob", json={"content": "x"}), 403)
    problem_of(world.ask("PATCH", POST, json={"content": "x"}), 401)
    world.redis.post("p", "al", visibility="private")
    problem_of(world.ask("PATCH", POST, "bob", json={"content": "x"}), 404)
    problem_of(world.ask("PATCH", "/api/v1/posts/none", "bob", json={"content": "x"}), 404)
    world.redis.post("p", "al", is_deleted=True)
    problem_of(world.ask("PATCH", POST, "al", json={"content": "x"}), 404)
    assert world.writer.events == []


def test_a_hidden_post_can_be_mended(world: World) -> None:
    world.redis.post("p", "al", hidden_by="reports")
    assert world.ask("PATCH", POST, "al", json={"content": "x"}).status_code == 202


@pytest.mark.parametrize("path", [POST, ME])
def test_an_edit_needs_to_know_what_is_there(world: World, path: str) -> None:
    world.redis.found.posts.clear()
    world.redis.found.users.clear()
    world.archive.is_down = True
    problem_of(
        world.ask("PATCH", path, "al", json={"content": "x"} if path == POST else {"bio": "x"}), 503
    )
    world.cache.is_down = True
    problem_of(
        world.ask("PATCH", path, "al", json={"content": "x"} if path == POST else {"bio": "x"}), 503
    )
    assert world.writer.events == []


# What each path publishes

ACTS: list[tuple[str, str, dict[str, Any] | None, dict[str, Any]]] = [
    ("POST", "q/like", None, {"action": "like"}),
    ("DELETE", "q/like", None, {"action": "unlike"}),
    ("PUT", "q/reaction", {"kind": "love"}, {"action": "react", "kind": "love"}),
    ("DELETE", "q/reaction", None, {"action": "unlike"}),
    ("DELETE", "q/share", None, {"action": "unshare"}),
    (
        "POST",
        "q/comments",
        {"text": "hi", "parent": "c", "comment_id": "d"},
        {"action": "comment", "text": "hi", "parent": "c", "comment_id": "d"},
    ),
    ("DELETE", "q/comments/c", None, {"action": "comment_deleted", "comment_id": "c"}),
]


@pytest.mark.parametrize(("method", "path", "body", "fields"), ACTS)
def test_a_path_for_each_act(
    world: World, method: str, path: str, body: Any, fields: dict[str, Any]
) -> None:
    response = world.ask(method, f"/api/v1/posts/{path}", "al", json=body)
    assert response.status_code == 202, response.text
    event = the_event(world)
    assert event == Engagement(event_id=event.event_id, user_id="al", at=NOW, post_id="q", **fields)
    assert response.json()["post_id"] == "q"
    assert response.json()["comment_id"] == fields.get("comment_id")


@pytest.mark.parametrize("path", ["q/share", "q/comments"])
def test_an_id_is_made(world: World, path: str) -> None:
    body = {"text": "hi"} if path.endswith("comments") else None
    made = world.ask("POST", f"/api/v1/posts/{path}", "al", json=body).json()
    event = the_event(world)
    assert event.share_id or event.comment_id
    assert made["comment_id"] == event.comment_id


@pytest.mark.parametrize(("method", "path", "body", "_"), [*ACTS, ("POST", "q/share", None, {})])
def test_acts_need_a_token_and_a_post_that_is_seen(
    world: World, method: str, path: str, body: Any, _: Any
) -> None:
    path = f"/api/v1/posts/{path}"
    problem_of(world.ask(method, path, json=body), 401)
    reading = {"Authorization": f"Bearer {issue(KEY, 'al', 60, 'read')}"}
    problem_of(world.ask(method, path, headers=reading, json=body), 403)
    world.redis.post("q", "bob", visibility="private")
    problem_of(world.ask(method, path, "al", json=body), 404)
    world.redis.post("q", "bob")
    world.redis.block("bob", "al")
    problem_of(world.ask(method, path, "al", json=body), 404)
    assert world.writer.events == []
    world.cache.is_down = world.archive.is_down = True
    problem_of(world.ask(method, path, "al", json=body), 503)


def test_whose_comments_one_may_delete(world: World) -> None:
    path = "/api/v1/posts/q/comments/c"
    world.redis.user("cy")
    problem_of(world.ask("DELETE", path, "cy"), 403)
    problem_of(world.ask("DELETE", "/api/v1/posts/q/comments/none", "al"), 404)
    assert world.writer.events == []
    for user in ("al", "bob"):  # who wrote it, and whose post it is on
        assert world.ask("DELETE", path, user).status_code == 202


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "reaction", {}),
        ("PUT", "reaction", {"kind": "Not so"}),
        ("PUT", "reaction", {"kind": "love", "more": 1}),
        ("POST", "comments", {}),
        ("POST", "comments", {"text": ""}),
        ("POST", "comments", {"text": "é" * 32_769}),
        ("POST", "comments", {"text": "x", "user_id": "bob"}),
    ],
)
def test_acts_that_do_not_do(world: World, method: str, path: str, body: Any) -> None:
    problem_of(world.ask(method, f"/api/v1/posts/q/{path}", "al", json=body), 422)
    assert world.writer.events == []


def test_only_public_posts_are_shared(world: World) -> None:
    world.redis.post("q", "bob", visibility="followers")
    world.redis.follow("al", "bob")
    problem_of(world.ask("POST", "/api/v1/posts/q/share", "al"), 422)


# Relations

RELATIONS = [
    ("POST", "users/bob/block", "block", "u:bob"),
    ("DELETE", "users/bob/block", "unblock", "u:bob"),
    ("POST", "users/bob/mute", "mute", "u:bob"),
    ("DELETE", "users/bob/mute", "unmute", "u:bob"),
    ("POST", "topics/Rust/follow", "follow", "t:rust"),
    ("DELETE", "topics/%23rust/follow", "unfollow", "t:rust"),
    ("POST", "topics/rust/mute", "mute", "t:rust"),
    ("DELETE", "topics/rust/mute", "unmute", "t:rust"),
]


@pytest.mark.parametrize(("method", "path", "action", "target"), RELATIONS)
def test_relations(world: World, method: str, path: str, action: Any, target: str) -> None:
    path = f"/api/v1/{path}"
    problem_of(world.ask(method, path), 401)
    reading = {"Authorization": f"Bearer {issue(KEY, 'al', 60, 'read')}"}
    problem_of(world.ask(method, path, headers=reading), 403)
    response = world.ask(method, path, "al")
    assert response.status_code == 202, response.text
    event = the_event(world)
    assert event == Follow(
        event_id=event.event_id, action=action, user_id="al", target=target, at=NOW
    )
    assert response.json() == {"event_id": event.event_id}
    world.writer.is_down = True
    problem_of(world.ask(method, path, "al"), 503)


@pytest.mark.parametrize("what", ["block", "mute"])
def test_whom_one_cannot_block_or_mute(world: World, what: str) -> None:
    for method in ("POST", "DELETE"):
        problem_of(world.ask(method, f"/api/v1/users/al/{what}", "al"), 422)
        problem_of(world.ask(method, f"/api/v1/users/nobody/{what}", "al"), 404)
    assert world.writer.events == []
    world.redis.user("dee", status="deactivated")
    assert world.ask("POST", f"/api/v1/users/dee/{what}", "al").status_code == 202


def test_a_topic(world: World) -> None:
    world.redis.source("t:rust", 12, posts=3)
    world.redis.found.follows.add(("al", "t:rust"))
    world.redis.mute("bob", "t:rust")
    assert world.ask("GET", "/api/v1/topics/%23Rust", "al").json() == {
        "topic": "rust",
        "followers": 12,
        "posts": 3,
        "is_following": True,
        "is_muted": False,
    }
    found = world.ask("GET", "/api/v1/topics/rust", "bob").json()
    assert (found["is_following"], found["is_muted"]) == (False, True)
    assert world.ask("GET", "/api/v1/topics/new").json()["followers"] == 0
    for bad in ("%23", "x" * 255, "a%00b"):
        problem_of(world.ask("GET", f"/api/v1/topics/{bad}", "al"), 422)
    world.archive.is_down = True
    problem_of(world.ask("GET", "/api/v1/topics/newer"), 503)


# The account


def test_an_account(world: World) -> None:
    world.redis.user("al", following=3, silenced=("like",), status="deactivated", bio=None)
    account = world.ask("GET", ME, "al").json()
    assert (account["user_id"], account["username"], account["following"]) == ("al", "al", 3)
    assert account["status"] == "deactivated"
    assert {kind for kind, on in account["notifications"].items() if on == "off"} == {"like"}
    assert len(account["notifications"]) == 8
    problem_of(world.ask("GET", ME), 401)
    assert world.ask("GET", ME, "new").json()["username"] is None
    world.archive.is_down = True
    problem_of(world.ask("GET", ME, "newer"), 503)


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"bio": "new"}, {"bio": "new", "changes": ("bio",)}),
        (
            {"bio": None, "avatar": "https://x/y"},
            {"avatar": "https://x/y", "changes": ("avatar", "bio")},
        ),
        ({"username": "Al.2"}, {"username": "Al.2", "changes": ("username",)}),
        ({"username": None}, {"changes": ("username",)}),
        ({"display_name": ""}, {"display_name": "", "changes": ("display_name",)}),
        (
            {"notifications": {"like": "on", "follow": "off"}},
            {
                "preferences": {"notify.follow": "off"},
                "changes": ("preferences.notify.follow", "preferences.notify.like"),
            },
        ),
    ],
)
def test_an_edit_says_what_changes_and_nothing_else(
    world: World, body: dict[str, Any], changed: dict[str, Any]
) -> None:
    world.redis.user("al", display_name="Al", bio="b", is_verified=True, silenced=("like", "share"))
    world.redis.devices["al"] = ("webhook:x",)
    assert world.ask("PATCH", ME, "al", json=body).status_code == 202
    event = the_event(world)
    assert event == User(event_id=event.event_id, action="profile", user_id="al", at=NOW, **changed)
    validate(event, NOW)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"notifications": {}}, "body"),
        ({"verified": True}, "body.verified"),
        ({"user_id": "bob"}, "body.user_id"),
        ({"username": "@al"}, "body.username"),
        ({"username": "a b"}, "body.username"),
        ({"username": "x" * 51}, "body.username"),
        ({"bio": "x" * 2001}, "body.bio"),
        ({"avatar": "javascript:1"}, "body.avatar"),
        ({"notifications": {"spam": "off"}}, "body.notifications.spam.[key]"),
        ({"notifications": {"like": "maybe"}}, "body.notifications.like"),
    ],
)
def test_a_profile_that_does_not_do(world: World, body: dict[str, Any], field: str) -> None:
    problem = problem_of(world.ask("PATCH", ME, "al", json=body), 422)
    assert problem["errors"][0]["field"] == field
    assert world.writer.events == []


def test_a_name_is_one_users(world: World) -> None:
    world.redis.names = {"bob": "bob", "al": "al"}
    problem_of(world.ask("PATCH", ME, "al", json={"username": "BOB"}), 409)
    assert world.writer.events == []
    assert world.ask("PATCH", ME, "al", json={"username": "AL"}).status_code == 202


def test_who_edits_which_profile(world: World) -> None:
    problem_of(world.ask("PATCH", ME, json={"bio": "x"}), 401)
    world.redis.user("al", status="deleted")
    problem_of(world.ask("PATCH", ME, "al", json={"bio": "x"}), 403)
    assert world.writer.events == []
    assert world.ask("PATCH", ME, "new", json={"bio": "x"}).status_code == 202
    world.archive.is_down = True
    problem_of(world.ask("PATCH", ME, "newer", json={"bio": "x"}), 503)


@pytest.mark.parametrize("what", ["deactivate", "reactivate"])
def test_standing(world: World, what: str) -> None:
    problem_of(world.ask("POST", f"{ME}/{what}"), 401)
    assert world.ask("POST", f"{ME}/{what}", "al").status_code == 202
    event = the_event(world)
    assert event == User(event_id=event.event_id, action=f"{what}d", user_id="al", at=NOW)
    world.writer.is_down = True
    problem_of(world.ask("POST", f"{ME}/{what}", "al"), 503)
