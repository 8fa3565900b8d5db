"""What is the same for all who read, as it was some seconds ago at most."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from typing import Generic, TypeVar

from api.stores import StoreDownError

Value = TypeVar("Value")


class Lately(Generic[Value]):
    """What `ask` gave, `seconds` ago at most.

    When half of them are over it is asked for again, once, and nobody waits for the answer; so
    where much is read nobody ever waits, nor do all at once who come when the time is over. Who
    comes later asks, and waits.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[Value]],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._value: Value | None = None
        self._asked_at = -math.inf
        self._asking: asyncio.Task[None] | None = None

    async def get(self) -> Value:
        """The value.

        Raises:
            StoreDownError: it had to be asked for, and the store is down.
        """
        age = self._clock() - self._asked_at
        if self._value is None or age > self._seconds:
            return await self._renew()
        if age > self._seconds / 2 and (self._asking is None or self._asking.done()):
            # Not in the context of this request, whose time may be nearly up.
            asking = self._renew_beside()
            self._asking = asyncio.get_running_loop().create_task(asking, context=Context())
        return self._value

    async def close(self) -> None:
        """Ask no longer."""
        if self._asking is not None:
            self._asking.cancel()
            with suppress(asyncio.CancelledError):
                await self._asking

    async def _renew(self) -> Value:
        asked_at = self._clock()
        value = await self._ask()
        if asked_at >= self._asked_at:  # nobody who asked later was faster
            self._value, self._asked_at = value, asked_at
        return value

    async def _renew_beside(self) -> None:
        with suppress(StoreDownError):  # who comes when the time is over is told
            await self._renew()
