"""How a process of Headrace ends: its exit codes, and its last words."""

from __future__ import annotations

import os
import sys
from enum import IntEnum
from typing import NoReturn

import faust


class Exit(IntEnum):
    """The exit codes of an app. Whatever the code, nothing is lost: what was not committed is
    done again by who gets the partitions."""

    CLEAN = 0
    """Stopped as it was asked to."""

    CRASH = 1
    """Python ended before the app ran: a setting, a module."""

    FAULT = 70
    """A fault that waiting does not help: the reason says what to do, if a restart does not."""

    STALLED = 75
    """Records waited, or partitions were being opened, and nothing moved for
    `HEADRACE_STALL_SECONDS`."""


def end(code: Exit, reason: str) -> NoReturn:
    """End this process at once; the reason is the last line on stderr."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(2, f"{code.name.lower()}: {' '.join(reason.split())}\n".encode())
    os._exit(code)


class Worker(faust.Worker):  # type: ignore[misc]
    """Ends when all has stopped: mode's sleeps for another second then, in which nobody has the
    partitions if this process is to be started again."""

    async def _sentinel_task(self) -> None:
        pass
