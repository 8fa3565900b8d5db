"""What the OpenAPI page says holds for each request that it allows, and those it does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    ignored_auth,
    unsupported_method,
)
from structlog.testing import capture_logs

from api.auth import issue
from schemas.views import CommentView, PostView, SourceView, UserView
from tests.unit.api_fakes import KEY, NOW, World

CALLER = "caller"
View = TypeVar("View")


class Every(dict[Any, Any]):
    """Has something under every second name, so that ids that are made up are found or not."""

    def __init__(self, make: Callable[..., Any]) -> None:
        super().__init__()
        self._make = make

    def __contains__(self, name: object) -> bool:
        return len(str(name)) % 2 == 0

    def __getitem__(self, name: Any) -> Any:
        return self._make(name)

    def get(self, name: Any, default: Any = None) -> Any:
        return self._make(name) if name in self else default


@pytest.fixture(scope="module", autouse=True)
def world() -> Iterator[World]:
    world = World()
    views = world.redis
    views.found.posts = Every(lambda name: PostView(name, CALLER, NOW, "text"))
    views.found.users = Every(UserView)
    views.found.sources = Every(lambda name: SourceView(name, 3))
    views.comments = Every(lambda name: CommentView(*name, CALLER, NOW, "text"))
    for n in range(30):
        views.entry(CALLER, f"post{n:02}", f"u:{CALLER}", NOW - n)
    with capture_logs():
        yield world


SCOPES = "read write moderate"
REFUSED = ["400", "401", "403", "404", "409", "422"]
CONFIG = SchemathesisConfig.from_dict(
    {
        "headers": {"Authorization": f"Bearer {issue(KEY, CALLER, 3_600, SCOPES)}"},
        "checks": {
            # A schema cannot say what a cursor is, how many bytes there are, or what is there.
            "positive_data_acceptance": {"expected-statuses": ["2xx", "304", *REFUSED, "413"]},
            "negative_data_rejection": {"expected-statuses": [*REFUSED, "405", "413", "415"]},
        },
    }
)
schema = schemathesis.openapi.from_asgi("/openapi.json", World().app, config=CONFIG)


@schema.include(path_regex="^/api/").exclude(path="/api/v1/stream").parametrize()
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_each_operation_is_as_documented(case: Case) -> None:
    """But for which methods a path takes: ids may have slashes in them, so `/posts/a/like` is also
    the post `a/like`, which can be edited. Tokens are given with each request: see below. A stream
    does not end; `test_live_streams` has those."""
    case.call_and_validate(
        excluded_checks=[unsupported_method, allow_header_conformance, ignored_auth],
    )


OPERATIONS = [
    (method.upper(), path, {} in operation["security"])
    for path, operations in World().app.openapi()["paths"].items()
    for method, operation in operations.items()
    if path.startswith("/api/")
]


@pytest.mark.parametrize(("method", "path", "is_public"), OPERATIONS)
def test_an_operation_needs_the_token_that_it_says(
    method: str, path: str, is_public: bool, world: World
) -> None:
    path = re.sub(r"\{\w+\}", "ab", path)
    without = world.ask(method, path, json={}, params={"ids": "ab"}).status_code
    assert without == 401 or (is_public and without in (200, 404))
    headers = {"Authorization": "Bearer x.y.z"}
    assert world.ask(method, path, headers=headers, json={}).status_code == 401
