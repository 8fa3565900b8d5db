"""The pace of work that was put off: it rests while the sinks have enough of it to do."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaException

from connectors.lag import Standings

log = structlog.get_logger(__name__)

WINDOW = 5_000
SHARE = 0.5
"""Of the time while there is other work: what pieces may take, each until it is confirmed."""

REST_SECONDS = 1.0
LOOK_SECONDS = 0.01

Ends = dict[tuple[str, int], int]


class Pace:
    """Whether work is to wait: while the readers of a topic have yet to confirm `WINDOW` deliveries
    or more, and then, if others were at work meanwhile, until it had no more than its `SHARE`.

    What others put into the topic waits behind those, so they are few: about as many as the readers
    do in the time that it takes to hear of it. While some are not confirmed, a thread asks `read`
    for where the readers stand, and calls `resume` when work may go on. Work rests for
    `REST_SECONDS` at most, so that no reader that stands still stops it: it goes on slowly.
    """

    def __init__(
        self,
        read: Callable[[], Standings],
        resume: Callable[[], None] = lambda: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._resume = resume
        self._clock = clock
        self._done = 0
        self._confirmed = 0
        self._seen: deque[tuple[int, Ends]] = deque()
        self._worked_at = clock()
        self._goes_on_at = self._worked_at
        self._has_met_others = False
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="pace", daemon=True)

    def worked(self, deliveries: int) -> None:
        """So many deliveries of a piece of work are in the topic; may be called from any thread."""
        with self._lock:
            self._done += deliveries
            self._worked_at = self._clock()
        self._wake.set()

    def met_others(self) -> None:
        """Records were folded; may be called from any thread."""
        self._has_met_others = True

    def rests(self) -> bool:
        """Whether work is to wait; may be called from any thread."""
        now = self._clock()
        is_enough = self._done - self._confirmed >= WINDOW or now < self._goes_on_at
        return is_enough and now - self._worked_at < REST_SECONDS

    def start(self) -> None:
        """Begin to look whenever there is something to confirm."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._is_stopped = True
        self._wake.set()

    def look(self) -> None:
        """See where the readers stand."""
        done = self._done  # all of that is before the ends that are read now
        standing = self._read()
        if not self._seen or self._seen[-1][0] != done:
            self._seen.append((done, {place: at.end for place, at in standing.items()}))
        # The last offset of a partition is the marker of a transaction, which is nothing to read.
        while self._seen and all(
            standing[place].committed >= end - 1 for place, end in self._seen[0][1].items()
        ):
            self._confirmed = self._seen.popleft()[0]
        if self._confirmed == done and self._has_met_others:
            self._has_met_others = False
            now = self._clock()
            self._goes_on_at = now + (now - self._worked_at) * (1 / SHARE - 1)

    def _run(self) -> None:
        while not self._is_stopped:
            self._wake.wait()
            self._wake.clear()
            rested = False
            while (rested or self._confirmed < self._done) and not self._is_stopped:
                rested = rested or self.rests()
                if self._confirmed < self._done:
                    try:
                        self.look()
                    except KafkaException as error:
                        self._seen.clear()
                        self._confirmed = self._done
                        log.warning("readers not seen", detail=str(error))
                if rested and not self.rests():
                    rested = False
                    self._resume()
                time.sleep(LOOK_SECONDS)
