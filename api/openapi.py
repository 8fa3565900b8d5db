"""The OpenAPI page: FastAPI's, with the errors as they are sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from api.auth import is_public
from api.errors import MEDIA_TYPE
from api.idempotency import HEADER, MAX_KEY_LENGTH
from api.models import Problem
from api.produce import event_schemas
from api.write_route import FOR_ERASED

DESCRIPTION = """
A news feed. Reads come from views in Redis and Cassandra; writes publish an event to Kafka and
answer 202 when Kafka has it on disk: the views follow, usually within a second.

* Times are RFC 3339 in UTC; ids are opaque strings of at most 256 bytes, those made here sort
  by time, but for those of writes with an `Idempotency-Key`.
* A write with the header `Idempotency-Key` may be sent again when its answer was lost: it is made
  once, and for a day is answered as it was the first time, with `Idempotency-Replayed: true`.
* Errors are problem details (RFC 9457, `application/problem+json`).
* What the caller may not see is answered like what is not there.
"""
TAGS = [
    {"name": "feed", "description": "The caller's timeline."},
    {"name": "trending", "description": "Posts and topics on the rise."},
    {"name": "posts", "description": "Posts."},
    {"name": "comments", "description": "What users say of posts."},
    {"name": "engagements", "description": "What users do with posts."},
    {"name": "events", "description": "For producers: many events, of any user."},
    {"name": "users", "description": "Profiles, following, and lists of users."},
    {"name": "topics", "description": "What hashtags name."},
    {"name": "interests", "description": "What a user likes to see, and not."},
    {"name": "notifications", "description": "What others did that concerns the caller."},
    {"name": "moderation", "description": "Verdicts on reported posts."},
    {"name": "health", "description": "For supervisors and Prometheus."},
]
_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Any text that no other write of the caller has, like a UUID. With another "
    "request than before it is refused (422, `key-reused`).",
    "schema": {
        "type": "string",
        "pattern": "^[!-~]+$",
        "minLength": 1,
        "maxLength": MAX_KEY_LENGTH,
    },
}
_WAIT = {
    "name": "wait",
    "in": "query",
    "required": False,
    "description": "`view`: answer when the views show the write, after 2 s at the latest; "
    "`is_visible` says whether they do.",
    "schema": {"type": "string", "enum": ["view"]},
}
_RATE_HEADERS = {
    "RateLimit-Policy": {
        "description": "The caller's limit for this class of write: `q` in `w` seconds.",
        "schema": {"type": "string", "examples": ['"posts";q=5;w=60']},
    },
    "RateLimit": {
        "description": "What is left: `r` writes now; after `t` seconds all of them.",
        "schema": {"type": "string", "examples": ['"posts";r=4;t=12']},
    },
}
_REF = {"$ref": "#/components/schemas/Problem"}


def install(app: FastAPI, routes: Iterable[BaseRoute]) -> None:
    """Make `app.openapi()` describe errors as problems, also those of every route, and which of the
    routes take a token or none."""
    public = {route.name for route in routes if isinstance(route, APIRoute) and is_public(route)}

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app, public)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _described(app: FastAPI, public: set[str]) -> dict[str, Any]:
    page = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    for path, operations in page["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            if not path.startswith("/api/"):
                continue
            for status, response in responses.items():
                if int(status) >= 400:
                    response["content"] = {MEDIA_TYPE: {"schema": _REF}}
            responses["500"] = _problem("A fault of the server.")
            if "{" in path:
                responses.setdefault("404", _problem("The path names nothing."))
            if "requestBody" in operation:
                responses.setdefault("400", _problem("The body is not JSON."))
                responses.setdefault("413", _problem("The body is over 256 KiB."))
                responses["408"] = _problem("The body does not come in time.")
                responses["415"] = _problem("The body is not sent as application/json.")
            if operation["operationId"] in public:
                operation["security"] = [{}, {"token": []}]
            if method not in ("get", "head"):
                operation.setdefault("parameters", []).extend((_KEY, _WAIT))
                responses["429"] = _limited()
                responses["202"]["headers"] = _RATE_HEADERS
                if operation["operationId"] not in FOR_ERASED:
                    why = responses["403"]["description"].removesuffix(".")
                    responses["403"]["description"] = f"{why}, or the caller's account is erased."
    schemas = page["components"]["schemas"]
    schemas.update(event_schemas())
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas.setdefault("Problem", Problem.model_json_schema())
    return page


def _limited() -> dict[str, Any]:
    wait = {"description": "Seconds until one more is taken.", "schema": {"type": "integer"}}
    headers = {**_RATE_HEADERS, "Retry-After": wait}
    return _problem("The caller writes too often.") | {"headers": headers}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": _REF}}}
