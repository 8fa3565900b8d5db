"""Failpoints: named places in the work where a test has this process killed or stopped.

`HEADRACE_FAILPOINT` names a file. Who writes `<name>:<n>` into it arms the process, which takes
the file away, and is killed (SIGKILL) at the n-th pass of that place from then on, whichever topic
passes, or only a given one with `<name>@<topic>:<n>`; `<name>:<n>:stop` stops it there (SIGSTOP).
What it was doing is written first, as JSON, beside the file (`.mark`). Without the variable,
`reach` does nothing.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

VARIABLE = "HEADRACE_FAILPOINT"
SETTLE_SECONDS = 0.2  # so that what was handed to client libraries is under way
LINGER_SECONDS = 1.2  # so that what a transaction's producer lingers over is in Kafka
LINGERING = ("after-outputs", "after-changelog", "before-commit")

OF_WORKERS = (
    "before-outputs",
    "after-outputs",
    "after-changelog",
    "before-commit",
    "after-commit",
    "mid-restore",
    "before-sink",
    "mid-sink",
    "after-sink",
)
NAMES = (*OF_WORKERS, "mid-copy", "mid-growth")

SIGNALS = {"": signal.SIGKILL, "stop": signal.SIGSTOP}

Reach = Callable[[str, str, int], None]


class Mark(msgspec.Struct, frozen=True):
    """What the process was doing: where (topic/partition), with how many records under way."""

    name: str
    pid: int
    place: str
    in_flight: int


class Order(NamedTuple):
    """At which pass of which place what is sent; a topic of "" is any."""

    name: str
    topic: str
    passes: int
    signal: signal.Signals


def parse(text: str) -> Order:
    """An order as it is written.

    Raises:
        ValueError: it is not understood.
    """
    place, number, action = [*text.split(":"), "", ""][:3]
    name, _, topic = place.partition("@")
    if name not in NAMES or not number.isdecimal() or int(number) < 1 or action not in SIGNALS:
        raise ValueError(
            f"a failpoint must be <name>:<n> or <name>:<n>:stop, with a name of "
            f"{', '.join(NAMES)}, and @<topic> behind it for one topic only, not {text!r}"
        )
    return Order(name, topic, int(number), SIGNALS[action])


def mark_of(file: Path) -> Path:
    """Where what a process was doing is written."""
    return file.with_suffix(".mark")


def arm(file: Path, order: str) -> None:
    """Arm the process that looks at `file`, or the next that does."""
    parse(order)
    mark_of(file).unlink(missing_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_text(order)
    draft.replace(file)


def settle_seconds(name: str) -> float:
    """How long after the pass of a place the signal comes."""
    return LINGER_SECONDS if name in LINGERING else SETTLE_SECONDS


def _send(number: signal.Signals, after_seconds: float) -> None:
    time.sleep(after_seconds)
    os.kill(os.getpid(), number)


class Failpoints:
    """What a process does at the places that it passes; called from several threads."""

    def __init__(self, file: Path, send: Callable[[signal.Signals, float], None] = _send) -> None:
        self._file = file
        self._send = send
        self._lock = threading.Lock()
        self._order: Order | None = None
        self._passed = 0

    def reach(self, name: str, place: str, in_flight: int) -> None:
        """Pass a place."""
        with self._lock:
            self._take_order()
            order = self._order
            if order is None or order.name != name:
                return
            if order.topic and order.topic != place.partition("/")[0]:
                return
            self._passed += 1
            if self._passed < order.passes:
                return
            self._order = None
        with mark_of(self._file).open("wb") as file:
            file.write(msgspec.json.encode(Mark(name, os.getpid(), place, in_flight)))
            file.flush()
            os.fsync(file.fileno())
        self._send(order.signal, settle_seconds(name))

    def _take_order(self) -> None:
        if self._file.exists():
            self._order, self._passed = parse(self._file.read_text()), 0
            self._file.unlink()


def _pass(_name: str, _place: str, _in_flight: int) -> None:
    """Nothing is to happen."""


def reaching(file: str) -> Reach:
    """What `reach` is while the variable is `file`."""
    return Failpoints(Path(file)).reach if file else _pass


reach: Reach = reaching(os.environ.get(VARIABLE, ""))
"""Pass a place: its name, topic/partition, and the records that are under way there."""
