"""What the image's health check makes of what answers, and of what does not."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType

import pytest

from tests.unit import deployed


class Monitor(BaseHTTPRequestHandler):
    """Answers as a worker's monitor or the API does."""

    ready_path = "/readyz/"
    status = 200
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = b'{"reason": "being restored"}'
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def healthcheck() -> ModuleType:
    path = deployed.DOCKERFILE.with_name("healthcheck.py")
    spec = importlib.util.spec_from_file_location("healthcheck", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def listening() -> Iterator[HTTPServer]:
    Monitor.asked, Monitor.status = [], 200
    server = HTTPServer(("127.0.0.1", 0), Monitor)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def closed_port() -> int:
    with HTTPServer(("127.0.0.1", 0), Monitor) as server:
        return server.server_port


@pytest.fixture(params=["HEADRACE_MONITOR_PORT", "HEADRACE_API_PORT"])
def path(
    request: pytest.FixtureRequest, listening: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The path that is to be asked of what listens: a worker's monitor, or the API."""
    others = {"HEADRACE_MONITOR_PORT", "HEADRACE_API_PORT"} - {request.param}
    monkeypatch.setenv(others.pop(), str(closed_port()))
    monkeypatch.setenv(request.param, str(listening.server_port))
    return "/readyz" if request.param == "HEADRACE_API_PORT" else "/readyz/"


def test_who_is_ready_is_healthy(healthcheck: ModuleType, path: str) -> None:
    assert healthcheck.reason() is None
    assert Monitor.asked == [path]


def test_who_is_not_ready_says_why(healthcheck: ModuleType, path: str) -> None:
    Monitor.status = 503
    said = healthcheck.reason()
    assert f"{path}: 503" in said
    assert "being restored" in said


def test_nobody_listens(healthcheck: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_MONITOR_PORT", str(closed_port()))
    monkeypatch.setenv("HEADRACE_API_PORT", str(closed_port()))
    assert healthcheck.reason() == "nothing listens yet"
