"""What is read most often is served past the other routes, as it would be among them."""

from __future__ import annotations

import pytest
from httpx import Response
from starlette.types import ASGIApp

from tests.unit.api_fakes import World

ASKED = {
    "a page": ("GET", "/api/v1/feed", "al", {"limit": 1}),
    "a ranked page": ("GET", "/api/v1/feed", "al", {"mode": "ranked"}),
    "no token": ("GET", "/api/v1/feed", None, {}),
    "a wrong parameter": ("GET", "/api/v1/feed", "al", {"limit": 0, "mode": "best"}),
    "a wrong cursor": ("GET", "/api/v1/feed", "al", {"cursor": "x"}),
    "a wrong method": ("DELETE", "/api/v1/feed", "al", {}),
    "no body": ("HEAD", "/api/v1/feed", "al", {}),
    "a slash behind it": ("GET", "/api/v1/feed/", "al", {}),
    "another route": ("GET", "/api/v1/posts/p", "al", {}),
}


def world_of_one_post() -> World:
    world = World(is_shared=False)
    world.redis.user("bob")
    world.redis.post("p", "bob")
    world.redis.entry("al", "p", "u:bob")
    return world


def told(response: Response) -> tuple[object, ...]:
    return response.status_code, sorted(response.headers.items()), response.content


@pytest.mark.parametrize("case", ASKED)
def test_it_answers_as_the_route_does(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, path, user, params = ASKED[case]
    found = told(world_of_one_post().ask(method, path, user, params=params))
    monkeypatch.setattr("api.app.Shortcut", without)
    assert found == told(world_of_one_post().ask(method, path, user, params=params))


def without(app: ASGIApp, routes: object) -> ASGIApp:  # noqa: ARG001
    return app


def test_the_other_routes_are_not_asked() -> None:
    world = world_of_one_post()
    world.app.router.routes.clear()
    assert world.ask("GET", "/api/v1/posts/p", "al").status_code == 404
    assert world.feed("al")["posts"]
    figures = world.app.state.registry
    labels = {"method": "GET", "route": "/api/v1/feed", "status": "200"}
    assert figures.get_sample_value("headrace_api_requests_total", labels) == 1


def test_it_leaves_what_is_below_a_root_path_to_the_routes() -> None:
    world = world_of_one_post()
    world.app.root_path = "/base"
    assert world.ask("GET", "/base/api/v1/feed", "al").status_code == 200
