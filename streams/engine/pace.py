"""The pace of work that was put off: it rests while the sinks are behind with what came of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaException

from connectors.lag import Standings

log = structlog.get_logger(__name__)

BEHIND_SECONDS = 0.1
REST_SECONDS = 1.0
LOOK_SECONDS = 0.05
AWAKE_SECONDS = 2.0

Ends = dict[tuple[str, int], int]


class Pace:
    """Whether a topic's readers have got to what was in it `BEHIND_SECONDS` ago.

    While there is work, a thread asks `read` for where they stand. Work rests for `REST_SECONDS` at
    most, so that no reader that stands still stops it: it goes on slowly.
    """

    def __init__(
        self,
        read: Callable[[], Standings],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self._ends: deque[tuple[float, Ends]] = deque()
        self._is_behind = False
        self._worked_at = clock() - AWAKE_SECONDS
        self._wake = threading.Event()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="pace", daemon=True)

    def worked(self) -> None:
        """A piece of work was done; may be called from any thread."""
        self._worked_at = self._clock()
        self._wake.set()

    def rests(self) -> bool:
        """Whether work is to wait; may be called from any thread."""
        return self._is_behind and self._clock() - self._worked_at < REST_SECONDS

    def start(self) -> None:
        """Begin to look whenever there is work."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._is_stopped = True
        self._wake.set()

    def look(self) -> None:
        """See where the readers stand."""
        standing = self._read()
        now = self._clock()
        old: Ends = {}
        while self._ends and self._ends[0][0] <= now - BEHIND_SECONDS:
            old = self._ends.popleft()[1]
        if old:
            self._ends.appendleft((now - BEHIND_SECONDS, old))
        # The last offset of a partition is the marker of a transaction, which is nothing to read.
        self._is_behind = any(standing[place].committed < end - 1 for place, end in old.items())
        self._ends.append((now, {place: at.end for place, at in standing.items()}))

    def _run(self) -> None:
        while not self._is_stopped:
            self._wake.wait()
            self._wake.clear()
            self._ends.clear()
            while not self._is_stopped and self._clock() - self._worked_at < AWAKE_SECONDS:
                try:
                    self.look()
                except KafkaException as error:
                    self._is_behind = False
                    log.warning("readers not seen", detail=str(error))
                time.sleep(LOOK_SECONDS)
            self._is_behind = False
