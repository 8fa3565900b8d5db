"""`POST /api/v1/events`: many events at once."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest

from api.auth import issue
from api.ids import is_id
from schemas.codec import SUBJECTS
from schemas.events import Engagement, Event, Feedback, Follow, Media, Moderation, Post, User
from tests.unit.api_fakes import KEY, NOW, World, problem_of

PATH = "/api/v1/events"
FOLLOW = {"type": "follow", "action": "follow", "user_id": "bob", "target": "u:al"}

EVENTS: list[tuple[str, Event]] = [
    (
        "post",
        Post(
            event_id="e1",
            action="created",
            post_id="p",
            at=NOW,
            author_id="al",
            content="hi",
            media=(Media(url="http://x", width=3),),
            visibility="custom",
            audience=("bob",),
        ),
    ),
    ("follow", Follow(event_id="e2", action="follow", user_id="bob", target="u:al", at=NOW)),
    ("engagement", Engagement(event_id="e3", action="like", user_id="bob", at=NOW, post_id="p")),
    ("user", User(event_id="e4", action="profile", user_id="al", at=NOW, username="al")),
    (
        "feedback",
        Feedback(event_id="e5", action="interested", user_id="al", subject="t:x", at=NOW),
    ),
    (
        "moderation",
        Moderation(event_id="e6", action="hidden", post_id="p", moderator_id="im", at=NOW),
    ),
]


@pytest.fixture
def world() -> World:
    return World()


def produce(
    world: World, *events: Any, scope: str = "produce", path: str = PATH, **headers: str
) -> httpx.Response:
    headers["Authorization"] = f"Bearer {issue(KEY, 'im', 60, scope)}"
    headers["Content-Type"] = "application/json"
    return world.ask("POST", path, headers=headers, content=json.dumps({"events": events}))


def as_sent(kind: str, event: Event) -> dict[str, Any]:
    return {"type": kind, **msgspec.to_builtins(event)}


def refused(world: World, event: Any) -> dict[str, Any]:
    """What is said of an event that is refused beside one that is taken."""
    before = len(world.writer.events)
    response = produce(world, event, FOLLOW)
    assert response.status_code == 202, response.text
    body = response.json()
    assert (body["accepted"], body["refused"]) == (1, 1)
    assert body["results"][1]["status"] == "accepted"
    assert len(world.writer.events) == before + 1
    result: dict[str, Any] = body["results"][0]
    assert result["status"] == "refused"
    assert result["detail"]
    return result


def test_events_of_all_kinds_are_published_as_they_were_sent(world: World) -> None:
    assert {kind for kind, _ in EVENTS} == set(SUBJECTS)
    sent = [as_sent(*each) for each in EVENTS]
    response = produce(world, *sent, scope="produce moderate")
    assert response.status_code == 202
    body = response.json()
    assert (body["accepted"], body["refused"]) == (6, 0)
    assert [each["event_id"] for each in body["results"]] == [e.event_id for _, e in EVENTS]
    assert world.writer.events == [event for _, event in EVENTS]


def test_ids_and_times_are_made_when_left_out(world: World) -> None:
    first, second = produce(world, FOLLOW, FOLLOW).json()["results"]
    one, two = world.writer.events
    assert (one.event_id, two.event_id) == (first["event_id"], second["event_id"])
    assert one.event_id != two.event_id
    assert is_id(one.event_id)
    assert one.at == two.at == NOW


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "unknown_type"),
    ({"type": "posts"}, "unknown_type"),
    ({"type": ["post"]}, "unknown_type"),
    ({**FOLLOW, "post_id": "p"}, "unknown_field"),
    ({**as_sent(*EVENTS[0]), "media": [{"url": "https://x", "size": 3}]}, "unknown_field"),
    ({**FOLLOW, "action": "like"}, "not_valid"),
    ({**FOLLOW, "at": "now"}, "not_valid"),
    ({**FOLLOW, "at": None}, "not_valid"),
    ({**FOLLOW, "user_id": 7}, "not_valid"),
    ({"type": "follow", "action": "follow", "user_id": "bob"}, "not_valid"),
    ({**FOLLOW, "at": 2**70}, "not_encodable"),
    ({**FOLLOW, "user_id": "\ud800"}, "not_encodable"),
    ({**FOLLOW, "\ud800": 1}, "unknown_field"),
    ({**FOLLOW, "user_id": ""}, "missing_field"),
    ({**as_sent(*EVENTS[3]), "changes": []}, "missing_field"),
    ({**as_sent(*EVENTS[3]), "changes": ["username", "at"]}, "unknown_field"),
    ({**as_sent(*EVENTS[3]), "changes": "username"}, "not_valid"),
    ({**FOLLOW, "user_id": "x" * 257}, "id_too_long"),
    ({**FOLLOW, "event_id": "a\0b"}, "id_invalid"),
    ({**FOLLOW, "event_id": "\ud800"}, "not_encodable"),
    ({**FOLLOW, "target": "al"}, "id_invalid"),
    ({**FOLLOW, "target": "u:bob"}, "self_relation"),
    ({**FOLLOW, "at": NOW + 300_001}, "at_in_future"),
    ({**FOLLOW, "at": 1}, "at_too_old"),
    ({**as_sent(*EVENTS[0]), "content": "x" * 65_537}, "too_large"),
    ({**as_sent(*EVENTS[0]), "audience": [f"{n:0120}" for n in range(9_000)]}, "too_large"),
    (as_sent(*EVENTS[5]), "not_allowed"),
]


@pytest.mark.parametrize(("event", "code"), REFUSED, ids=str)
def test_an_event_that_is_not_valid_keeps_no_other_back(
    world: World, event: dict[str, Any], code: str
) -> None:
    result = refused(world, event)
    assert result["code"] == code
    known = event.get("event_id")
    assert result["event_id"] == (known if is_id(known) else None)
    assert len(json.dumps(result)) < 500


def test_a_verdict_is_its_moderators_own(world: World) -> None:
    verdict = {**as_sent(*EVENTS[5]), "moderator_id": "another"}
    response = produce(world, verdict, scope="produce moderate")
    assert response.json()["results"][0]["code"] == "not_allowed"
    assert world.writer.events == []


@pytest.mark.parametrize("scope", ["read write", "moderate", ""])
def test_producing_needs_its_scope(world: World, scope: str) -> None:
    problem_of(produce(world, FOLLOW, scope=scope), 403)
    problem_of(world.ask("POST", PATH, json={"events": [FOLLOW]}), 401)
    assert world.writer.events == []


def test_producing_allows_nothing_else(world: World) -> None:
    headers = {"Authorization": f"Bearer {issue(KEY, 'im', 60, 'produce')}"}
    problem_of(world.ask("POST", "/api/v1/posts", headers=headers, json={"content": "x"}), 403)
    problem_of(world.ask("GET", "/api/v1/feed", headers=headers), 403)


def test_so_many_and_no_more(world: World) -> None:
    assert produce(world, *[FOLLOW] * 1_000).json()["accepted"] == 1_000
    problem_of(produce(world, *[FOLLOW] * 1_001), 422)
    problem_of(produce(world), 422)
    problem_of(produce(world, "follow"), 422)
    assert len(world.writer.events) == 1_000


def test_a_batch_may_be_larger_than_other_bodies(world: World) -> None:
    post = {**as_sent(*EVENTS[0]), "content": "x" * 60_000}
    assert produce(world, *[post] * 30).json()["accepted"] == 30
    problem_of(produce(world, *[post] * 36), 413)


def test_what_is_not_acknowledged_is_named(world: World) -> None:
    world.writer.losing = {"b"}
    sent = [{**FOLLOW, "event_id": name} for name in ("a", "b", "c")]
    problem = problem_of(produce(world, {}, *sent), 503)
    assert [error["field"] for error in problem["errors"]] == ["body.events.2"]
    assert [event.event_id for event in world.writer.events] == ["a", "c"]


def test_a_batch_with_a_key_is_made_once(world: World) -> None:
    world.writer.is_down = True
    key = {"Idempotency-Key": "k"}
    problem_of(produce(world, FOLLOW, {}, FOLLOW, **key), 503)
    world.writer.is_down = False
    first = produce(world, FOLLOW, {}, FOLLOW, **key)
    again = produce(world, FOLLOW, {}, FOLLOW, **key)
    assert first.json() == again.json()
    assert len({event.event_id for event in world.writer.events}) == 2


def test_a_small_batch_is_waited_for(world: World) -> None:
    world.redis.follow("bob", "al")
    path = PATH + "?wait=view"
    assert produce(world, FOLLOW, FOLLOW, path=path).json()["is_visible"] is True
    assert produce(world, *[FOLLOW] * 21, path=path).json()["is_visible"] is None
    assert produce(world, {}, path=path).json()["is_visible"] is None


def test_the_page_has_the_schemas_of_events(world: World) -> None:
    page = world.ask("GET", "/openapi.json").json()
    schemas = page["components"]["schemas"]
    items = schemas["EventsIn"]["properties"]["events"]["items"]["oneOf"]
    names = [each["$ref"].rpartition("/")[2] for each in items]
    assert len(names) == len(SUBJECTS)
    for kind, event in SUBJECTS.items():
        schema = schemas[f"{event.__name__}Event"]
        assert f"{event.__name__}Event" in names
        assert schema["properties"]["type"] == {"const": kind}
        assert set(schema["properties"]) == {"type", *event.__struct_fields__}
        assert not {"event_id", "at"} & set(schema["required"])
