"""`?wait=view`: a write is answered when the views show it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from api import visible_writes
from api.visible_writes import CommentLook, Look, Waiting, look_for
from schemas.events import Engagement, Event, Feedback, Follow, Moderation, Post, User
from schemas.views import CommentView
from tests.unit.api_fakes import NOW, Views, World, problem_of

POSTS = "/api/v1/posts?wait=view"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(visible_writes, "WAIT_SECONDS", 0.15)
    world = World()
    world.redis.user("bob")
    world.redis.post("p", "bob")
    return world


def fold(views: Views, event: Event) -> None:
    """What the views become, as far as these tests go."""
    match event:
        case Post(action="deleted"):
            views.post(event.post_id, event.author_id or "", is_deleted=True)
        case Post():
            views.post(event.post_id, event.author_id or "", event.at)
        case Engagement(action="comment"):
            key = event.post_id or "", event.comment_id or ""
            views.comments[key] = CommentView(*key, event.user_id, event.at)
        case Engagement(action="like"):
            views.mine[event.user_id] = ({event.post_id or "": "like"}, set())
        case Follow(action="follow"):
            views.follow(event.user_id, event.target[2:])


def folded_after(world: World, looks: int) -> None:
    """Have the views show what is published when they have been looked at so often since."""
    load, comment = world.cache.load, world.archive.comment
    left = looks

    def count() -> None:
        nonlocal left
        if world.writer.events:
            left -= 1
            if left < 0:
                fold(world.redis, world.writer.events[-1])

    async def counting_load(*args: Any) -> Any:
        count()
        return await load(*args)

    async def counting_comment(*args: Any) -> Any:
        count()
        return await comment(*args)

    world.cache.load = counting_load  # type: ignore[method-assign]
    world.archive.comment = counting_comment  # type: ignore[method-assign]


WRITES: list[tuple[str, str, Any]] = [
    ("POST", "/api/v1/posts", {"content": "hi"}),
    ("DELETE", "/api/v1/posts/mine", None),
    ("POST", "/api/v1/posts/p/engagements", {"action": "like"}),
    ("POST", "/api/v1/posts/p/engagements", {"action": "comment", "text": "hm"}),
    ("POST", "/api/v1/users/bob/follow", None),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
@pytest.mark.parametrize("looks", [0, 2])
def test_a_write_is_answered_when_it_shows(
    world: World, method: str, path: str, body: Any, looks: int
) -> None:
    world.redis.post("mine", "al")
    folded_after(world, looks)
    response = world.ask(method, path + "?wait=view", "al", json=body)
    assert (response.status_code, response.json()["is_visible"]) == (202, True)


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_what_does_not_show_in_time_is_accepted(
    world: World, method: str, path: str, body: Any
) -> None:
    world.redis.post("mine", "al")
    started = time.monotonic()
    response = world.ask(method, path + "?wait=view", "al", json=body)
    assert (response.status_code, response.json()["is_visible"]) == (202, False)
    assert time.monotonic() - started < 2


def test_the_page_says_so_of_every_write(world: World) -> None:
    page = world.ask("GET", "/openapi.json").json()
    for path, operations in page["paths"].items():
        for method, operation in operations.items():
            names = [each["name"] for each in operation.get("parameters", ())]
            assert ("wait" in names) == (method != "get"), (method, path)
            if method != "get":
                answer = operation["responses"]["202"]["content"]["application/json"]["schema"]
                schema = page["components"]["schemas"][answer["$ref"].rpartition("/")[2]]
                assert "is_visible" in schema["properties"], (method, path)


def test_nobody_waits_who_does_not_ask(world: World) -> None:
    response = world.ask("POST", "/api/v1/posts", "al", json={"content": "hi"})
    assert "is_visible" not in response.json()
    assert world.cache.calls == []


@pytest.mark.parametrize("action", ["view", "click", "report"])
def test_what_the_caller_cannot_see_is_not_waited_for(world: World, action: str) -> None:
    path = "/api/v1/posts/p/engagements?wait=view"
    response = world.ask("POST", path, "al", json={"action": action})
    assert (response.status_code, response.json()["is_visible"]) == (202, None)


def test_only_views_can_be_waited_for(world: World) -> None:
    problem = problem_of(world.ask("POST", "/api/v1/posts?wait=feed", "al", json={}), 422)
    assert problem["errors"][0]["field"] == "query.wait"
    assert world.writer.events == []


def test_without_redis_it_is_accepted_at_once(world: World) -> None:
    world.cache.is_down = True
    response = world.ask("POST", POSTS, "al", json={"content": "hi"})
    assert (response.status_code, response.json()["is_visible"]) == (202, False)


def test_a_refused_write_is_refused(world: World) -> None:
    problem_of(world.ask("POST", POSTS, "al", json={}), 422)


def test_a_write_with_a_key_waits_too(world: World) -> None:
    folded_after(world, 1)
    headers = {"Idempotency-Key": "k"}
    first = world.ask("POST", POSTS, "al", json={"content": "hi"}, headers=headers)
    again = world.ask("POST", POSTS, "al", json={"content": "hi"}, headers=headers)
    assert first.json()["is_visible"] is True
    assert again.json() == {**first.json(), "is_visible": None}


def test_so_many_wait_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visible_writes, "MAX_WAITING", 1)
    waiting = Waiting(world.app.state.services.stores)
    event = Follow(event_id="e", action="follow", user_id="al", target="u:bob", at=NOW)

    async def run() -> list[bool | None]:
        first = asyncio.create_task(waiting.until_shown([event]))
        await asyncio.sleep(0.01)
        second = await waiting.until_shown([event])
        world.redis.follow("al", "bob")
        return [await first, second, await waiting.until_shown([event])]

    assert asyncio.run(run()) == [True, False, True]


def engagement(action: Any, **more: Any) -> Engagement:
    return Engagement(event_id="e", action=action, user_id="al", at=NOW, post_id="p", **more)


def relation(action: Any) -> Follow:
    return Follow(event_id="e", action=action, user_id="al", target="u:bob", at=NOW)


def post(action: Any, at: int = NOW) -> Post:
    return Post(event_id="e", action=action, post_id="q", at=at, author_id="al")


def judged(action: Any) -> Moderation:
    return Moderation(event_id="e", action=action, post_id="p", moderator_id="mo", at=NOW)


def account(action: Any) -> User:
    return User(event_id="e", action=action, user_id="bob", at=NOW)


SHOWN: list[tuple[Event, Callable[[Views], None]]] = [
    (engagement("react", kind="love"), lambda v: v.mine.update(al=({"p": "love"}, set()))),
    (engagement("unlike"), lambda v: v.mine.clear()),
    (engagement("share"), lambda v: v.mine.update(al=({}, {"p"}))),
    (engagement("unshare"), lambda v: v.mine.clear()),
    (engagement("hide"), lambda v: v.hidden.add(("al", "p"))),
    (relation("unfollow"), lambda v: v.found.follows.clear()),
    (relation("block"), lambda v: v.block("al", "bob")),
    (relation("mute"), lambda v: v.mute("al", "u:bob")),
    (relation("unmute"), lambda v: v.mutes.clear()),
    (post("edited", NOW + 1), lambda v: v.post("q", "al", edited_at=NOW + 1)),
    (post("deleted"), lambda v: v.post("q", "al", is_deleted=True)),
    (judged("hidden"), lambda v: v.post("p", "bob", hidden_by="moderator")),
    (judged("cleared"), lambda v: v.post("p", "bob")),
    (account("deleted"), lambda v: v.user("bob", status="deleted")),
    (account("deactivated"), lambda v: v.user("bob", status="deactivated")),
    (account("reactivated"), lambda v: v.user("bob")),
]


@pytest.mark.parametrize(("event", "fold_it"), SHOWN)
def test_each_write_shows_in_its_view(event: Event, fold_it: Callable[[Views], None]) -> None:
    views = Views()
    views.post("p", "bob", hidden_by="reports")
    views.post("q", "al")
    is_new = isinstance(event, Engagement) and event.action in ("react", "share", "hide")
    views.mine["al"] = ({}, set()) if is_new else ({"p": "like"}, {"p"})
    views.user("bob", status="deleted" if event.action == "reactivated" else "active")
    views.follow("al", "bob")
    if event.action == "unmute":
        views.mute("al", "u:bob")
    look = look_for(event)
    assert isinstance(look, Look)
    assert not look.is_shown(views.select(look.wanted, has_blocks=True))
    fold_it(views)
    assert look.is_shown(views.select(look.wanted, has_blocks=True))


def test_some_events_show_nowhere() -> None:
    assert look_for(engagement("like", comment_id="c")) is None
    assert look_for(relation("unblock")) is None
    feedback = Feedback(event_id="e", action="interested", user_id="al", subject="t:x", at=NOW)
    assert look_for(feedback) is None
    assert look_for(account("active")) is None
    assert look_for(engagement("comment_deleted", comment_id="c")) == CommentLook()
