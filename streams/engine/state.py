"""The state of one partition of a stage: tables of rows, and what a batch changed in them.

A batch reads through its own changes to the committed rows and writes only into its changes.
`changes` lists them for the changelog; `commit` makes them the state; `rollback` forgets them.
Rows are immutable values (frozen msgspec Structs): a change puts a new row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from schemas.formats import FORMAT

_SEPARATOR = "\0"
_encode = msgspec.msgpack.Encoder().encode

Change = tuple[bytes, bytes | None]
Row = TypeVar("Row")


class Table(Generic[Row]):
    """Rows by entity id. All operations are O(1)."""

    def __init__(self, name: str, row: type[Row]) -> None:
        self.name = name
        self._decode: Callable[[bytes], Row] = msgspec.msgpack.Decoder(row).decode
        self._rows: dict[str, Row] = {}
        self._changed: dict[str, Row | None] = {}

    def get(self, entity: str) -> Row | None:
        """The row as this batch sees it, or None."""
        if entity in self._changed:
            return self._changed[entity]
        return self._rows.get(entity)

    def put(self, entity: str, row: Row) -> None:
        """Set a row."""
        self._changed[entity] = row

    def delete(self, entity: str) -> None:
        """Remove a row; harmless when there is none."""
        self._changed[entity] = None

    def changes(self) -> Iterator[Change]:
        """Changelog records of what this batch changed; a None value is a removal."""
        for entity, row in self._changed.items():
            key = f"{self.name}{_SEPARATOR}{entity}".encode()
            yield key, None if row is None else _encode(row)

    def commit(self) -> None:
        """Make the changes the state."""
        for entity, row in self._changed.items():
            if row is None:
                self._rows.pop(entity, None)
            else:
                self._rows[entity] = row
        self._changed.clear()

    def rollback(self) -> None:
        """Forget the changes."""
        self._changed.clear()

    def restore(self, key: str, value: bytes | None) -> None:
        """Apply a changelog record; `key` is without the table's name."""
        if value is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = self._decode(value)

    def __len__(self) -> int:
        return len(self._rows)


class GroupTable(Generic[Row]):
    """Rows by (entity id, sub id); the rows of one entity can be scanned.

    Get, put and delete are O(1), a scan is O(rows of the entity).
    """

    def __init__(self, name: str, row: type[Row]) -> None:
        self.name = name
        self._decode: Callable[[bytes], Row] = msgspec.msgpack.Decoder(row).decode
        self._groups: dict[str, dict[str, Row]] = {}
        self._changed: dict[str, dict[str, Row | None]] = {}

    def get(self, entity: str, sub: str) -> Row | None:
        """The row as this batch sees it, or None."""
        changed = self._changed.get(entity)
        if changed is not None and sub in changed:
            return changed[sub]
        group = self._groups.get(entity)
        return None if group is None else group.get(sub)

    def put(self, entity: str, sub: str, row: Row) -> None:
        """Set a row."""
        self._changed.setdefault(entity, {})[sub] = row

    def delete(self, entity: str, sub: str) -> None:
        """Remove a row; harmless when there is none."""
        self._changed.setdefault(entity, {})[sub] = None

    def scan(self, entity: str) -> Iterator[tuple[str, Row]]:
        """(sub id, row) of every row of an entity, as this batch sees them."""
        group = self._groups.get(entity, {})
        changed = self._changed.get(entity)
        if not changed:
            yield from group.items()
            return
        for sub, row in group.items():
            if sub not in changed:
                yield sub, row
        for sub, new in changed.items():
            if new is not None:
                yield sub, new

    def changes(self) -> Iterator[Change]:
        """Changelog records of what this batch changed; a None value is a removal."""
        for entity, group in self._changed.items():
            for sub, row in group.items():
                key = f"{self.name}{_SEPARATOR}{entity}{_SEPARATOR}{sub}".encode()
                yield key, None if row is None else _encode(row)

    def commit(self) -> None:
        """Make the changes the state."""
        for entity, changed in self._changed.items():
            group = self._groups.setdefault(entity, {})
            for sub, row in changed.items():
                if row is None:
                    group.pop(sub, None)
                else:
                    group[sub] = row
            if not group:
                del self._groups[entity]
        self._changed.clear()

    def rollback(self) -> None:
        """Forget the changes."""
        self._changed.clear()

    def restore(self, key: str, value: bytes | None) -> None:
        """Apply a changelog record; `key` is without the table's name."""
        entity, _, sub = key.partition(_SEPARATOR)
        if value is None:
            group = self._groups.get(entity, {})
            group.pop(sub, None)
            if not group:
                self._groups.pop(entity, None)
        else:
            self._groups.setdefault(entity, {})[sub] = self._decode(value)

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))


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

    def __init__(self) -> None:
        self._tables: dict[str, Table[Any] | GroupTable[Any]] = {}
        self.position: int | None = None

    def table(self, name: str, row: type[Row]) -> Table[Row]:
        """Declare a table of rows by entity id."""
        table = Table(name, row)
        self._tables[name] = table
        return table

    def group_table(self, name: str, row: type[Row]) -> GroupTable[Row]:
        """Declare a table of rows by (entity id, sub id)."""
        table = GroupTable(name, row)
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

    def commit(self, position: int) -> None:
        """The changes are durable in the changelog: make them the state at `position`."""
        for table in self._tables.values():
            table.commit()
        self.position = position

    def rollback(self) -> None:
        """Forget what this batch changed."""
        for table in self._tables.values():
            table.rollback()

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog record.

        Raises:
            StateFormatError: another version of Headrace wrote it.
        """
        if key == self.POSITION_KEY:
            assert value is not None
            self._restore_position(value)
            return
        name, _, rest = key.decode().partition(_SEPARATOR)
        table = self._tables.get(name)
        if table is None:
            raise StateFormatError(f"it has a table {name!r}")
        try:
            table.restore(rest, value)
        except msgspec.DecodeError as error:
            raise StateFormatError(f"a row of {name!r} reads as: {error}") from error

    def _restore_position(self, value: bytes) -> None:
        found = int.from_bytes(value[:-8], "big")
        if found != FORMAT:
            raise StateFormatError(f"format {found or 1}")
        self.position = int.from_bytes(value[-8:], "big")

    def sizes(self) -> dict[str, int]:
        """Rows per table. O(entities); for the monitor."""
        return {name: len(table) for name, table in self._tables.items()}
