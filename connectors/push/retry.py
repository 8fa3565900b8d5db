"""How often and when a delivery is tried again; the same for every connector."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import Struct

from connectors.push.connector import RetryLaterError

T = TypeVar("T")


class RetryPolicy(Struct, frozen=True):
    """At most so many attempts, with pauses between them that double, with full jitter.

    A service that asks for a pause is given that, and the jitter on top; one that asks for more
    than `longest_seconds` is not tried again here.
    """

    attempts: int = 4
    first_seconds: float = 0.5
    longest_seconds: float = 30.0

    def pause(self, attempt: int, error: RetryLaterError, share: float) -> float | None:
        """Seconds to wait after the failed attempt, from 1 on; None to give up.

        Args:
            attempt: Which one has failed.
            error: What it failed with.
            share: A random number from 0 to 1.
        """
        asked = error.after_seconds or 0.0
        if attempt >= self.attempts or asked > self.longest_seconds:
            return None
        return asked + share * min(self.longest_seconds, self.first_seconds * 2.0 ** (attempt - 1))


async def with_retries(
    attempt: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    share: Callable[[], float] = random.random,
) -> T:
    """What `attempt` returns, tried again while it may work later and the policy allows it.

    Raises:
        RetryLaterError: that of the last attempt.
    """
    count = 0
    while True:
        count += 1
        try:
            return await attempt()
        except RetryLaterError as error:
            pause = policy.pause(count, error, share())
            if pause is None:
                raise
        await sleep(pause)
