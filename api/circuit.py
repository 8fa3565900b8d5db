"""Circuit breakers: a store that keeps failing is not asked for a while, so nobody waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from typing import Literal, TypeVar

import structlog
from prometheus_client import Gauge

from api.stores import NotFilledError, StoreDownError

FAILURES = 5
"""In a row, after which the circuit opens."""

OPEN_SECONDS = 30.0
"""After which a request is let through, whatever pings say."""

PING_SECONDS = 1.0
"""Between pings of a store whose circuit is open."""

OPEN = Gauge(
    "headrace_api_circuit_open",
    "Whether a store has failed so often that it is not asked now, or one call at a time.",
    ["store"],
    registry=None,
)

State = Literal["closed", "open", "half_open"]
Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)


class Breaker:
    """The circuit to one store.

    Closed, calls go through; 5 that fail in a row open it. Open, calls fail at once, and the store
    is pinged every second: an answer, or 30 s, make the circuit half open. Then one call at a time
    goes through: success closes it, failure opens it again.
    """

    def __init__(
        self,
        store: str,
        ping: Callable[[], Awaitable[object]],
        clock: Callable[[], float] = time.monotonic,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        self.store = store
        self.state: State = "closed"
        self._ping = ping
        self._clock = clock
        self._ping_seconds = ping_seconds
        self._failures = 0
        self._until = 0.0
        self._is_trying = False
        self._pinging: asyncio.Task[None] | None = None
        OPEN.labels(store).set(0)

    async def run(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """What a call answers.

        Raises:
            StoreDownError: the call's, or at once when the circuit is open.
        """
        is_trial = self._admit()
        try:
            answer = await call()
        except NotFilledError:
            self._succeeded(is_trial)
            raise
        except StoreDownError as error:
            if error.is_outage:
                self._failed(is_trial)
            raise
        finally:
            if is_trial:
                self._is_trying = False
        self._succeeded(is_trial)
        return answer

    def answered(self) -> None:
        """The store has answered a ping."""
        if self.state == "open":
            self.state = "half_open"

    async def close(self) -> None:
        """Ping no longer."""
        if self._pinging is not None:
            self._pinging.cancel()
            with suppress(asyncio.CancelledError):
                await self._pinging

    def _admit(self) -> bool:
        """Whether a call is the one that decides about a circuit that is half open."""
        if self.state == "closed":
            return False
        if self.state == "open" and self._clock() >= self._until:
            self.state = "half_open"
        if self.state == "open" or self._is_trying:
            raise StoreDownError(self.store, "circuit open", is_outage=False)
        self._is_trying = True
        return True

    def _succeeded(self, is_trial: bool) -> None:
        if self.state == "closed":
            self._failures = 0
        elif is_trial:
            self.state, self._failures = "closed", 0
            OPEN.labels(self.store).set(0)
            log.info("circuit closed", store=self.store)

    def _failed(self, is_trial: bool) -> None:
        if self.state == "closed":
            self._failures += 1
        if is_trial or (self.state == "closed" and self._failures >= FAILURES):
            self._open()

    def _open(self) -> None:
        self.state, self._until = "open", self._clock() + OPEN_SECONDS
        OPEN.labels(self.store).set(1)
        log.warning("circuit open", store=self.store)
        if self._pinging is None or self._pinging.done():
            pinging = self._keep_pinging()
            # Not in the context of the request that failed last, whose time is nearly up.
            self._pinging = asyncio.get_running_loop().create_task(pinging, context=Context())

    async def _keep_pinging(self) -> None:
        while self.state != "closed":
            await asyncio.sleep(self._ping_seconds)
            if self.state == "open":
                with suppress(StoreDownError):
                    await self._ping()
                    self.answered()
