"""What is kept of who was let in and who was not, and of what only few may do: one log line each.

A line has `event: "audit"`, the action, and who it was; never a token or the text of a post.
"""

from __future__ import annotations

from typing import Literal

import structlog
from fastapi.requests import HTTPConnection

Action = Literal[
    "token refused",
    "token given",
    "scope refused",
    "post judged",
    "account erased",
    "events published",
]

log = structlog.get_logger(__name__)


def audit(action: Action, **who_and_what: str | int) -> None:
    """Write a line."""
    log.info("audit", action=action, **who_and_what)


def address_of(request: HTTPConnection) -> str:
    """Where a request came from, as far as this server sees."""
    return request.client.host if request.client else ""
