"""The state of one partition of a stage: tables of rows, and what a batch changed in them.

A batch reads through its own changes to the committed rows and writes only into its changes.
`changes` lists them for the changelog; `commit` makes them the state; `rollback` forgets them.
Rows are immutable values (frozen msgspec Structs): a change puts a new row. The committed rows
are in a `RowStore`, in memory or on disk; tables read them alike.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from schemas.formats import FORMAT
from streams.engine.owners import Owner, of_entity
from streams.engine.rows import SEPARATOR, MemoryStore, RowStore, Snapshot

_encode = msgspec.msgpack.Encoder().encode

Change = tuple[bytes, bytes | None]
Row = TypeVar("Row")


class Table(Generic[Row]):
    """Rows by entity id. All operations are O(1)."""

    def __init__(self, name: str, row: type[Row], store: RowStore, owner: Owner) -> None:
        self.name = name
        self.row = row
        self.owner = owner
        self._decode: Callable[[bytes], Row] = msgspec.msgpack.Decoder(row).decode
        self._rows = store.rows(name, self._decode)
        self._committed = self._rows.committed
        self._changed: dict[str, Row | None] = {}

    def get(self, entity: str) -> Row | None:
        """The row as this batch sees it, or None."""
        if entity in self._changed:
            return self._changed[entity]
        return self._committed.get(entity)

    def put(self, entity: str, row: Row) -> None:
        """Set a row."""
        self._changed[entity] = row

    def delete(self, entity: str) -> None:
        """Remove a row; harmless when there is none."""
        self._changed[entity] = None

    def changed(self) -> Iterator[tuple[str, Row]]:
        """(entity id, row) of what this batch put and did not remove again."""
        return ((entity, row) for entity, row in self._changed.items() if row is not None)

    def changes(self) -> Iterator[Change]:
        """Changelog records of what this batch changed; a None value is a removal."""
        for entity, row in self._changed.items():
            key = f"{self.name}{SEPARATOR}{entity}".encode()
            yield key, None if row is None else _encode(row)

    def commit(self) -> None:
        """Make the changes the state."""
        self._rows.put_many(self._changed)
        self._changed.clear()

    def rollback(self) -> None:
        """Forget the changes."""
        self._changed.clear()

    def restore(self, changes: Mapping[str, bytes | None]) -> None:
        """Apply changelog records; their keys are without the table's name."""
        self._rows.restore(changes)

    def count(self) -> int:
        """How many rows are committed."""
        return self._rows.count()


class GroupTable(Generic[Row]):
    """Rows by (entity id, sub id); the rows of one entity can be scanned.

    Get, put and delete are O(1), a scan is O(rows of the entity).
    """

    def __init__(self, name: str, row: type[Row], store: RowStore, owner: Owner) -> None:
        self.name = name
        self.row = row
        self.owner = owner
        self._decode: Callable[[bytes], Row] = msgspec.msgpack.Decoder(row).decode
        self._groups = store.groups(name, self._decode)
        self._committed = self._groups.committed
        self._changed: dict[str, dict[str, Row | None]] = {}

    def get(self, entity: str, sub: str) -> Row | None:
        """The row as this batch sees it, or None."""
        changed = self._changed.get(entity)
        if changed is not None and sub in changed:
            return changed[sub]
        group = self._committed.get(entity)
        return None if group is None else group.get(sub)

    def put(self, entity: str, sub: str, row: Row) -> None:
        """Set a row."""
        self._changed.setdefault(entity, {})[sub] = row

    def delete(self, entity: str, sub: str) -> None:
        """Remove a row; harmless when there is none."""
        self._changed.setdefault(entity, {})[sub] = None

    def scan(self, entity: str) -> Iterator[tuple[str, Row]]:
        """(sub id, row) of every row of an entity, as this batch sees them, in no set order."""
        group = self._committed.get(entity)
        changed = self._changed.get(entity)
        if not changed:
            if group is not None:
                yield from group.items()
            return
        if group is not None:
            for sub, row in group.items():
                if sub not in changed:
                    yield sub, row
        for sub, new in changed.items():
            if new is not None:
                yield sub, new

    def page(self, entity: str, after: str, limit: int) -> list[tuple[str, Row]]:
        """(sub id, row) of the first `limit` rows of an entity behind a sub id, in the order of
        sub ids; of all of them for no sub id. In memory, the first page after a change sorts them.
        """
        changed = self._changed.get(entity, {})
        page = self._groups.page(entity, after, limit + len(changed))
        if not changed:
            return page
        rows = dict(page)
        last = page[-1][0] if len(page) == limit + len(changed) else None
        for sub, row in changed.items():
            if row is None:
                rows.pop(sub, None)
            elif (not after or sub > after) and (last is None or sub <= last):
                rows[sub] = row
        return sorted(rows.items())[:limit]

    def changes(self) -> Iterator[Change]:
        """Changelog records of what this batch changed; a None value is a removal."""
        for entity, group in self._changed.items():
            for sub, row in group.items():
                key = f"{self.name}{SEPARATOR}{entity}{SEPARATOR}{sub}".encode()
                yield key, None if row is None else _encode(row)

    def commit(self) -> None:
        """Make the changes the state."""
        self._groups.put_many(self._changed)
        self._changed.clear()

    def rollback(self) -> None:
        """Forget the changes."""
        self._changed.clear()

    def restore(self, changes: Mapping[str, bytes | None]) -> None:
        """Apply changelog records; their keys are without the table's name."""
        self._groups.restore(changes)

    def count(self) -> int:
        """How many rows are committed."""
        return self._groups.count()


class StateFormatError(Exception):
    """The changelog holds rows that this version cannot read."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"the state is of another version of Headrace ({found}; this one reads format "
            f"{FORMAT}): use another Kafka or HEADRACE_DATA_DIR, or start with empty data "
            "(headrace stack up --fresh)"
        )


class State:
    """The tables of one partition of a stage, and the source position they stand at."""

    POSITION_KEY = b"\0position"

    def __init__(self, store: RowStore | None = None) -> None:
        self._store: RowStore = MemoryStore() if store is None else store
        self._tables: dict[str, Table[Any] | GroupTable[Any]] = {}
        self.snapshot = self._store.snapshot

    @property
    def position(self) -> int | None:
        """The source offset behind what was folded in; None when nothing was."""
        return None if self.snapshot is None else self.snapshot.position

    def table(self, name: str, row: type[Row], owner: Owner = of_entity) -> Table[Row]:
        """Declare a table of rows by entity id, each its `owner`'s."""
        table = Table(name, row, self._store, owner)
        self._tables[name] = table
        return table

    def group_table(self, name: str, row: type[Row], owner: Owner = of_entity) -> GroupTable[Row]:
        """Declare a table of rows by (entity id, sub id), each its `owner`'s."""
        table = GroupTable(name, row, self._store, owner)
        self._tables[name] = table
        return table

    def changes(self) -> Iterator[Change]:
        """Changelog records of what this batch changed."""
        for table in self._tables.values():
            yield from table.changes()

    @classmethod
    def position_change(cls, position: int) -> tuple[bytes, bytes]:
        """The changelog record of a position: 2 bytes of format, 8 of offset."""
        return cls.POSITION_KEY, FORMAT.to_bytes(2, "big") + position.to_bytes(8, "big")

    def commit(self, position: int, changelog_offset: int) -> None:
        """The changes are durable below `changelog_offset`: make them the state at `position`."""
        for table in self._tables.values():
            table.commit()
        self._stand_at(Snapshot(position, changelog_offset, _now()))

    def rollback(self) -> None:
        """Forget what this batch changed."""
        for table in self._tables.values():
            table.rollback()

    def restore(
        self, changes: Mapping[bytes, bytes | None], changelog_offset: int, at: int
    ) -> None:
        """Apply changelog records, the last of each key, which end below `changelog_offset`.

        `at` (ms) is a time at which the changelog had nothing beyond what is now the state, or
        at which reading it from its beginning began.

        Raises:
            StateFormatError: another version of Headrace wrote it.
        """
        position = self.position
        by_table: dict[str, dict[str, bytes | None]] = {name: {} for name in self._tables}
        for key, value in changes.items():
            name, _, rest = key.decode().partition(SEPARATOR)
            try:
                by_table[name][rest] = value
            except KeyError:
                if key != self.POSITION_KEY:
                    raise StateFormatError(f"it has a table {name!r}") from None
                position = position_in(value)
        for name, rows in by_table.items():
            try:
                self._tables[name].restore(rows)
            except msgspec.DecodeError as error:
                raise StateFormatError(f"a row of {name!r} reads as: {error}") from error
        self._stand_at(Snapshot(position, changelog_offset, at))

    def discard(self, why: str) -> None:
        """Forget everything that is committed."""
        self._store.discard(why)
        self.snapshot = None

    def close(self) -> None:
        """Let go of the rows."""
        self._store.close()

    def owners(self) -> dict[str, Owner]:
        """Whose the rows of each table are."""
        return {name: table.owner for name, table in self._tables.items()}

    def sizes(self) -> dict[str, int]:
        """Rows per table. O(entities) in memory, O(1) on disk; for the monitor."""
        return {name: table.count() for name, table in self._tables.items()}

    def described(self) -> dict[str, str]:
        """What a row of each table is."""
        return {
            name: " ".join((inspect.getdoc(table.row) or "").partition("\n\n")[0].split())
            for name, table in self._tables.items()
        }

    def _stand_at(self, snapshot: Snapshot) -> None:
        self._store.commit(snapshot)
        self.snapshot = snapshot


def position_in(value: bytes | None) -> int:
    """The offset in the changelog record of a position.

    Raises:
        StateFormatError: another version of Headrace wrote it.
    """
    found = int.from_bytes((value or b"")[:-8], "big")
    if value is None or found != FORMAT:
        raise StateFormatError(f"format {found or 1}")
    return int.from_bytes(value[-8:], "big")


def _now() -> int:
    return time.time_ns() // 1_000_000
