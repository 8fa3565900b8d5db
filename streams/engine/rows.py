"""The committed rows of one partition: one interface, kept in memory or on disk.

A state reads the rows of its tables through `committed`, which in memory is a plain dict, and
writes them in batches: `put_many` for each table, then `RowStore.commit` with the snapshot that
the rows stand at.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

from schemas.topics import DAY_MS, DELETE_RETENTION_MS

Row = TypeVar("Row")
Found = TypeVar("Found", covariant=True)
Decode = Callable[[bytes], Row]

SEPARATOR = "\0"

MAX_AWAY_MS = DELETE_RETENTION_MS - DAY_MS
"""Older rows are not gone on with: the changelog may have lost deletions of them since. A day is
left for clocks that differ and for the restore."""


class Snapshot(Struct, frozen=True, array_like=True):
    """Where rows stand.

    `position` is the source offset behind what was folded into them, `changelog_offset` the
    offset in the changelog behind the records that say so. `at` (ms) is a time at which the
    changelog had nothing beyond the rows.
    """

    position: int | None
    changelog_offset: int
    at: int


def outlived(snapshot: Snapshot) -> str | None:
    """Why rows that stand there cannot be gone on with, None when they can."""
    away = time.time_ns() // 1_000_000 - snapshot.at
    if abs(away) <= MAX_AWAY_MS:
        return None
    return f"it is {away // DAY_MS} days old, and deletions may be gone from the changelog"


class Lookup(Protocol[Found]):
    """What is read by id, as a dict is."""

    def get(self, key: str, /) -> Found | None:
        """What has the id, or None."""


class Group(Lookup[Found], Protocol[Found]):
    """The committed rows of one entity, by sub id."""

    def items(self) -> Iterable[tuple[str, Found]]:
        """(sub id, row) of every row; O(rows of the entity)."""


class Rows(Protocol[Row]):
    """The committed rows of a table, by entity id."""

    @property
    def committed(self) -> Lookup[Row]:
        """The rows, to be read."""

    def put_many(self, changes: Mapping[str, Row | None]) -> None:
        """Set rows; None removes."""

    def restore(self, changes: Mapping[str, bytes | None]) -> None:
        """Set rows from what the changelog has of them.

        Raises:
            msgspec.DecodeError: it is no row.
        """

    def count(self) -> int:
        """How many there are."""


class Groups(Protocol[Row]):
    """The committed rows of a table, by entity id and sub id."""

    @property
    def committed(self) -> Lookup[Group[Row]]:
        """The groups, to be read; an entity without rows has none, or an empty one."""

    def page(self, entity: str, after: str, limit: int) -> list[tuple[str, Row]]:
        """(sub id, row) of the first `limit` rows of an entity behind a sub id, in the order of
        sub ids; of all of them for no sub id."""

    def put_many(self, changes: Mapping[str, Mapping[str, Row | None]]) -> None:
        """Set rows; None removes."""

    def restore(self, changes: Mapping[str, bytes | None]) -> None:
        """Set rows, by `entity NUL sub`, from what the changelog has of them.

        Raises:
            msgspec.DecodeError: it is no row.
        """

    def count(self) -> int:
        """How many there are, in all groups."""


class RowStore(Protocol):
    """The tables of one partition, and where they stand."""

    @property
    def snapshot(self) -> Snapshot | None:
        """Where the rows stood when the store was opened; None: they are to be restored anew."""

    def rows(self, name: str, decode: Decode[Row]) -> Rows[Row]:
        """The rows of a table."""

    def groups(self, name: str, decode: Decode[Row]) -> Groups[Row]:
        """The rows of a table of groups."""

    def commit(self, snapshot: Snapshot) -> None:
        """Everything put since the last commit stands at `snapshot`: all of it lasts, or none."""

    def discard(self, why: str) -> None:
        """Forget everything."""

    def close(self) -> None:
        """Let go of what is open."""


OpenRows = Callable[[str, int], RowStore]
"""Opens the rows of a topic's partition."""


class MemoryRows(Generic[Row]):
    """Rows in a dict; they are gone with the process."""

    def __init__(self, decode: Decode[Row]) -> None:
        self.committed: dict[str, Row] = {}
        self._decode = decode

    def put_many(self, changes: Mapping[str, Row | None]) -> None:
        rows = self.committed
        for entity, row in changes.items():
            if row is None:
                rows.pop(entity, None)
            else:
                rows[entity] = row

    def restore(self, changes: Mapping[str, bytes | None]) -> None:
        rows, decode = self.committed, self._decode
        for entity, value in changes.items():
            if value is None:
                rows.pop(entity, None)
            else:
                rows[entity] = decode(value)

    def count(self) -> int:
        return len(self.committed)

    def clear(self) -> None:
        """Forget all rows."""
        self.committed.clear()


class MemoryGroups(Generic[Row]):
    """Rows in a dict of dicts; no entity has an empty one."""

    def __init__(self, decode: Decode[Row]) -> None:
        self.committed: dict[str, dict[str, Row]] = {}
        self._decode = decode
        self._sorted: dict[str, list[str]] = {}

    def page(self, entity: str, after: str, limit: int) -> list[tuple[str, Row]]:
        """The sub ids are sorted once for all pages of an entity, until a row of it changes or its
        last page is read."""
        group = self.committed.get(entity, {})
        subs = self._sorted.get(entity)
        if subs is None:
            subs = self._sorted[entity] = sorted(group)
        start = bisect_right(subs, after) if after else 0
        if start + limit >= len(subs):
            del self._sorted[entity]
        return [(sub, group[sub]) for sub in subs[start : start + limit]]

    def put_many(self, changes: Mapping[str, Mapping[str, Row | None]]) -> None:
        groups = self.committed
        for entity, changed in changes.items():
            if self._sorted:
                self._sorted.pop(entity, None)
            group = groups.setdefault(entity, {})
            for sub, row in changed.items():
                if row is None:
                    group.pop(sub, None)
                else:
                    group[sub] = row
            if not group:
                del groups[entity]

    def restore(self, changes: Mapping[str, bytes | None]) -> None:
        self._sorted.clear()
        groups, decode = self.committed, self._decode
        for key, value in changes.items():
            entity, _, sub = key.partition(SEPARATOR)
            group = groups.get(entity)
            if value is not None:
                if group is None:
                    group = groups[entity] = {}
                group[sub] = decode(value)
            elif group is not None:
                group.pop(sub, None)
                if not group:
                    del groups[entity]

    def count(self) -> int:
        return sum(map(len, self.committed.values()))

    def clear(self) -> None:
        """Forget all rows."""
        self.committed.clear()
        self._sorted.clear()


class MemoryStore:
    """Rows in memory: every start restores them from the beginning of the changelog."""

    snapshot = None

    def __init__(self) -> None:
        self._tables: list[MemoryRows[Any] | MemoryGroups[Any]] = []

    def rows(self, _name: str, decode: Decode[Row]) -> Rows[Row]:
        rows = MemoryRows(decode)
        self._tables.append(rows)
        return rows

    def groups(self, _name: str, decode: Decode[Row]) -> Groups[Row]:
        groups = MemoryGroups(decode)
        self._tables.append(groups)
        return groups

    def commit(self, _snapshot: Snapshot) -> None:
        """Nothing to do: what was put is there."""

    def discard(self, _why: str) -> None:
        for table in self._tables:
            table.clear()

    def close(self) -> None:
        """Nothing is open."""


def in_memory(_topic: str, _partition: int) -> RowStore:
    """The rows of a partition in memory."""
    return MemoryStore()
