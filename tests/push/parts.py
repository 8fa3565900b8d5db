"""What the tests of the connectors share: a clock made by hand and a notice."""

from __future__ import annotations

import ssl
from typing import Any

from connectors.push.http import HttpClient
from connectors.push.notice import Notice
from tests.push.server import SILENCE, Answer

NOW = 1_800_000_000.0

PATIENCE = 5.0
"""Seconds to wait for what comes."""

IMPATIENCE = 0.2
"""Seconds to wait for what does not."""


class Clock:
    """Seconds since 1970, which only the test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def patience(*script: Answer) -> float:
    """How long to wait for a stand-in that answers so."""
    return IMPATIENCE if SILENCE in script else PATIENCE


def plain_client(timeout_seconds: float = PATIENCE) -> HttpClient:
    """A client without TLS; reading whom to trust takes longer than a test."""
    return HttpClient(tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), timeout_seconds=timeout_seconds)


def notice(**changed: Any) -> Notice:
    """Two people liked a post, a minute ago."""
    fields: dict[str, Any] = {
        "notice_id": "like/p1/2",
        "user_id": "ann",
        "group": "like/p1",
        "kind": "like",
        "actors": ("bob", "zoë"),
        "actor_count": 2,
        "post_id": "p1",
        "at": int(NOW * 1000) - 60_000,
        "unread": 7,
    }
    return Notice(**fields | changed)


AS_JSON = {
    "notice_id": "like/p1/2",
    "user_id": "ann",
    "group": "like/p1",
    "kind": "like",
    "actors": ["bob", "zoë"],
    "actor_count": 2,
    "at": 1_799_999_940_000,
    "unread": 7,
    "post_id": "p1",
    "comment_id": None,
}
"""`notice()` as receivers see it."""
