"""The committed rows of a partition in a RocksDB: a restart restores only the changelog's tail.

Its keys and values are those of the changelog. The snapshot that the rows stand at is written in
one batch with them, once the changelog has them, so a crash leaves the rows of some committed
checkpoint, or of some point of a restore, with the offset from which the changelog goes on.
Nothing is synced: the changelog is the truth. What is damaged, of another version, of another
Kafka or too old is discarded, and the rows are restored from the changelog's beginning.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import structlog
from msgspec import Struct

from connectors.claim import Claim
from connectors.log_id import log_id_of
from connectors.rocksdb import Database, LocalStateDamagedError, LocalStateError
from schemas.formats import FORMAT
from streams.engine.rows import SEPARATOR, Decode, Groups, Rows, RowStore, Snapshot, outlived

log = structlog.get_logger(__name__)

_SNAPSHOT_KEY = b"\0snapshot"
_encode = msgspec.msgpack.Encoder().encode

Row = TypeVar("Row")


class _Label(Struct, frozen=True, array_like=True):
    """What the rows are of, where they stand, and how many each table has."""

    format: int
    log_id: str
    topic: str
    partition: int
    snapshot: Snapshot
    counts: dict[str, int]


class _FormatOnly(Struct, frozen=True, array_like=True):
    """The first field of every version's label."""

    format: int


class DiskRows(Generic[Row]):
    """The rows of a table, by its keys without the table's name; it is what `get` reads."""

    def __init__(self, store: DiskStore, name: str, decode: Decode[Row], size: int) -> None:
        self._store = store
        self._name = name
        self._decode = decode
        self._size = size
        self._seen: dict[str, Row | None] = {}

    @property
    def committed(self) -> DiskRows[Row]:
        return self

    def get(self, entity: str, /) -> Row | None:
        """A row; read once in a batch."""
        if entity in self._seen:
            return self._seen[entity]
        value = self._store.database.get(self._key(entity))
        row = None if value is None else self._read(value)
        self._seen[entity] = row
        return row

    def scan(self, prefix: str, after: str = "") -> Iterator[tuple[str, Row]]:
        """(the rest of its key, row) of all rows whose key begins with `prefix`, in order; only
        those behind `after`, if given, which is such a rest."""
        key = self._key(prefix)
        start = self._key(f"{prefix}{after}{SEPARATOR}") if after else b""
        for found, value in self._store.database.scan(key, start):
            yield found[len(key) :].decode(), self._read(value)

    def put_many(self, changes: Mapping[str, Row | None]) -> None:
        self._put(
            {entity: None if row is None else _encode(row) for entity, row in changes.items()}
        )

    def restore(self, changes: Mapping[str, bytes | None]) -> None:
        for value in changes.values():
            if value is not None:
                self._decode(value)
        self._put(changes)

    def count(self) -> int:
        return self._size

    def clear(self) -> None:
        """The database was emptied."""
        self._size = 0
        self._seen.clear()

    def _put(self, changes: Mapping[str, bytes | None]) -> None:
        keys = {entity: self._key(entity) for entity in changes}
        unseen = [entity for entity in changes if entity not in self._seen]
        before = dict(
            zip(unseen, self._store.database.get_many([keys[e] for e in unseen]), strict=True)
        )
        pending = self._store.pending
        for entity, value in changes.items():
            was_there = before.get(entity, self._seen.get(entity)) is not None
            self._size += (value is not None) - was_there
            pending[keys[entity]] = value
        self._seen.clear()

    def _key(self, entity: str) -> bytes:
        return f"{self._name}{SEPARATOR}{entity}".encode()

    def _read(self, value: bytes) -> Row:
        try:
            return self._decode(value)
        except msgspec.DecodeError as error:
            raise self._store.database.damaged(f"a row of {self._name}: {error}") from error


class DiskGroup(Generic[Row]):
    """The rows of one entity of a table."""

    def __init__(self, rows: DiskRows[Row], entity: str) -> None:
        self._rows = rows
        self._prefix = f"{entity}{SEPARATOR}"

    def get(self, sub: str, /) -> Row | None:
        return self._rows.get(self._prefix + sub)

    def items(self) -> Iterable[tuple[str, Row]]:
        return self._rows.scan(self._prefix)


class DiskGroups(Generic[Row]):
    """The rows of a table by entity id and sub id, which entity ids do not contain a NUL for."""

    def __init__(self, rows: DiskRows[Row]) -> None:
        self._rows = rows

    @property
    def committed(self) -> DiskGroups[Row]:
        return self

    def get(self, entity: str, /) -> DiskGroup[Row]:
        return DiskGroup(self._rows, entity)

    def page(self, entity: str, after: str, limit: int) -> list[tuple[str, Row]]:
        return list(islice(self._rows.scan(f"{entity}{SEPARATOR}", after), limit))

    def put_many(self, changes: Mapping[str, Mapping[str, Row | None]]) -> None:
        self._rows.put_many(
            {
                f"{entity}{SEPARATOR}{sub}": row
                for entity, group in changes.items()
                for sub, row in group.items()
            }
        )

    def restore(self, changes: Mapping[str, bytes | None]) -> None:
        self._rows.restore(changes)

    def count(self) -> int:
        return self._rows.count()


class DiskStore:
    """The rows of `topic`/`partition` of the Kafka cluster `log_id`, in a directory of their own.

    Raises:
        LocalStateError: another process has the directory open, or it cannot be written.
    """

    def __init__(self, directory: Path, log_id: str, topic: str, partition: int) -> None:
        self.pending: dict[bytes, bytes | None] = {}
        self.snapshot: Snapshot | None = None
        self._directory = directory
        self._log_id = log_id
        self._topic = topic
        self._partition = partition
        self._tables: dict[str, DiskRows[Any]] = {}
        self._counts: dict[str, int] = {}
        try:
            self.database = Database(directory)
        except LocalStateDamagedError as error:
            self.database = self._anew(str(error))
        else:
            why = self._load()
            if why is not None:
                self.discard(why)

    def rows(self, name: str, decode: Decode[Row]) -> Rows[Row]:
        return self._table(name, decode)

    def groups(self, name: str, decode: Decode[Row]) -> Groups[Row]:
        return DiskGroups(self._table(name, decode))

    def commit(self, snapshot: Snapshot) -> None:
        label = _Label(
            FORMAT,
            self._log_id,
            self._topic,
            self._partition,
            snapshot,
            {name: table.count() for name, table in self._tables.items()},
        )
        self.pending[_SNAPSHOT_KEY] = _encode(label)
        self.database.write(self.pending)
        self.pending.clear()
        self.snapshot = snapshot

    def discard(self, why: str) -> None:
        with contextlib.suppress(LocalStateError):
            self.database.close()
        self.database = self._anew(why)
        self.snapshot = None
        self.pending.clear()
        for table in self._tables.values():
            table.clear()

    def close(self) -> None:
        self.database.close()

    def _anew(self, why: str) -> Database:
        log.warning("local state discarded", topic=self._topic, partition=self._partition, why=why)
        shutil.rmtree(self._directory)
        return Database(self._directory)

    def _table(self, name: str, decode: Decode[Row]) -> DiskRows[Row]:
        table = DiskRows(self, name, decode, self._counts.get(name, 0))
        self._tables[name] = table
        return table

    def _load(self) -> str | None:
        """Take up the snapshot that is there; why it cannot be gone on with."""
        try:
            value = self.database.get(_SNAPSHOT_KEY)
        except LocalStateDamagedError as error:
            return str(error)
        if value is None:
            return None if self.database.is_new else "it has no snapshot"
        try:
            found = msgspec.msgpack.decode(value, type=_FormatOnly).format
            if found != FORMAT:
                return f"it is of format {found}, this is {FORMAT}"
            label = msgspec.msgpack.decode(value, type=_Label)
        except msgspec.DecodeError as error:
            return f"its snapshot reads as: {error}"
        if label.log_id != self._log_id:
            return f"it is of another Kafka (cluster {label.log_id}, this is {self._log_id})"
        if (label.topic, label.partition) != (self._topic, self._partition):
            return f"it is of {label.topic}/{label.partition}"
        why = outlived(label.snapshot)
        if why is not None:
            return why
        self.snapshot = label.snapshot
        self._counts = label.counts
        return None


class DiskStores:
    """Opens the rows of partitions in `directory`/<topic>/<partition>; `directory`-2 and so on
    are those of other processes that run beside this one."""

    def __init__(self, directory: Path, brokers: str) -> None:
        self._directory = directory
        self._brokers = brokers
        self._lock = threading.Lock()
        self._log_id: str | None = None
        self._claim: Claim | None = None

    def __call__(self, topic: str, partition: int) -> RowStore:
        with self._lock:
            if self._log_id is None:
                self._log_id = log_id_of(self._brokers)
            if self._claim is None:
                self._claim = Claim(self._directory)
        directory = self._claim.path / str(topic) / str(partition)
        return DiskStore(directory, self._log_id, str(topic), partition)
