"""When a measured process began: it says so itself, in a file."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

FILE_VARIABLE = "HEADRACE_BENCH_START"


class Start(msgspec.Struct, frozen=True):
    """The moment before the first record: monotonic seconds, and CPU seconds used until then."""

    pid: int
    at: float
    cpu: float


def mark_start() -> None:
    """Write the mark of now, where the benchmark asked for it; by hand, nobody asks."""
    named = os.environ.get(FILE_VARIABLE)
    if not named:
        return
    file = Path(named)
    draft = file.with_suffix(".draft")
    draft.write_bytes(
        msgspec.json.encode(Start(os.getpid(), time.monotonic(), time.process_time()))
    )
    draft.replace(file)


def read_start(file: Path) -> Start | None:
    """The mark, None while there is none."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Start)
    except FileNotFoundError:
        return None
