"""What every request passes: a bound on the body, figures, one log line, headers, no leaks."""

from __future__ import annotations

import asyncio
import time
import traceback
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.deadline import bound_by
from api.errors import problem, server_error
from api.idempotency import HEADER, REPLAYED
from connectors.settings import Settings

MAX_BODY_BYTES = 256 * 1024
LARGER_BODIES = {"/api/v1/events": 2 * 1024 * 1024}
BODY_SECONDS = 15.0
REQUEST_SECONDS = 30.0
"""To the beginning of an answer."""

CORS_SECONDS = 600
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_ALWAYS = {b"x-content-type-options": b"nosniff", b"referrer-policy": b"no-referrer"}
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

log = structlog.get_logger(__name__)


class Boundary:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._requests = Counter(
            "headrace_api_requests",
            "Requests by route template and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "headrace_api_request_seconds",
            "Time to the end of the response.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._figures: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0
        is_over = False
        has_token = any(name == b"authorization" for name, _ in scope["headers"])

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                if not is_over:
                    patience.reschedule(None)
                status = message["status"]
                _set_headers(message, scope["path"], has_token)
            await send(message)

        patience = asyncio.timeout(REQUEST_SECONDS)
        try:
            with bound_by(patience):
                async with patience:
                    refusal, receive = await _bounded(scope, receive)
                    await (refusal or self._app)(scope, receive, send_on)
        except Exception as error:  # noqa: BLE001  (the last place: whatever it is, answer)
            is_over, is_late = True, patience.expired()
            if is_late:
                log.error("timeout", seconds=REQUEST_SECONDS)
            else:
                _log_fault(error)
            if not status:
                await (_too_late() if is_late else server_error())(scope, receive, send_on)
        finally:
            self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", None) or "unmatched"
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        count, times = self._figures_of(method, route, status)
        count.inc()
        times.observe(seconds)
        write = log.debug if route in _QUIET else log.info
        write("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))

    def _figures_of(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        """Looked up once: prometheus_client builds and checks the labels anew each time."""
        found = self._figures.get((method, route, status))
        if found is None:
            count = self._requests.labels(method, route, str(status))
            found = self._figures[method, route, status] = (
                count,
                self._seconds.labels(method, route),
            )
        return found


def _log_fault(error: Exception) -> None:
    """The message may quote what was sent, so only the kind and the place are logged."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    where = [f"{frame.filename}:{frame.lineno}" for frame in frames]
    log.error("fault", error=type(error).__name__, where=where)


def _set_headers(message: Message, path: str, has_token: bool) -> None:
    """Add to the headers of an answer, as pairs: Starlette would look through all for each."""
    pairs = [pair for pair in message.get("headers", ()) if pair[0] not in _ALWAYS]
    message["headers"] = pairs
    pairs += _ALWAYS.items()
    if path.startswith("/api/"):
        names = {name for name, _ in pairs}
        if b"cache-control" not in names:
            pairs.append((b"cache-control", b"no-store" if has_token else b"no-cache"))
        if b"vary" in names:
            MutableHeaders(scope=message).add_vary_header("Authorization")
        else:
            pairs.append((b"vary", b"Authorization"))


async def _bounded(scope: Scope, receive: Receive) -> tuple[Response | None, Receive]:
    """The whole body, read before it is used, or the refusal of one too long or too slow."""
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return None, receive
    most = LARGER_BODIES.get(scope["path"], MAX_BODY_BYTES)
    length = Headers(scope=scope).get("content-length", "0")
    if length.isdecimal() and int(length) > most:
        return _too_large(most), receive
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    break
                body += message.get("body", b"")
                if len(body) > most:
                    return _too_large(most), receive
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        detail = f"The body did not come within {BODY_SECONDS:.0f} s."
        return problem(408, "request-timeout", detail, {"Connection": "close"}), receive
    whole: Message = {"type": "http.request", "body": bytes(body), "more_body": False}
    is_given = False

    async def receive_whole() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return whole

    return None, receive_whole


def _too_late() -> Response:
    detail = f"There was no answer in {REQUEST_SECONDS:.0f} s. A write may or may not take effect."
    return problem(503, "timeout", detail, {"Retry-After": "2"})


def cors_of(config: Settings) -> dict[str, Any]:
    """What pages of the origins that are set may do, as Starlette's middleware takes it."""
    return {
        "allow_origins": config.cors_origin_names,
        "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
        "allow_headers": ["Authorization", "Content-Type", HEADER],
        "expose_headers": ["RateLimit", "RateLimit-Policy", "Retry-After", REPLAYED],
        "max_age": CORS_SECONDS,
    }


def _too_large(most: int) -> Response:
    detail = f"The body is over {most // 1024} KiB."
    return problem(413, "too-large", detail, {"Connection": "close"})
