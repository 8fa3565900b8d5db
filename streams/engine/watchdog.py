"""The watchdog: finds out that partitions which should move do not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from faust.types import TP

from connectors.transport import Progress

LOOK_SECONDS = 1.0


class Stalls:
    """For how long each partition that should move has stood still."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit = limit_seconds
        self._still: dict[TP, tuple[int, float]] = {}

    def look(
        self, seconds: float, partitions: Mapping[TP, Progress], is_waiting: Callable[[TP], bool]
    ) -> str | None:
        """What stalls, if anything, `seconds` after the last look. A partition that waits for a
        store, as `is_waiting` says, does not stall."""
        still = {}
        for tp, now in partitions.items():
            position, stood = self._still.get(tp, (now.position, 0.0))
            if not now.is_busy or is_waiting(tp) or position != now.position:
                stood = 0.0
            else:
                stood += seconds
            still[tp] = (now.position, stood)
        self._still = still
        stalled = {tp: stood for tp, (_, stood) in still.items() if stood > self._limit}
        if not stalled:
            return None
        tp, stood = max(stalled.items(), key=lambda item: item[1])
        return (
            f"{tp.topic}/{tp.partition} has stood at {still[tp][0]} for {stood:.0f} s with records "
            f"waiting ({len(stalled)} partitions in all)"
        )


class Watchdog:
    """Looks once a second, from a thread of its own, so that also a blocked event loop is seen.

    Time in which this whole process was stopped does not count.
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
        last = time.monotonic()
        while not self._stop.wait(LOOK_SECONDS):
            now = time.monotonic()
            self._look(min(now - last, 2 * LOOK_SECONDS))
            last = now
