"""Whether a caller may write: not once the account is erased, and how often, by class of write."""

from __future__ import annotations

import time
from typing import Literal

from api.errors import ProblemError
from api.gcra import WINDOW_SECONDS, Limit, Standing, Takes
from api.ledger import note_failure
from api.stores import Ledger, StoreDownError, Taken
from connectors.settings import Settings

Class = Literal["posts", "engagements", "follows", "batches", "writes"]

MAX_CALLERS = 100_000
"""Of so many callers and classes a process knows how often they wrote, while Redis is away."""

CLASSES: dict[str, Class] = {
    "create_post": "posts",
    **dict.fromkeys(
        ("engage", "like", "unlike", "react", "unreact", "share", "unshare"), "engagements"
    ),
    **dict.fromkeys(("comment", "delete_comment"), "engagements"),
    **dict.fromkeys(("follow", "unfollow", "follow_topic", "unfollow_topic"), "follows"),
    "publish_events": "batches",
}
"""The class of a route by its name; all others are `writes`."""

Limits = dict[Class, Limit]


def limits_of(config: Settings) -> Limits:
    """The limits that are set; a class that is absent has none."""
    counts: dict[Class, int] = {
        "posts": config.posts_per_minute,
        "engagements": config.engagements_per_minute,
        "follows": config.follows_per_minute,
        "batches": config.batches_per_minute,
        "writes": config.writes_per_minute,
    }
    return {name: Limit(count) for name, count in counts.items() if count}


class Limiter:
    """Takes from the limits of callers in Redis, in this process while Redis is away."""

    def __init__(self, ledger: Ledger, limits: Limits) -> None:
        self._ledger = ledger
        self._limits = limits
        self._takes = Takes(MAX_CALLERS)

    async def take(self, kind: Class, caller: str, *, is_for_erased: bool) -> dict[str, str]:
        """Take one write of a caller; the headers that tell what is left. One round trip.

        Raises:
            ProblemError: 403, when the caller is erased and the write is not for such; 429, when
                the caller has to wait.
        """
        limit = self._limits.get(kind)
        taken = await self._take(kind, caller, limit)
        if taken.is_erased and not is_for_erased:
            raise ProblemError(
                403,
                "account-erased",
                "The account was erased, for ever: nothing that it writes is shown. Sign up for "
                "another one.",
            )
        standing = taken.standing
        if limit is None or standing is None:
            return {}
        headers = _headers(kind, limit, standing)
        if standing.is_allowed:
            return headers
        seconds = max(1, _ceil_seconds(standing.retry_us(limit)))
        raise ProblemError(
            429,
            "rate-limited",
            f"No more than {limit.count} {kind} a minute are taken of a user: "
            f"try again in {seconds} s.",
            headers={**headers, "Retry-After": str(seconds)},
        )

    async def _take(self, kind: Class, caller: str, limit: Limit | None) -> Taken:
        try:
            return await self._ledger.take(kind, caller, limit)
        except StoreDownError as error:
            note_failure("take", error)
            if limit is None:
                return Taken(None)
            now_us = time.monotonic_ns() // 1_000
            return Taken(self._takes.take(f"{kind}\0{caller}", now_us, limit))


def _headers(kind: Class, limit: Limit, standing: Standing) -> dict[str, str]:
    """As draft-ietf-httpapi-ratelimit-headers has them."""
    reset = _ceil_seconds(standing.ahead_us)
    return {
        "RateLimit-Policy": f'"{kind}";q={limit.count};w={WINDOW_SECONDS}',
        "RateLimit": f'"{kind}";r={standing.remaining(limit)};t={reset}',
    }


def _ceil_seconds(us: int) -> int:
    return -(-us // 1_000_000)
