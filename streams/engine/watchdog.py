"""The watchdog: finds out that partitions which should move do not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import structlog
from faust.types import TP

from connectors.transport import Progress
from streams.engine.exits import Exit, end

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
OPENING_SECONDS = 90.0


class Stalls:
    """For how long each partition that should move has stood still."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit = limit_seconds
        self._still: dict[TP, tuple[Progress, float]] = {}

    def look(
        self, seconds: float, partitions: Mapping[TP, Progress], is_waiting: Callable[[TP], bool]
    ) -> str | None:
        """What stalls, if anything, `seconds` after the last look. A partition that waits for a
        store, as `is_waiting` says, does not stall."""
        still = {}
        for tp, now in partitions.items():
            before, stood = self._still.get(tp, (now, 0.0))
            has_moved = (before.position, before.steps) != (now.position, now.steps)
            if not now.is_busy or is_waiting(tp) or has_moved:
                stood = 0.0
            else:
                stood += seconds
            still[tp] = (now, stood)
        self._still = still
        stalled = {tp: stood for tp, (_, stood) in still.items() if stood > self._limit}
        if not stalled:
            return None
        tp, stood = max(stalled.items(), key=lambda item: item[1])
        position = still[tp][0].position
        return (
            f"{tp.topic}/{tp.partition} has stood at {position} for {stood:.0f} s with records "
            f"waiting ({len(stalled)} partitions in all)"
        )


class Openings:
    """For how long partitions have been opening, and for how long none of those has moved.

    They are watched together, as one may wait for another: databases are opened one by one.
    Fencing, a database and a changelog are waited for up to 30 s each, two of them in a row at
    most, and given up with a better reason than there is here: so the limit is `OPENING_SECONDS`
    at least.
    """

    def __init__(self, limit_seconds: float) -> None:
        self._limit = max(limit_seconds, OPENING_SECONDS)
        self._seen: dict[TP, int | None] = {}
        self._lasting: dict[TP, float] = {}
        self._stood = 0.0

    def look(
        self, seconds: float, openings: Mapping[TP, int | None], is_waiting: Callable[[TP], bool]
    ) -> str | None:
        """What stalls, if anything, `seconds` after the last look. Each opening comes with the
        records that its restore has read, None before it. A partition that waits for a store, as
        `is_waiting` says, does not stall."""
        now = {tp: rows for tp, rows in openings.items() if not is_waiting(tp)}
        self._lasting = {
            tp: self._lasting[tp] + seconds if tp in self._lasting else 0.0 for tp in now
        }
        self._stood = self._stood + seconds if now and now == self._seen else 0.0
        self._seen = now
        if self._stood <= self._limit:
            return None
        tp, lasting = max(self._lasting.items(), key=lambda item: item[1])
        return (
            f"{tp.topic}/{tp.partition} has been opening for {lasting:.0f} s, of which nothing "
            f"moved for {self._stood:.0f} s ({len(now)} partitions in all)"
        )


class Watchdog:
    """Looks once a second, from a thread of its own, so that also a blocked event loop is seen.

    Time in which this whole process was stopped does not count. A look that raises ends the
    process, which nothing would watch otherwise.
    """

    def __init__(self, look: Callable[[float], None]) -> None:
        self._look = look
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def _run(self) -> None:
        try:
            self._watch()
        except Exception as error:
            if self._stop.is_set():
                return
            log.critical("fault", error=type(error).__name__, detail=str(error), exc_info=error)
            end(Exit.FAULT, f"the watchdog failed: {type(error).__name__}: {error}")

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(LOOK_SECONDS):
            now = time.monotonic()
            self._look(min(now - last, 2 * LOOK_SECONDS))
            last = now
