"""Failpoints: named places in the work where a test has this process killed or stopped.

`HEADRACE_FAILPOINT=<name>:<n>` kills it (SIGKILL) at the n-th pass of a place, whichever topic
passes; `<name>:<n>:stop` stops it there (SIGSTOP). What it was doing is written first, as JSON,
into the file that `HEADRACE_FAILPOINT_MARK` names. Without the variable, `reach` does nothing.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

import msgspec

VARIABLE = "HEADRACE_FAILPOINT"
MARK_VARIABLE = "HEADRACE_FAILPOINT_MARK"
SETTLE_SECONDS = 0.2  # so that what was handed to client libraries is under way

NAMES = (
    "after-outputs",
    "after-changelog",
    "before-commit",
    "after-commit",
    "mid-restore",
    "before-sink",
    "mid-sink",
    "after-sink",
)

SIGNALS = {"": signal.SIGKILL, "stop": signal.SIGSTOP}

Reach = Callable[[str, str, int], None]


class Mark(msgspec.Struct, frozen=True):
    """What the process was doing: where (topic/partition), with how many records under way."""

    name: str
    pid: int
    place: str
    in_flight: int


def _pass(_name: str, _place: str, _in_flight: int) -> None:
    """Nothing is to happen."""


def _send(number: signal.Signals) -> None:
    time.sleep(SETTLE_SECONDS)
    os.kill(os.getpid(), number)


def armed(environment: Mapping[str, str], send: Callable[[signal.Signals], None] = _send) -> Reach:
    """What `reach` is under these variables.

    Raises:
        ValueError: a variable is not understood.
    """
    wanted = environment.get(VARIABLE)
    if not wanted:
        return _pass
    fatal_name, number, action = [*wanted.split(":"), "", ""][:3]
    if (
        fatal_name not in NAMES
        or not number.isdecimal()
        or int(number) < 1
        or action not in SIGNALS
    ):
        raise ValueError(
            f"{VARIABLE} must be <name>:<n> or <name>:<n>:stop, with a name of {', '.join(NAMES)}"
        )
    fatal_pass, passes, lock = int(number), count(1), threading.Lock()
    mark_file = Path(environment[MARK_VARIABLE])

    def reach(name: str, place: str, in_flight: int) -> None:
        if name != fatal_name:
            return
        with lock:
            is_fatal = next(passes) == fatal_pass
        if is_fatal:
            with mark_file.open("wb") as file:
                file.write(msgspec.json.encode(Mark(name, os.getpid(), place, in_flight)))
                file.flush()
                os.fsync(file.fileno())
            send(SIGNALS[action])

    return reach


reach: Reach = armed(os.environ)
"""Pass a place: its name, topic/partition, and the records that are under way there."""
