"""Idempotency keys: a repeated write is made once, whatever fails meanwhile."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from hypothesis import given
from hypothesis import strategies as st

from api.auth import issue
from api.idempotency import MAX_KEY_LENGTH, DerivedIds
from api.ids import is_id
from api.write_route import SAFE_METHODS, WriteRoute
from connectors.packed_ids import FIRST_LEAD, pack_id
from schemas.events import Engagement, Post
from tests.unit.api_fakes import KEY, World, problem_of

POSTS = "/api/v1/posts"
ENGAGE = "/api/v1/posts/p/engagements"


@pytest.fixture
def world() -> World:
    world = World()
    world.redis.user("bob")
    world.redis.post("p", "bob")
    return world


def write(
    world: World, user: str, key: str, path: str = POSTS, method: str = "POST", **more: Any
) -> httpx.Response:
    more = more or {"json": {"content": "hi"}}
    return world.ask(method, path, user, headers={"Idempotency-Key": key}, **more)


def test_a_repeated_write_is_answered_and_not_published(world: World) -> None:
    first = write(world, "al", "k")
    world.now += 60_000
    again = write(world, "al", "k")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len(world.writer.events) == 1
    assert first.json()["event_id"] == world.writer.events[0].event_id


WRITES: list[tuple[str, str, Any]] = [
    ("POST", POSTS, {"content": "hi"}),
    ("POST", ENGAGE, {"action": "comment", "text": "hm"}),
    ("POST", ENGAGE, {"action": "share"}),
    ("DELETE", "/api/v1/posts/q", None),
    ("POST", "/api/v1/users/bob/follow", None),
    ("DELETE", "/api/v1/users/bob/follow", None),
    ("DELETE", "/api/v1/users/al", None),
    ("POST", "/api/v1/feedback", {"action": "interested", "subject": "t:x"}),
    ("POST", "/api/v1/notifications/seen", {}),
    ("PATCH", "/api/v1/users/me", {"bio": "b", "notifications": {"like": "off"}}),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_every_write_takes_a_key(world: World, method: str, path: str, body: Any) -> None:
    world.redis.post("q", "al")
    first = write(world, "al", "k", path, method, json=body)
    world.redis.found.posts.clear()  # as a delete that took effect
    again = write(world, "al", "k", path, method, json=body)
    assert first.status_code == 202, first.text
    assert (again.status_code, again.json()) == (202, first.json())
    assert len(world.writer.events) == 1


def test_every_route_that_writes_takes_a_key(world: World) -> None:
    page = world.ask("GET", "/openapi.json").json()
    for path, operations in page["paths"].items():
        for method, operation in operations.items():
            names = [each["name"] for each in operation.get("parameters", ())]
            assert ("Idempotency-Key" in names) == (method != "get"), (method, path)


def test_every_route_that_writes_passes_what_writes_pass(world: World) -> None:
    found = [context.original_route for context in iter_route_contexts(world.app.routes)]
    writing = [r for r in found if isinstance(r, APIRoute) and not r.methods <= SAFE_METHODS]
    assert len(writing) >= len(WRITES)
    assert [route.path for route in writing if not isinstance(route, WriteRoute)] == []


def test_another_body_path_or_method_is_refused(world: World) -> None:
    write(world, "al", "k")
    for method, path, body in WRITES[1:]:
        problem = problem_of(write(world, "al", "k", path, method, json=body), 422)
        assert problem["type"].endswith(":key-reused")
    problem_of(write(world, "al", "k", json={"content": "ho"}), 422)
    problem_of(write(world, "al", "k", POSTS + "?x=1"), 422)
    assert len(world.writer.events) == 1


def test_keys_are_each_callers_own(world: World) -> None:
    answers = [write(world, user, key).json() for user in ("al", "cy") for key in ("k", "l")]
    assert len({answer["event_id"] for answer in answers}) == 4
    assert len({answer["post_id"] for answer in answers}) == 4
    assert len(world.writer.events) == 4


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * (MAX_KEY_LENGTH + 1), "\u00e9", "a\tb"])
def test_a_key_that_is_none_is_refused(world: World, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode()}
    auth = {b"Authorization": f"Bearer {issue(KEY, 'al', 60)}".encode()}
    response = world.ask("POST", POSTS, headers={**headers, **auth}, json={"content": "hi"})
    problem = problem_of(response, 422)
    assert problem["errors"][0]["field"] == "header.Idempotency-Key"
    assert world.writer.events == []


def test_a_long_key_is_taken(world: World) -> None:
    assert write(world, "al", "x" * MAX_KEY_LENGTH).status_code == 202


def test_what_kafka_may_have_is_published_again_as_the_same(world: World) -> None:
    world.writer.is_down = True
    problem_of(write(world, "al", "k"), 503)
    world.writer.is_down = False
    at = world.now
    world.now += 60_000
    answer = write(world, "al", "k").json()
    [event] = world.writer.events
    assert isinstance(event, Post)
    assert (event.at, event.event_id, event.post_id) == (at, answer["event_id"], answer["post_id"])


def test_two_at_once_publish_the_same_event(world: World) -> None:
    first = write(world, "al", "k")
    [(name, kept)] = world.ledger.requests.items()
    world.ledger.requests[name] = type(kept)(kept.fingerprint, kept.at)  # the first is under way
    world.now += 5
    second = write(world, "al", "k")
    assert first.json() == second.json()
    assert world.writer.events[0] == world.writer.events[1]


def test_a_refused_write_leaves_its_key_free(world: World) -> None:
    problem_of(write(world, "al", "k", "/api/v1/posts/none/engagements"), 422)
    problem_of(write(world, "al", "k", "/api/v1/users/nobody/mute"), 404)
    problem_of(write(world, "al", "k", "/api/v1/posts/p", "DELETE"), 403)
    assert world.ledger.requests == {}
    assert write(world, "al", "k").status_code == 202


def test_a_refusal_does_not_forget_what_another_settled(world: World) -> None:
    done = write(world, "al", "k", "/api/v1/posts/p/engagements", json={"action": "like"}).json()
    [(name, kept)] = world.ledger.requests.items()
    world.ledger.requests[name] = type(kept)(kept.fingerprint, kept.at)
    world.redis.found.posts.clear()
    problem_of(write(world, "al", "k", ENGAGE, json={"action": "like"}), 404)
    assert name in world.ledger.requests
    world.ledger.requests[name] = kept
    assert write(world, "al", "k", ENGAGE, json={"action": "like"}).json() == done


def test_without_redis_a_repeated_write_has_the_same_ids(world: World) -> None:
    world.ledger.is_down = True
    body = {"action": "comment", "text": "hm"}
    first = write(world, "al", "k", ENGAGE, json=body)
    world.now += 60_000
    world.ledger.is_down = False
    assert write(world, "al", "k", ENGAGE, json=body).json() == first.json()
    one, two = world.writer.events
    assert isinstance(one, Engagement)
    assert isinstance(two, Engagement)
    assert (one.event_id, one.comment_id) == (two.event_id, two.comment_id)
    assert one.event_id != one.comment_id


def test_a_ledger_that_fails_later_fails_no_write(world: World) -> None:
    async def fail(*_: Any) -> None:
        world.ledger.is_down = True
        world.ledger.touch("settle")

    world.ledger.settle = fail  # type: ignore[method-assign]
    assert write(world, "al", "k").status_code == 202


def test_a_token_that_may_not_write_replays_nothing(world: World) -> None:
    write(world, "al", "k")
    reading = f"Bearer {issue(KEY, 'al', 60, 'read')}"
    headers = {"Idempotency-Key": "k", "Authorization": reading}
    problem_of(world.ask("POST", POSTS, headers=headers, json={"content": "hi"}), 403)
    problem_of(world.ask("POST", POSTS, headers={"Idempotency-Key": "k"}, json={}), 401)


@given(*[st.text(max_size=4)] * 2, *[st.binary(max_size=4)], *[st.text(max_size=4)] * 2)
def test_derived_ids_are_ids_and_tell_apart(
    caller: str, key: str, fingerprint: bytes, other_caller: str, other_key: str
) -> None:
    made = DerivedIds(caller, key, fingerprint)
    again, other = (
        DerivedIds(caller, key, fingerprint),
        DerivedIds(other_caller, other_key, fingerprint),
    )
    ids = [made.new(at) for at in (1, 2, 3)]
    assert ids == [again.new(at) for at in (4, 5, 6)]
    assert len(set(ids)) == 3
    assert all(is_id(each) and pack_id(each)[0] >= FIRST_LEAD for each in ids)
    if (caller, key) != (other_caller, other_key):
        assert not {other.new(1) for _ in range(3)} & set(ids)
