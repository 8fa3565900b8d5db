"""The logs of a RocksDB: what was written and not flushed yet, and the list of its files.

RocksDB 9.8 reads a log for ever, with the interpreter held, when the type of a record in it says
that the log was used before (bits flip). It uses none twice here, so such a log is damaged.
"""

from __future__ import annotations

import struct
from pathlib import Path

BLOCK_BYTES = 32 * 1024
_HEADER = struct.Struct("<IHB")  # CRC, length and type, in front of every record
_PLAIN_TYPES = 4  # zeros; a record, or its first, a middle, its last part


class StrangeLogError(Exception):
    """A log must not be read."""


def check_logs(directory: Path) -> None:
    """See whether the logs of a database, which is not open, may be read. O(their bytes).

    Raises:
        StrangeLogError: one may not.
        OSError: one cannot be.
    """
    for log in sorted([*directory.glob("MANIFEST-*"), *directory.glob("*.log")]):
        try:
            at = _strange_record(log.read_bytes())
        except FileNotFoundError:  # another process has the database open after all
            continue
        if at is not None:
            raise StrangeLogError(f"{log.name} has no such record as at byte {at}")


def _strange_record(log: bytes) -> int | None:
    """Where the first record is that is none of a log which is used once.

    A log is blocks of 32 KiB, a block is records, and zeros where none was written.
    """
    at = 0
    while at + _HEADER.size <= len(log):
        left = BLOCK_BYTES - at % BLOCK_BYTES
        if left < _HEADER.size:
            at += left
            continue
        _, length, kind = _HEADER.unpack_from(log, at)
        if kind == length == 0:
            at += left
            continue
        if kind > _PLAIN_TYPES or _HEADER.size + length > left:
            return at
        at += _HEADER.size + length
    return None
