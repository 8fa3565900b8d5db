"""Interests and feedback over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from api.stores import Inclinations
from schemas.events import Engagement, Feedback
from tests.unit.api_fakes import NOW, World, ids, problem_of

PATH = "/api/v1/users/me/interests"


@pytest.fixture
def world() -> World:
    world = World()
    likes = [("u:ann", 240.0), ("t:go", 3.5)]
    world.redis.inclinations["al"] = Inclinations(likes, [("l:en", 5.0)])
    return world


def test_ones_interests(world: World) -> None:
    assert world.ask("GET", PATH, "al").json() == {
        "likes": [{"subject": "u:ann", "score": 100.0}, {"subject": "t:go", "score": 3.5}],
        "aversions": [{"subject": "l:en", "score": 5.0}],
        "degraded": [],
    }


def test_they_are_ones_own(world: World) -> None:
    problem_of(world.ask("GET", PATH), 401)


def test_without_redis_they_come_from_cassandra(world: World) -> None:
    world.cache.is_down = True
    assert world.ask("GET", PATH, "al").json()["degraded"] == ["redis"]
    world.archive.is_down = True
    problem_of(world.ask("GET", PATH, "al"), 503)


@pytest.mark.parametrize("subject", ["u:ann", "t:Rust", "l:en", "m:video"])
@pytest.mark.parametrize("action", ["not_interested", "interested"])
def test_an_opinion_is_published(world: World, subject: str, action: str) -> None:
    body = {"action": action, "subject": subject}
    answer = world.ask("POST", "/api/v1/feedback", "al", json=body)
    assert answer.status_code == 202, answer.text
    (event,) = world.writer.events
    assert event == Feedback(
        event_id=answer.json()["event_id"],
        action=action,  # type: ignore[arg-type]
        user_id="al",
        subject=subject,
        at=NOW,
    )


def test_a_post_of_no_interest_is_hidden(world: World) -> None:
    world.redis.user("ann")
    world.redis.post("p", "ann")
    body = {"action": "not_interested", "post_id": "p"}
    assert world.ask("POST", "/api/v1/feedback", "al", json=body).status_code == 202
    (event,) = world.writer.events
    assert isinstance(event, Engagement)
    assert (event.action, event.user_id, event.post_id) == ("hide", "al", "p")


@pytest.mark.parametrize(
    "body",
    [
        {"action": "not_interested"},
        {"action": "not_interested", "subject": "t:x", "post_id": "p"},
        {"action": "interested", "post_id": "p"},
        {"action": "not_interested", "post_id": "unknown"},
        {"action": "not_interested", "subject": "x:y"},
        {"action": "not_interested", "subject": "t:"},
        {"action": "bored", "subject": "t:x"},
    ],
)
def test_what_makes_no_sense_is_refused(world: World, body: dict[str, Any]) -> None:
    problem_of(world.ask("POST", "/api/v1/feedback", "al", json=body), 422)
    assert world.writer.events == []


def test_a_hidden_post_is_not_in_the_feed_of_who_hid_it(world: World) -> None:
    for reader in ("al", "bo"):
        world.redis.user(reader)
        world.redis.entry(reader, "p", "u:ann")
    world.redis.user("ann")
    world.redis.post("p", "ann")
    world.redis.hidden.add(("al", "p"))
    assert (ids(world.feed("al")), ids(world.feed("bo"))) == ([], ["p"])
    world.cache.is_down = True
    assert (ids(world.feed("al")), ids(world.feed("bo"))) == ([], ["p"])
