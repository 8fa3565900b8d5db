"""What a measured process says of itself, in a file that the benchmark named."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TypeVar

import msgspec

START = "HEADRACE_BENCH_START"
RESTORED = "HEADRACE_BENCH_RESTORED"


class Start(msgspec.Struct, frozen=True):
    """The moment before the first record: monotonic seconds, and CPU seconds used until then."""

    pid: int
    at: float
    cpu: float


class Restored(msgspec.Struct, frozen=True):
    """What a restore took in seconds, how many changelog records it read (None for all that the
    changelogs hold), and how many rows of reactions there are then."""

    seconds: float
    cpu_seconds: float
    rows: int | None
    reactions: int


Mark = TypeVar("Mark", Start, Restored)


def now() -> Start:
    """This process at this moment."""
    return Start(os.getpid(), time.monotonic(), time.process_time())


def write(variable: str, mark: Start | Restored) -> None:
    """Write a mark into the file that this environment variable names, if it does."""
    named = os.environ.get(variable)
    if not named:
        return
    draft = Path(named).with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(mark))
    draft.replace(named)


def read(file: Path, kind: type[Mark]) -> Mark | None:
    """A mark, None while there is none."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
