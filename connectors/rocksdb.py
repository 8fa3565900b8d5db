"""An embedded RocksDB: keys and values in bytes, written in batches, whatever it reads verified.

A batch is written whole or not at all, and after a crash, of the process or of the machine, the
batches that are there are the first ones written: the write-ahead log is read up to its first
damage, unless that might never end (see `rocksdb_logs`). Damage found elsewhere marks the
directory, so that it is not opened again.

Databases are opened one after the other: the library holds the interpreter while it syncs files,
some ten times, and of many threads that do so at once none would let the event loop run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
)

from connectors.rocksdb_logs import check_logs

CACHE_BYTES = 256 * 1024 * 1024  # for all databases of the process
UNFLUSHED_BYTES = 128 * 1024 * 1024  # of those
WRITE_BUFFER_BYTES = 32 * 1024 * 1024
BLOOM_BITS = 10
LOCK_SECONDS = 30.0
MARK = "DAMAGED"
_opening = threading.Lock()
_NO_DAMAGE = (os.strerror(errno.EMFILE), os.strerror(errno.ENOSPC), os.strerror(errno.EACCES))


class LocalStateError(Exception):
    """A local database cannot be used: its disk is full, another process has it open ..."""


class LocalStateDamagedError(LocalStateError):
    """What a local database holds is not what was written into it."""


class Database:
    """A RocksDB in a directory, which is made when it is missing.

    Raises:
        LocalStateDamagedError: it cannot be opened, or was marked as damaged.
        LocalStateError: another process has had it open for 30 s.
    """

    def __init__(self, directory: Path) -> None:
        self._mark = directory / MARK
        if self._mark.exists():
            raise LocalStateDamagedError(f"found damaged before: {self._mark.read_text()}")
        directory.mkdir(parents=True, exist_ok=True)
        self.is_new = not any(map(_holds_data, directory.iterdir()))
        self._db = _open(directory)

    def get(self, key: bytes) -> bytes | None:
        """A value, or None."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            raise self._fault(error) from error
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of keys, None for those that are not there."""
        try:
            values: list[bytes | None] | None = self._db.get(list(keys))
        except Exception as error:
            raise self._fault(error) from error
        return values or []

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of all keys that begin with `prefix`, whose last byte is below 255; those
        before `start` are left out."""
        options = ReadOptions()
        options.set_iterate_upper_bound(prefix[:-1] + bytes([prefix[-1] + 1]))
        found = self._db.iter(options)
        try:
            found.seek(max(prefix, start))
            while found.valid():
                yield found.key(), found.value()
                found.next()
            found.status()
        except Exception as error:
            raise self._fault(error) from error
        finally:
            del found  # as long as there is an iterator, the database stays open

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Write a batch; a None value removes."""
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        try:
            self._db.write(batch)
        except Exception as error:
            raise self._fault(error) from error

    def damaged(self, what: str) -> LocalStateDamagedError:
        """Mark the directory as damaged; the error to be raised."""
        with contextlib.suppress(OSError):
            self._mark.write_text(what)
        return LocalStateDamagedError(what)

    def close(self) -> None:
        """Write out what only the log has, and close it."""
        try:
            self._db.close()
        except Exception as error:
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> LocalStateError:
        if str(error).startswith("Corruption"):
            return self.damaged(str(error))
        return LocalStateError(str(error))


def _holds_data(file: Path) -> bool:
    """Whether a file of a database has rows in it: a table, or a log in which something stands."""
    return file.suffix == ".sst" or (file.suffix == ".log" and file.stat().st_size > 0)


def _open(directory: Path) -> Rdict:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with _opening:
                check_logs(directory)
                options = _options()
                # A database that is there takes those of its keys from its last opening otherwise,
                # with a cache of its own.
                return Rdict(str(directory), options, {"default": options})
        except Exception as error:
            if any(reason in str(error) for reason in _NO_DAMAGE):
                raise LocalStateError(str(error)) from error
            if str(directory / "LOCK") not in str(error):
                raise LocalStateDamagedError(f"it cannot be opened: {error}") from error
            if time.monotonic() > deadline:
                raise LocalStateError(
                    f"another process has had {directory} open for {LOCK_SECONDS:.0f} s: "
                    "end it, or give this one another HEADRACE_DATA_DIR"
                ) from error
        time.sleep(0.1)


@cache
def _budget() -> tuple[Cache, WriteBufferManager]:
    """What all databases of the process share: a cache, in which unflushed writes count too.

    The process may then have as many files open as the system lets it: each database has some.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    blocks = Cache(CACHE_BYTES)
    manager = WriteBufferManager.new_write_buffer_manager_with_cache(
        UNFLUSHED_BYTES, allow_stall=False, cache=blocks
    )
    return blocks, manager


def _options() -> Options:
    blocks, manager = _budget()
    table = BlockBasedOptions()
    table.set_block_cache(blocks)
    table.set_bloom_filter(BLOOM_BITS, block_based=False)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_manager(manager)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_paranoid_checks(True)
    options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
    options.set_keep_log_file_num(2)
    return options
