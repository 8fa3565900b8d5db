"""A claim of a directory, which one process has at a time, however that process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

LOCK = "OWNER"


class Claim:
    """The first of `path`, `path`-2, `path`-3 ... that no other process has; made when missing.

    It lasts until this process ends, and another claim of it in this process is the same one.
    """

    def __init__(self, path: Path) -> None:
        number = 1
        self.path = path
        while not self._take():
            number += 1
            self.path = path.with_name(f"{path.name}-{number}")

    def _take(self) -> bool:
        self.path.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT)  # closed by the system
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # which of both, the system decides
            os.close(lock)
            return False
        return True


def claimed(path: Path) -> Iterator[Path]:
    """Of `path`, `path`-2, `path`-3 ... what was ever claimed."""
    yield path
    yield from sorted(path.parent.glob(f"{path.name}-[0-9]*"))
