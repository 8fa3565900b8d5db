"""Tokens, problems, limits, documentation, health, figures, logs."""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import AsyncIterator
from math import log10
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner
from fastapi.responses import StreamingResponse
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from api import boundary
from api.app import create_app
from api.auth import SecretError, issue, signing_key
from connectors.settings import Settings, settings
from headrace.cli import main
from tests.unit.api_fakes import KEY, World, problem_of

ROUTES = [
    ("GET", "/api/v1/feed", None),
    ("POST", "/api/v1/posts", {"content": "x"}),
    ("DELETE", "/api/v1/posts/p", None),
    ("POST", "/api/v1/posts/p/engagements", {"action": "like"}),
    ("POST", "/api/v1/users/bob/follow", None),
    ("DELETE", "/api/v1/users/bob/follow", None),
]
OPTIONAL = [("GET", "/api/v1/posts/p", None), ("GET", "/api/v1/users/bob", None)]


@pytest.fixture
def world() -> World:
    world = World()
    world.redis.user("bob")
    world.redis.post("p", "bob")
    return world


def signed(key: str = KEY, algorithm: str = "HS256", **claims: Any) -> str:
    now = int(time.time())
    full = {"sub": "al", "iat": now, "exp": now + 60, "scope": "read write", **claims}
    return jwt.encode({k: v for k, v in full.items() if v is not None}, key, algorithm)


BAD_TOKENS = {
    "no token": "x.y.z",
    "another key": signed("z" * 40),
    "another algorithm": signed("k" * 64, "HS512"),
    "unsigned": signed("", "none"),
    "expired": signed(exp=int(time.time()) - 60),
    "no expiry": signed(exp=None),
    "no subject": signed(sub=None),
    "an empty subject": signed(sub=""),
    "a long subject": signed(sub="x" * 257),
    "a subject with a separator": signed(sub="a\0b"),
    "from the future": signed(iat=int(time.time()) + 600),
    "a scope that is no text": signed(scope=["read", "write"]),
}


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_a_token_is_needed(world: World, method: str, path: str, body: Any) -> None:
    response = world.ask(method, path, json=body)
    problem_of(response, 401)
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("why", BAD_TOKENS)
def test_a_bad_token_is_refused_everywhere(world: World, why: str) -> None:
    for method, path, body in (ROUTES[0], ROUTES[1], *OPTIONAL):
        headers = {"Authorization": f"Bearer {BAD_TOKENS[why]}"}
        response = world.ask(method, path, json=body, headers=headers)
        problem_of(response, 401)
        assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert world.writer.events == []


def test_another_scheme_is_refused(world: World) -> None:
    for method, path, _ in (ROUTES[0], *OPTIONAL):
        problem_of(world.ask(method, path, headers={"Authorization": "Basic YTpi"}), 401)


@pytest.mark.parametrize(
    ("scope", "allowed", "refused"),
    [("read", ["GET"], ["POST", "DELETE"]), ("write", ["POST", "DELETE"], ["GET"])],
)
def test_a_scope_is_needed(
    world: World, scope: str, allowed: list[str], refused: list[str]
) -> None:
    for method, path, body in (*ROUTES, *OPTIONAL):
        headers = {"Authorization": f"Bearer {signed(scope=scope, sub='bo')}"}
        response = world.ask(method, path, json=body, headers=headers)
        challenge = response.headers.get("www-authenticate", "")
        assert ("insufficient_scope" in challenge) == (method in refused), (method, path)
        assert method in allowed or problem_of(response, 403)


def test_public_things_need_no_token(world: World) -> None:
    for method, path, _ in OPTIONAL:
        assert world.ask(method, path).status_code == 200


def test_a_profile(world: World) -> None:
    world.redis.user("bob", display_name="Bob", bio="b", following=7)
    world.redis.source("u:bob", 12, posts=3)
    world.redis.follow("al", "bob")
    profile = world.ask("GET", "/api/v1/users/bob", "al").json()
    assert profile == {
        "user_id": "bob",
        "username": "bob",
        "display_name": "Bob",
        "bio": "b",
        "avatar": None,
        "is_verified": False,
        "followers": 12,
        "following": 7,
        "posts": 3,
        "influence": round(log10(13) * 12 / 19, 6),
        "is_following": True,
        "is_favourite": False,
    }
    assert not world.ask("GET", "/api/v1/users/bob", "cy").json()["is_following"]
    world.redis.favourites.add(("al", "u:bob"))
    assert world.ask("GET", "/api/v1/users/bob", "al").json()["is_favourite"]
    assert not world.ask("GET", "/api/v1/users/bob", "cy").json()["is_favourite"]
    assert not world.ask("GET", "/api/v1/users/bob").json()["is_favourite"]
    problem_of(world.ask("GET", "/api/v1/users/nobody", "al"), 404)


@pytest.mark.parametrize("path", ["/nothing", "/api/v1/nothing", "/api/v2/feed"])
def test_an_unknown_path_is_a_problem(world: World, path: str) -> None:
    problem_of(world.ask("GET", path, "al"), 404)


def test_another_method_is_a_problem_that_names_the_right_ones(world: World) -> None:
    response = world.ask("PUT", "/api/v1/posts", "al", json={})
    problem_of(response, 405)
    assert response.headers["allow"] == "GET, POST"
    response = world.ask("PATCH", "/api/v1/users/bob/follow", "al", json={})
    assert response.headers["allow"] == "DELETE, GET, POST"


def test_a_large_body_is_refused(world: World) -> None:
    async def drip() -> Any:
        for _ in range(300):
            yield b"x" * 1024

    for content in (b"x" * (256 * 1024 + 1), drip()):
        headers = {"content-type": "application/json"}
        problem_of(world.ask("POST", "/api/v1/posts", "al", content=content, headers=headers), 413)


def test_a_fault_tells_nothing(world: World) -> None:
    async def fail(*_: Any) -> Any:
        raise RuntimeError("the secret is 42")

    world.cache.load = fail  # type: ignore[method-assign]
    with capture_logs() as logs:
        response = world.ask("GET", "/api/v1/posts/p")
    problem_of(response, 500)
    assert "42" not in response.text + str(logs)
    assert [entry["error"] for entry in logs if entry["event"] == "fault"] == ["RuntimeError"]


def test_what_takes_too_long_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundary, "REQUEST_SECONDS", 0.05)

    async def hang(*_: Any) -> Any:
        await asyncio.sleep(5)

    world.cache.load = hang  # type: ignore[method-assign]
    started = time.monotonic()
    response = world.ask("GET", "/api/v1/posts/p")
    assert time.monotonic() - started < 2
    assert problem_of(response, 503)["type"].endswith(":timeout")
    assert response.headers["x-content-type-options"] == "nosniff"


def test_an_answer_that_has_begun_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundary, "REQUEST_SECONDS", 0.2)

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(4):
            await asyncio.sleep(0.1)
            yield b"x"

    world = World()
    world.app = boundary.Boundary(StreamingResponse(drip()), CollectorRegistry())
    assert world.ask("GET", "/drip").text == "xxxx"


def test_a_page_of_another_origin_may_ask_when_it_is_allowed() -> None:
    origins = "https://app.example,http://localhost:3000"
    world = World()
    stores = world.app.state.services.stores
    world.app = create_app(Settings(jwt_secret=KEY, cors_origins=origins), stores=stores)
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    for origin in origins.split(","):
        headers = {"Origin": origin}
        before = world.ask("OPTIONS", "/api/v1/posts", headers={**headers, **asked})
        assert before.status_code == 200
        assert before.headers["access-control-allow-origin"] == origin
        assert "access-control-allow-credentials" not in before.headers
        for answer in (
            world.ask("POST", "/api/v1/posts", "al", json={"content": "x"}, headers=headers),
            world.ask("POST", "/api/v1/posts", "al", content=b"x" * 300_000, headers=headers),
            world.ask("GET", "/api/v1/feed", headers=headers),
        ):
            assert answer.headers["access-control-allow-origin"] == origin
            assert "RateLimit" in answer.headers["access-control-expose-headers"]
            assert {"Authorization", "Origin"} <= set(answer.headers["vary"].split(", "))
    for origin in ("https://evil.example", "https://app.example.evil", "null"):
        headers = {"Origin": origin}
        before = world.ask("OPTIONS", "/api/v1/posts", headers={**headers, **asked})
        assert before.status_code == 400
        after = world.ask("GET", "/api/v1/feed", headers=headers)
        assert "access-control-allow-origin" not in {*before.headers, *after.headers}


def test_no_page_of_another_origin_may_ask_by_default(world: World) -> None:
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    for method in ("GET", "OPTIONS"):
        response = world.ask(method, "/api/v1/feed", "al", headers=headers)
        assert not any(name.startswith("access-control") for name in response.headers)


@pytest.mark.parametrize(
    "origins", ["app.example", "https://x/", "https://x, https://y", "**", "null"]
)
def test_origins_that_are_none_are_refused(origins: str) -> None:
    with pytest.raises(ValueError, match="HEADRACE_CORS_ORIGINS"):
        Settings(HEADRACE_CORS_ORIGINS=origins)


def test_the_settings_are_shown_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_JWT_SECRET", KEY)
    monkeypatch.setenv("HEADRACE_POSTS_PER_MINUTE", "7")
    monkeypatch.setenv("COLUMNS", "300")
    shown = CliRunner().invoke(main, ["config"]).output
    assert KEY not in shown
    for name in ("JWT_SECRET", "JWKS", "SPAM_RULES", "MEDIA_HOSTS", "CORS_ORIGINS"):
        assert f"HEADRACE_{name} " in shown
    (line,) = [line for line in shown.splitlines() if "HEADRACE_POSTS_PER_MINUTE" in line]
    assert "7" in line
    assert "environment" in line


def test_one_line_a_request_without_contents_or_tokens(world: World) -> None:
    token = issue(KEY, "al", 60)
    with capture_logs() as logs:
        headers = {"Authorization": f"Bearer {token}"}
        world.ask("POST", "/api/v1/posts", json={"content": "my diary"}, headers=headers)
    assert len(logs) == 1
    assert (logs[0]["route"], logs[0]["status"]) == ("/api/v1/posts", 202)
    assert "diary" not in str(logs)
    assert token not in str(logs)


def test_health(world: World) -> None:
    assert world.ask("GET", "/healthz").json() == {"status": "ok"}
    assert world.ask("GET", "/readyz").json()["status"] == "ready"
    world.cache.is_down = True
    degraded = world.ask("GET", "/readyz")
    assert degraded.status_code == 200
    assert degraded.json() == {
        "status": "degraded",
        "checks": {"redis": "TimeoutError", "cassandra": "ok", "kafka": "ok"},
    }
    world.archive.is_down = True
    assert world.ask("GET", "/readyz").status_code == 503


def test_figures_have_few_labels() -> None:
    world = World(is_shared=False)
    for number in range(30):
        world.ask("GET", f"/api/v1/posts/p{number}")
        world.ask("GET", f"/nothing/{number}")
    world.ask("BREW", "/api/v1/feed")
    text = world.ask("GET", "/metrics").text
    counts = [line for line in text.splitlines() if line.startswith("headrace_api_requests_total")]
    assert sorted(line.partition("{")[2] for line in counts) == [
        'method="GET",route="/api/v1/posts/{post_id}",status="404"} 30.0',
        'method="GET",route="unmatched",status="404"} 30.0',
        'method="OTHER",route="/api/v1/feed",status="405"} 1.0',
    ]
    assert "headrace_api_request_seconds_bucket" in text


def test_the_documentation_is_complete(world: World) -> None:
    page = world.ask("GET", "/openapi.json").json()
    assert page["components"]["securitySchemes"]["token"]["bearerFormat"] == "JWT"
    for path, operations in page["paths"].items():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["description"]
            if not path.startswith("/api/"):
                continue
            assert operation["security"], path
            assert {"401", "422", "500", "503"} <= set(operation["responses"]), path
            for status, response in operation["responses"].items():
                if status == "304":
                    assert "content" not in response
                    continue
                if (path, status) == ("/api/v1/stream", "200"):
                    assert list(response["content"]) == ["text/event-stream"]
                    continue
                kind = "application/json" if int(status) < 400 else "application/problem+json"
                if path == "/api/v1/stream" and status == "200":
                    assert response["content"] == {
                        "text/event-stream": {"schema": {"type": "string"}}
                    }
                    continue
                assert list(response["content"]) == [kind], (path, status)
                assert response["content"][kind]["schema"]["$ref"].startswith("#/components/")
    text = str(page)
    names = {name for name in page["components"]["schemas"]}
    assert {"FeedPage", "Problem", "PostIn", "EngagementIn", "Profile"} <= names
    for name in text.split("#/components/schemas/")[1:]:
        assert name.split("'")[0] in names
    assert page["components"]["schemas"]["PostIn"]["examples"]
    assert world.ask("GET", "/docs").status_code == 200


def test_a_key_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    config = Settings(data_dir=tmp_path / "new", jwt_secret="")
    key = signing_key(config)
    assert len(key) >= 32
    assert signing_key(config) == key
    path = tmp_path / "new" / "jwt_secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    path.chmod(0o644)
    with pytest.raises(SecretError, match="chmod 600"):
        signing_key(config)
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(SecretError, match="remove the file"):
        signing_key(config)


def test_the_token_command_agrees_with_the_server(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_JWT_SECRET", KEY)
    settings.cache_clear()
    try:
        run = CliRunner().invoke(main, ["token", "al", "--ttl", "15m", "--scope", "read"])
        bad = CliRunner().invoke(main, ["token", "al", "--ttl", "soon"])
        worse = CliRunner().invoke(main, ["token", "al", "--scope", "root"])
    finally:
        settings.cache_clear()
    assert run.exit_code == 0, run.output
    claims = jwt.decode(run.output.strip(), KEY, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == 900
    headers = {"Authorization": f"Bearer {run.output.strip()}"}
    assert world.ask("GET", "/api/v1/feed", headers=headers).status_code == 200
    assert (bad.exit_code, worse.exit_code) == (2, 2)


def test_stores_are_closed_by_who_opened_them(world: World) -> None:
    async def run() -> None:
        async with world.app.router.lifespan_context(world.app):
            pass

    asyncio.run(run())
    assert "close" not in world.cache.calls
