"""Waiting for a sink to write on."""

from __future__ import annotations

import time
from collections.abc import Callable

from headrace.rebuild.log import PartitionLog
from schemas.topics import Topic

PATIENCE_S = 30.0
PAUSE_S = 0.02


class StoreEmptyError(Exception):
    """A sink has written nothing yet."""

    def __init__(self, store: str, partition: int) -> None:
        super().__init__(
            f"{store} says of timeline-writes/{partition} that nothing was written yet.\n"
            "Hint: there is nothing to mend: its sink fills it from the log (`headrace work`)"
        )


class NotWrittenError(Exception):
    """A sink does not get on, or gets on too quickly."""


class Patience:
    """Counts the time without progress, up to 30 s."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._since = time.monotonic()

    def renew(self) -> None:
        """There was progress."""
        self._since = time.monotonic()

    def wait(self, what: str) -> None:
        """Wait a little.

        Raises:
            NotWrittenError: the time is over.
        """
        if time.monotonic() - self._since > PATIENCE_S:
            raise NotWrittenError(
                f"{self._where}: for {PATIENCE_S:.0f} s {what}.\n"
                "Hint: does its sink run (`headrace work`), and what does its log say? What was "
                "rebuilt so far stays; run this again"
            )
        time.sleep(PAUSE_S)


def wait_for(
    store: str,
    brokers: str,
    topic: Topic,
    partition: int,
    position: Callable[[], int],
    end: int | None,
) -> int:
    """Wait until a sink has written all records before `end`; where it stands then, which may be
    before `end` where no records are.

    Raises:
        NotWrittenError: it does not get there.
        LogError: the log cannot be read.
    """
    patience = Patience(f"{store}, {topic}/{partition}")
    while True:
        found = position()
        if end is None or found >= end:
            return found
        with PartitionLog(brokers, partition, topic) as log:
            if not log.has_records(found, end):
                return found
        patience.wait(f"the sink has not come to {end}: it stands at {found}")
