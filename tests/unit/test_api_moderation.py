"""Moderation over HTTP: who may see what is hidden, the queue, and the verdicts."""

from __future__ import annotations

import httpx
import pytest

from api.auth import issue
from schemas.events import Moderation
from schemas.views import CountersView
from tests.unit.api_fakes import KEY, NOW, World, problem_of
from tests.unit.test_api_visibility import put, sees

VIEWERS = ("author", "mutual", "follower", "stranger", None)


def ask(world: World, method: str, path: str, scopes: str, **options: object) -> httpx.Response:
    """One request by a moderator whose token has scopes."""
    token = issue(KEY, "mod", 60, scopes)
    headers = {"Authorization": f"Bearer {token}"}
    return world.ask(method, f"/api/v1/moderation{path}", headers=headers, **options)


@pytest.fixture
def world() -> World:
    world = World()
    for viewer in VIEWERS:
        if viewer:
            world.redis.user(viewer)
            world.redis.entry(viewer, "p", "u:author")
    return world


@pytest.mark.parametrize("hidden_by", ["reports", "moderator"])
@pytest.mark.parametrize("viewer", VIEWERS)
def test_a_hidden_post_is_for_its_author_alone(
    world: World, hidden_by: str, viewer: str | None
) -> None:
    put(world, "public", hidden_by=hidden_by)
    assert sees(world, viewer) == {viewer == "author"}


def test_the_author_is_told(world: World) -> None:
    put(world, "public", hidden_by="reports")
    assert world.ask("GET", "/api/v1/posts/p", "author").json()["is_hidden"] is True


def test_the_queue_has_what_reports_hide_oldest_first(world: World) -> None:
    for name, at, hidden_by in (("q", 3, "reports"), ("r", 1, "reports"), ("s", 2, "moderator")):
        world.redis.post(name, "author", at=NOW + at, visibility="private", hidden_by=hidden_by)
        world.redis.found.counters[name] = CountersView(name, reports=10 + at)
    found = ask(world, "GET", "/queue", "moderate").json()["posts"]
    assert [(each["post"]["post_id"], each["reports"]) for each in found] == [("r", 11), ("q", 13)]
    one = ask(world, "GET", "/queue?limit=1", "moderate").json()["posts"]
    assert [each["post"]["post_id"] for each in one] == ["r"]


def test_without_redis_the_queue_is_unavailable(world: World) -> None:
    world.cache.is_down = True
    problem_of(ask(world, "GET", "/queue", "moderate"), 503)


@pytest.mark.parametrize("verdict", ["hidden", "cleared"])
def test_a_verdict_is_published(world: World, verdict: str) -> None:
    put(world, "private")
    response = ask(world, "PUT", "/posts/p", "moderate", json={"verdict": verdict})
    assert response.status_code == 202, response.text
    (event,) = world.writer.events
    assert isinstance(event, Moderation)
    assert (event.action, event.post_id, event.moderator_id) == (verdict, "p", "mod")
    assert response.json() == {"event_id": event.event_id, "post_id": "p"}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/queue"), ("PUT", "/posts/p")], ids=["queue", "verdict"]
)
@pytest.mark.parametrize("scopes", ["read write", "read", ""])
def test_the_scope_is_needed(world: World, method: str, path: str, scopes: str) -> None:
    put(world)
    body = {"json": {"verdict": "hidden"}} if method == "PUT" else {}
    problem_of(ask(world, method, path, scopes, **body), 403)
    problem_of(world.ask(method, f"/api/v1/moderation{path}", **body), 401)
    assert world.writer.events == []


def test_only_posts_that_are_there_can_be_judged(world: World) -> None:
    body = {"verdict": "hidden"}
    problem_of(ask(world, "PUT", "/posts/nope", "moderate", json=body), 404)
    put(world, is_deleted=True)
    problem_of(ask(world, "PUT", "/posts/p", "moderate", json=body), 404)
    problem_of(ask(world, "PUT", "/posts/p", "moderate", json={"verdict": "maybe"}), 422)
    assert world.writer.events == []
