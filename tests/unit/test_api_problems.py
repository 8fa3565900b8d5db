"""What every write answers when it does not do what was asked: problems of one style."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.api_fakes import World, application, problem_of

TYPE = re.compile(r"urn:headrace:problem:[a-z]+(-[a-z]+)*")
DETAIL = re.compile(r"[A-Z].*\.", re.DOTALL)
IDS = {"{post_id}": "p", "{comment_id}": "c", "{user_id}": "bob", "{topic}": "x"}


def _writes() -> list[tuple[str, str]]:
    found = []
    for path, operations in application().openapi()["paths"].items():
        for name, value in IDS.items():
            path = path.replace(name, value)
        found += [(method.upper(), path) for method in operations if method not in ("get", "head")]
    return found


def _styled(response: Any, status: int) -> dict[str, Any]:
    body = problem_of(response, status)
    assert TYPE.fullmatch(body["type"]), body
    assert DETAIL.fullmatch(body["detail"]), body
    return body


def test_there_are_writes() -> None:
    writes = _writes()
    assert len(writes) > 20
    assert not any("{" in path for _, path in writes)


@pytest.mark.parametrize(("method", "path"), _writes())
def test_writes_are_refused_in_one_style(method: str, path: str) -> None:
    world = World()
    _styled(world.ask(method, path), 401)
    _styled(world.ask(method, path, headers={"Authorization": "Bearer x"}), 401)
    _styled(world.ask(method, path, "al", params={"wait": "for ever"}), 422)
    _styled(world.ask(method, path, "al", headers={"Idempotency-Key": "a b"}), 422)
    world.redis.user("gone", status="deleted")
    if path != "/api/v1/users/bob" or method != "DELETE":
        _styled(world.ask(method, path, "gone"), 403)
    if (method, path) == ("DELETE", "/api/v1/users/bob"):
        _styled(world.ask(method, path, "al"), 403)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/api/v1/posts/none", None),
        ("PATCH", "/api/v1/posts/none", {"content": "x"}),
        ("POST", "/api/v1/posts/none/like", None),
        ("DELETE", "/api/v1/posts/p/comments/none", None),
        ("POST", "/api/v1/users/none/follow", None),
        ("POST", "/api/v1/users/none/block", None),
    ],
)
def test_who_names_nothing_is_told_what_to_do(method: str, path: str, body: Any) -> None:
    world = World()
    world.redis.post("p", "al")
    problem = _styled(world.ask(method, path, "al", json=body), 404)
    assert re.match(r"There is no such (post|comment|user)\. Check the id; ", problem["detail"])


def test_paths_and_methods_that_are_not_there_say_which_are() -> None:
    world = World()
    assert "/docs" in _styled(world.ask("POST", "/api/v2/posts", "al"), 404)["detail"]
    response = world.ask("PUT", "/api/v1/posts", "al")
    assert response.headers["allow"] in _styled(response, 405)["detail"]
