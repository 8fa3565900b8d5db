"""What the API answers when it cannot do what was asked: problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

MEDIA_TYPE = "application/problem+json"
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
TYPE_PREFIX = "urn:headrace:problem:"


class ProblemError(Exception):
    """An answer other than the one asked for; `code` is the last part of the problem's type."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = errors

    def response(self) -> Response:
        """The problem as a response."""
        return problem(self.status, self.code, self.detail, self.headers, self.errors)


def problem(
    status: int,
    code: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
) -> Response:
    """A problem details response."""
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        headers=dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def not_found(what: str) -> ProblemError:
    """The one answer for what is not there and for what the caller may not see."""
    detail = (
        f"There is no such {what}. Check the id; one that was made a moment ago shows within a "
        "second, and one that you may not see is answered like this too."
    )
    return ProblemError(404, "not-found", detail)


def invalid(field: str, detail: str) -> ProblemError:
    """A value of the request that does not do."""
    return ProblemError(
        422,
        "invalid-request",
        "The request is not valid.",
        errors=[{"field": field, "detail": detail}],
    )


def unavailable(detail: str) -> ProblemError:
    """Something that the answer needs cannot be reached now."""
    return ProblemError(503, "unavailable", detail, headers={"Retry-After": "2"})


def server_error() -> Response:
    """A fault of ours; what it was is in the log only."""
    return problem(500, "internal", "The server failed to answer.")


async def _on_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return error.response()


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "-")
    headers = dict(error.headers or {})
    detail = f"{phrase}."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
        detail = f"This path takes another method: {headers['Allow']}."
    elif error.status_code == HTTPStatus.NOT_FOUND:
        detail = "This path names nothing: /docs lists those that do."
    return problem(error.status_code, code, detail, headers)


def _methods(request: Request) -> list[str]:
    """The methods that any route takes at the request's path; one route names its own only."""
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    return [
        method
        for method, scope in scopes.items()
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    ]


async def _on_invalid(request: Request, error: Exception) -> Response:
    """Says which fields are wrong and why; never repeats what was sent."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if any(item["loc"] == ("body",) for item in found) and kind != "application/json":
        return problem(415, "not-json", "The body must be sent as application/json.")
    if any(item["type"] == "json_invalid" for item in found):
        return problem(400, "not-json", "The body is not valid JSON.")
    errors = [
        {
            "field": ".".join(str(part) for part in item["loc"]),
            "detail": str(item["msg"]).removeprefix("Value error, "),
        }
        for item in found
    ]
    return problem(422, "invalid-request", "The request is not valid.", errors=errors)


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    ProblemError: _on_problem,
    HTTPException: _on_http,
    RequestValidationError: _on_invalid,
}
HANDLED = tuple(_HANDLERS)


async def answer_to(request: Request, error: Exception) -> Response:
    """The problem that one of the errors that are handled is answered with."""
    return await next(
        on(request, error) for kind, on in _HANDLERS.items() if isinstance(error, kind)
    )


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
