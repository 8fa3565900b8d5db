"""An outage of a store: from the first thing that it could not do until all is done again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple

import structlog

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Outage:
    """Whether a store can be reached, as all sinks that write into it find. Used by the event
    loop alone; tells the log of an outage's beginning and of its end, not of each try.

    It ends when nothing waits any more: by what the store did, or with the last partition that
    this process owns, since nobody would find out then."""

    def __init__(self, store: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._clock = clock
        self._since: float | None = None
        self._detail = ""
        self._waiting: set[Place] = set()
        self._owned: set[Place] = set()

    @property
    def reason(self) -> str | None:
        """Why the store cannot be used now, None when it can."""
        if self._since is None:
            return None
        return f"{self.store} cannot be reached: {self._detail}"

    @property
    def seconds(self) -> float:
        """How long it has lasted, 0 when there is none."""
        return 0.0 if self._since is None else self._clock() - self._since

    def is_waiting(self, place: Place) -> bool:
        """Whether something of a partition waits for the store."""
        return place in self._waiting

    def opened(self, place: Place) -> None:
        """A partition is this process's: the store is asked for it until it is closed."""
        self._owned.add(place)

    def closed(self, place: Place) -> None:
        """A partition is this process's no longer, and does not wait."""
        self._owned.discard(place)
        self.gave_up(place)

    def failed(self, place: Place, error: Exception) -> None:
        """A try of a partition failed, and will be repeated."""
        self._waiting.add(place)
        self._detail = f"{type(error).__name__}: {error}"
        if self._since is None:
            self._since = self._clock()
            log.error("store cannot be reached", store=self.store, detail=self._detail)

    def succeeded(self, place: Place) -> None:
        """The store has done what it was asked for a partition."""
        self._waiting.discard(place)
        if self._since is not None and not self._waiting:
            log.warning("store can be reached again", store=self.store, after_s=self.seconds)
            self._since = None

    def gave_up(self, place: Place) -> None:
        """A partition waits no longer; that says nothing about the store."""
        self._waiting.discard(place)
        if self._since is not None and not self._waiting and not self._owned:
            log.info("store is no longer asked", store=self.store, after_s=self.seconds)
            self._since = None


def pause_before(attempt: int) -> float:
    """Seconds to wait before a further attempt, from 1 on: exponential, with full jitter."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(attempt - 1, 30))
    return random.uniform(0, longest)
