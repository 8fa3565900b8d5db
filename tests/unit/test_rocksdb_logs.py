"""The logs of a RocksDB: which must not be read."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from connectors.rocksdb_logs import BLOCK_BYTES, StrangeLogError, check_logs

NAMES = ["MANIFEST-000005", "000004.log"]


def _record(kind: int, payload: bytes) -> bytes:
    return struct.pack("<IHB", 7, len(payload), kind) + payload


def _log() -> bytes:
    """A record, one in three parts, and one behind a block's end that has no room for a header."""
    first = _record(1, b"a" * 100)
    begin = _record(2, b"b" * (BLOCK_BYTES - len(first) - 7))
    middle = _record(3, b"c" * (BLOCK_BYTES - 7))
    last = _record(4, b"d" * (BLOCK_BYTES - 7 - 6))
    return first + begin + middle + last + bytes(6) + _record(1, b"e" * 10)


STARTS = [0, 107, BLOCK_BYTES, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES]


def _found(directory: Path, log: bytes, name: str = NAMES[0]) -> str | None:
    (directory / name).write_bytes(log)
    try:
        check_logs(directory)
    except StrangeLogError as error:
        return str(error)
    return None


def test_a_good_log_may_be_read(tmp_path: Path) -> None:
    assert _found(tmp_path, _log()) is None
    check_logs(tmp_path / "none")


@pytest.mark.parametrize("size", [0, 3, 6, 7, 50, 110, BLOCK_BYTES + 3, 3 * BLOCK_BYTES + 9])
def test_a_log_that_was_not_written_to_its_end_may_be_read(tmp_path: Path, size: int) -> None:
    assert _found(tmp_path, _log()[:size]) is None


@pytest.mark.parametrize("zeros", [1, 8, 1_000, 2 * BLOCK_BYTES])
def test_room_that_was_made_and_not_used_may_be_read(tmp_path: Path, zeros: int) -> None:
    assert _found(tmp_path, _log() + bytes(zeros)) is None


def test_a_page_that_was_not_written_may_be_read(tmp_path: Path) -> None:
    log = bytearray(_log())
    log[BLOCK_BYTES : BLOCK_BYTES + 4096] = bytes(4096)
    assert _found(tmp_path, bytes(log)) is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("start", STARTS)
def test_another_type_must_not_be_read(tmp_path: Path, name: str, start: int) -> None:
    log = bytearray(_log())
    for bit in range(3, 8):
        log[start + 6] ^= 1 << bit
        assert _found(tmp_path, bytes(log), name) == f"{name} has no such record as at byte {start}"
        log[start + 6] ^= 1 << bit
    log[start + 6] = log[start + 6] | 4 if log[start + 6] < 4 else 5
    assert _found(tmp_path, bytes(log), name) is not None


def test_a_record_beyond_its_block_must_not_be_read(tmp_path: Path) -> None:
    log = bytearray(_log())
    log[107 + 4] += 1
    assert _found(tmp_path, bytes(log)) is not None


def test_other_files_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "LOG").write_bytes(b"\xff" * 100)
    (tmp_path / "000007.sst").write_bytes(b"\xff" * 100)
    check_logs(tmp_path)
