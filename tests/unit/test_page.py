"""The page at `/`: its files and headers, and tokens for who tries the API out."""

from __future__ import annotations

import asyncio
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs

from api.app import create_app
from api.page.routes import POLICY
from connectors.settings import Settings, settings
from connectors.stack.addresses import Addresses
from headrace import supervisor as supervisor_module
from headrace.cli import main
from headrace.supervised import Supervised
from headrace.supervisor import Supervisor
from tests.unit.api_fakes import KEY, World, problem_of

FILES = Path(__file__).parents[2] / "api" / "page" / "files"
NAMES = sorted(path.name for path in FILES.iterdir())
SCRIPTS = [name for name in NAMES if name.endswith(".js")]
TYPES = {"html": "text/html", "css": "text/css", "svg": "image/svg+xml", "js": "javascript"}
HERE = "http://localhost:8080"


@pytest.fixture
def world() -> World:
    return World()


def test_the_page_and_each_of_its_files_is_served_with_a_strict_policy(world: World) -> None:
    assert {"index.html", "style.css", "page.js"} <= set(NAMES)
    for path, name in [("/", "index.html"), *((f"/page/{name}", name) for name in NAMES)]:
        response = world.ask("GET", path)
        assert response.status_code == 200
        assert response.content == (FILES / name).read_bytes()
        assert TYPES[name.rpartition(".")[2]] in response.headers["content-type"]
        assert response.headers["content-security-policy"] == POLICY
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["cross-origin-opener-policy"] == "same-origin"
        again = {"If-None-Match": response.headers["etag"]}
        assert world.ask("GET", path, headers=again).status_code == 304


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    sources = {word for rule in rules.values() for word in rule.split()}
    assert sources == {"'none'", "'self'", "'script'"}


@pytest.mark.parametrize("path", ["/page/nothing.js", "/page/%2e%2e", "/page/%2e%2e%2froutes.py"])
def test_nothing_else_is_a_file_of_the_page(world: World, path: str) -> None:
    problem_of(world.ask("GET", path), 404)


def test_another_method_is_refused(world: World) -> None:
    response = world.ask("POST", "/", json={})
    problem_of(response, 405)
    assert response.headers["allow"] == "GET"


def test_the_page_loads_its_own_files_only_and_has_nothing_inline() -> None:
    markup = (FILES / "index.html").read_text()
    loaded = set(re.findall(r'<(?:link|script|img)[^>]* (?:href|src)="([^"]*)"', markup))
    assert loaded == {"/page/style.css", "/page/page.js", "/page/icon.svg"}
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|https?://", markup)
    assert not re.search(r"<script[^>]*>[^<]", markup)
    imported = {
        name
        for script in SCRIPTS
        for name in re.findall(r'from "/page/([^"]*)"', (FILES / script).read_text())
    }
    assert imported | {"page.js"} == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_makes_no_markup_of_text_and_keeps_no_token(name: str) -> None:
    script = (FILES / name).read_text()
    assert len(script.splitlines()) < 400
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in script
    assert not re.search(r"localStorage|sessionStorage|document\.cookie|https?://", script)


def test_each_input_has_a_label() -> None:
    markup = (FILES / "index.html").read_text()
    labelled = set(re.findall(r'<label for="([^"]*)"', markup))
    inputs = set(re.findall(r'<(?:input|textarea|select) id="([^"]*)"', markup))
    assert inputs
    assert inputs == labelled


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(part * (2 if len(part) == 1 else 1), 16) / 255 for part in _channels(colour)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _channels(colour: str) -> list[str]:
    size = len(colour) // 3
    return [colour[place : place + size] for place in range(0, len(colour), size)]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(theme: int) -> None:
    """As WCAG 2.2 wants it: 4.5 to 1 for text, 3 to 1 for what shows where a field is."""
    root = re.findall(r":root \{([^}]*)\}", (FILES / "style.css").read_text())[theme]
    colours = dict(re.findall(r"--([a-z-]+): #([0-9a-f]+);", root))
    pairs = [(text, back, 4.5) for text in ("text", "quiet") for back in ("back", "raised")]
    pairs += [("accent", "back", 4.5), ("on-accent", "accent", 4.5)]
    pairs += [("line", "back", 3.0), ("bad", "raised", 3.0)]
    for text, back, least in pairs:
        dark, light = sorted((luminance(colours[text]), luminance(colours[back])))
        assert (light + 0.05) / (dark + 0.05) >= least, (text, back)


def test_the_scripts_find_what_they_look_for() -> None:
    markup = (FILES / "index.html").read_text()
    present = set(re.findall(r'\bid="([^"]*)"', markup))
    wanted = {
        name
        for script in SCRIPTS
        for name in re.findall(r'(?:byId|onSubmit)\("([^"]*)"', (FILES / script).read_text())
    }
    assert wanted <= present


def test_an_installed_package_has_the_files() -> None:
    tools = tomllib.loads((FILES.parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "api.page" in tools["packages"]
    patterns = tools["package-data"]["api.page"]
    assert all(any(fnmatch(f"files/{name}", each) for each in patterns) for name in NAMES)


def test_the_page_is_no_part_of_the_documented_api(world: World) -> None:
    paths = world.app.openapi()["paths"]
    assert not [path for path in paths if path == "/" or path.startswith(("/page", "/trying"))]


# Trying out


def ask(method: str, path: str, *, client: str = "127.0.0.1", **options: Any) -> httpx.Response:
    """One request to an API that is being tried out, from an address."""
    return asyncio.run(_ask(tried_out(), method, path, client, options))


def tried_out(**more: Any) -> Settings:
    return Settings(jwt_secret=SecretStr(KEY), trying_out=True, **more)


async def _ask(
    config: Settings, method: str, path: str, client: str, options: dict[str, Any]
) -> httpx.Response:
    world = World()
    app = create_app(config)
    app.state.services = world.app.state.services
    transport = httpx.ASGITransport(app, client=(client, 4711))
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as http:
        return await http.request(method, path, **options)


def test_without_the_setting_there_are_no_tokens_and_nothing_says_that_there_might_be(
    world: World,
) -> None:
    assert not Settings().trying_out
    for body in ({"user_id": "al"}, {}, None):
        response = world.ask("POST", "/trying-out/token", json=body)
        assert problem_of(response, 404) == problem_of(
            world.ask("POST", "/nothing", json=body), 404
        )
    problem_of(world.ask("GET", "/trying-out/token"), 404)
    assert world.ask("GET", "/page/about").json() == {"is_trying_out": False, "monitors": []}


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080"])
def test_who_tries_out_gets_a_token_for_whom_they_like(host: str) -> None:
    with capture_logs() as logs:
        headers = {"Host": host, "Origin": f"http://{host}"}
        response = ask("POST", "/trying-out/token", json={"user_id": "al/é"}, headers=headers)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        token = response.json()["token"]
        feed = ask("GET", "/api/v1/feed", headers={"Authorization": f"Bearer {token}"})
        assert feed.status_code == 200
        moderated = ask("GET", "/api/v1/moderation/queue", headers=dict(feed.request.headers))
        problem_of(moderated, 403)
    assert ("token given", "al/é") in {(log.get("action"), log.get("user_id")) for log in logs}
    assert token not in str(logs)
    assert ask("GET", "/page/about").json()["is_trying_out"]


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("192.0.2.1", {}),
        ("127.0.0.1", {"Host": "elsewhere.example"}),
        ("127.0.0.1", {"Host": "localhost.elsewhere.example"}),
        ("127.0.0.1", {"Origin": "https://elsewhere.example"}),
        ("127.0.0.1", {"Origin": "http://localhost:9090"}),
        ("127.0.0.1", {"Origin": "null"}),
    ],
)
def test_no_other_machine_and_no_other_page_gets_a_token(
    client: str, headers: dict[str, str]
) -> None:
    body = {"user_id": "al"}
    response = ask("POST", "/trying-out/token", client=client, json=body, headers=headers)
    assert problem_of(response, 403)["type"].endswith(":not-local")
    assert "token" not in response.json()


@pytest.mark.parametrize("user_id", ["", "a\0b", "x" * 257, None])
def test_a_user_must_be_named(user_id: Any) -> None:
    problem_of(ask("POST", "/trying-out/token", json={"user_id": user_id}), 422)


def test_an_api_that_others_reach_is_not_tried_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.cache_clear()
    monkeypatch.setenv("HEADRACE_TRYING_OUT", "true")
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path))
    result = CliRunner().invoke(main, ["api", "--host", "0.0.0.0", "--port", "0"])
    settings.cache_clear()
    assert result.exit_code == 1
    assert "HEADRACE_TRYING_OUT" in result.output


def test_tokens_that_would_not_be_taken_are_not_given() -> None:
    with pytest.raises(ValidationError, match="HEADRACE_JWT_SECRET"):
        Settings(trying_out=True, jwks="/keys.json")
    Settings(trying_out=True, jwks="/keys.json", jwt_secret=SecretStr(KEY))


def test_the_page_is_told_where_the_monitors_are() -> None:
    config = tried_out(monitors="http://127.0.0.1:6066,http://127.0.0.1:6067")
    about = asyncio.run(_ask(config, "GET", "/page/about", "127.0.0.1", {})).json()
    assert about["monitors"] == ["http://127.0.0.1:6066", "http://127.0.0.1:6067"]
    with pytest.raises(ValidationError):
        Settings(monitors="javascript:alert(1)")


@pytest.mark.parametrize("is_trying_out", [True, False])
def test_a_supervisor_tells_the_api_where_the_monitors_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_trying_out: bool
) -> None:
    monkeypatch.delenv("HEADRACE_TRYING_OUT", raising=False)
    monkeypatch.delenv("HEADRACE_MONITORS", raising=False)
    started: list[dict[str, str]] = []
    monkeypatch.setattr(Supervised, "start", lambda worker: started.append(worker.env))
    monkeypatch.setattr(supervisor_module.Child, "wait_ready", lambda *_: None)
    addresses = Addresses(kafka="", redis="", cassandra="")
    with Supervisor(
        addresses,
        ("views", "api"),
        log_dir=tmp_path,
        is_trying_out=is_trying_out,
        say=lambda _: None,
    ) as supervisor:
        monitors = list(supervisor.monitor_urls.values())
    views, api = started
    assert [api["HEADRACE_MONITORS"]] == monitors
    assert ("HEADRACE_TRYING_OUT" in api) == is_trying_out
    assert "HEADRACE_TRYING_OUT" not in views
