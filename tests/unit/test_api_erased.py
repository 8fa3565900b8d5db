"""Who is erased writes no more, but may be answered again, and ask for it again."""

from __future__ import annotations

from typing import Any

import pytest

from api.gcra import Limit
from tests.unit.api_fakes import World, problem_of

POSTS = "/api/v1/posts"


def erased(limit: int = 0) -> World:
    """A world in which al is erased."""
    world = World(limits={"posts": Limit(limit)} if limit else {})
    world.redis.user("bob")
    world.redis.post("p", "bob")
    world.redis.user("al", status="deleted")
    return world


WRITES: list[tuple[str, str, Any]] = [
    ("POST", POSTS, {"content": "hi"}),
    ("PUT", "/api/v1/posts/p/reaction", {"kind": "love"}),
    ("DELETE", "/api/v1/posts/p/like", None),
    ("POST", "/api/v1/users/bob/follow", None),
    ("POST", "/api/v1/users/me/reactivate", None),
    ("POST", "/api/v1/notifications/seen", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
@pytest.mark.parametrize("limit", [0, 5], ids=["no limit", "a limit"])
def test_who_is_erased_writes_no_more(method: str, path: str, body: Any, limit: int) -> None:
    world = erased(limit)
    problem = problem_of(world.ask(method, path, "al", params={"wait": "view"}, json=body), 403)
    assert problem["type"] == "urn:headrace:problem:account-erased"
    assert world.writer.events == []
    assert world.ask(method, path, "cy", json=body).status_code == 202, "others do"


def test_erasing_is_asked_for_again() -> None:
    world = erased()
    assert world.ask("DELETE", "/api/v1/users/al", "al").status_code == 202


def test_who_wrote_before_is_answered_as_before() -> None:
    world = erased()
    world.redis.user("al")
    key = {"Idempotency-Key": "k"}
    first = world.ask("POST", POSTS, "al", json={"content": "hi"}, headers=key)
    world.redis.user("al", status="deleted")
    again = world.ask("POST", POSTS, "al", json={"content": "hi"}, headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["idempotency-replayed"] == "true"
    assert first.json() == again.json()
    other = {"Idempotency-Key": "l"}
    problem_of(world.ask("POST", POSTS, "al", json={"content": "hi"}, headers=other), 403)


def test_who_is_deactivated_writes() -> None:
    world = erased()
    world.redis.user("al", status="deactivated")
    assert world.ask("POST", POSTS, "al", json={"content": "hi"}).status_code == 202


def test_without_redis_it_is_not_known() -> None:
    """What is written has no effect all the same."""
    world = erased()
    world.ledger.is_down = True
    assert world.ask("POST", POSTS, "al", json={"content": "hi"}).status_code == 202


def test_it_costs_the_round_trip_that_the_limit_costs() -> None:
    world = erased(5)
    world.ask("POST", POSTS, "cy", json={"content": "hi"})
    assert world.ledger.calls == ["take"]
