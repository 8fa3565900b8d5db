"""Timelines in Cassandra: rows read, and corrected so that the log's later writes win."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from cassandra.cluster import Session
from cassandra.query import BoundStatement, SimpleStatement

from connectors.cassandra_rows import read_rows, write_rows
from connectors.cassandra_tables import TIMELINE_TTL_SECONDS, month_of, months_back
from connectors.log_id import ForeignStoreError
from headrace.rebuild.compare import Row
from headrace.rebuild.log import Placed
from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import RemoveSource
from streams.archive_sink import (
    DELETE_ENTRY,
    INSERT_ENTRY,
    SELECT_ENTRIES,
    TIMELINE_DAYS,
    timestamp_of,
    timestamp_of_position,
)
from streams.engine.outbox import MAX_OPERATIONS_PER_RECORD

CORRECTIONS = f"{Topic.TIMELINE_WRITES}.corrections"
"""Under this name stands, beside the positions, the write time of the last correction."""

_SELECT_POSITION = "SELECT log_id, position FROM positions WHERE topic = ? AND partition = ?"
_SET_POSITION = (
    "INSERT INTO positions (topic, partition, log_id, position) VALUES (?, ?, ?, ?) "
    "USING TIMESTAMP ?"
)
_SCAN_TIMEOUT_S = 120.0
_PAGE_ROWS = 5_000


class CorrectionError(Exception):
    """There is no write time between what the log has written and what it will write."""

    def __init__(self) -> None:
        super().__init__(
            "Cassandra was corrected at a later place of the log than where it stands: it lost "
            "writes since, or was corrected thousands of times at one place.\n"
            "Hint: run this again when its sink has written more"
        )


class TimelineRows:
    """The rows of one partition's owners."""

    def __init__(self, session: Session, log_id: str, partition: int) -> None:
        self._session = session
        self._log_id = log_id
        self.partition = partition
        self._select = session.prepare(SELECT_ENTRIES)
        self._insert = session.prepare(INSERT_ENTRY)
        self._delete = session.prepare(DELETE_ENTRY)
        self._select_position = session.prepare(_SELECT_POSITION)
        self._set_position = session.prepare(_SET_POSITION)

    def position(self, topic: str = Topic.TIMELINE_WRITES) -> int | None:
        """The offset that the sink's next write of a topic has; None when nothing was written.

        Raises:
            ForeignStoreError: the rows are of another Kafka's logs.
        """
        key = (str(topic), self.partition)
        found = self._session.execute(self._select_position, key).one()
        if found is None:
            return None
        if found.log_id != self._log_id:
            raise ForeignStoreError("Cassandra", found.log_id, self._log_id)
        return int(found.position)

    def read(self, buckets: Mapping[str, Iterable[int]]) -> dict[str, set[Row]]:
        """Owner to the rows in the buckets named; O(rows)."""
        keys = [(owner, bucket) for owner, months in buckets.items() for bucket in months]
        found: dict[str, set[Row]] = {owner: set() for owner in buckets}
        for (owner, _), rows in read_rows(self._session, self._select, keys):
            found[owner].update((row.post_id, row.reason, row.at) for row in rows)
        return found

    def time_of_correction(self, position: int) -> int:
        """A write time of its own: later than all that the log has below a position, and than every
        correction before, earlier than what it has from there on. Operations leave room for 6,384
        of them in each record.

        Raises:
            CorrectionError: there is none.
        """
        last = self.position(CORRECTIONS)
        timestamp = timestamp_of(position - 1, MAX_OPERATIONS_PER_RECORD)
        if last is not None:
            timestamp = max(timestamp, last + 1)
        if timestamp >= timestamp_of(position, 0):
            raise CorrectionError
        self._session.execute(
            self._set_position,
            (
                CORRECTIONS,
                self.partition,
                self._log_id,
                timestamp,
                timestamp_of_position(timestamp),
            ),
        )
        return timestamp

    def correct(
        self,
        given: Iterable[tuple[str, Row]],
        taken: Iterable[tuple[str, Row]],
        timestamp: int,
        now_ms: int,
    ) -> None:
        """Give rows to owners and take rows from them, at a write time."""
        written = [self._deleted(owner, row, timestamp) for owner, row in taken]
        for owner, (post_id, reason, at) in given:
            ttl = TIMELINE_TTL_SECONDS - max(0, (now_ms - at) // 1000)
            if ttl > 0:
                values = (owner, month_of(at), at, post_id, reason, timestamp, ttl)
                written.append(self._insert.bind(values))
        write_rows(self._session, written)

    def take_at(self, removals: Iterable[tuple[str, Row, int]]) -> None:
        """Take rows from owners, each at its own write time."""
        write_rows(
            self._session, [self._deleted(owner, row, when) for owner, row, when in removals]
        )

    def _deleted(self, owner: str, row: Row, timestamp: int) -> BoundStatement:
        post_id, reason, at = row
        return self._delete.bind((timestamp, owner, month_of(at), at, post_id, reason))


def buckets_of(rows: Iterable[Row], known: Iterable[int], now_ms: int) -> set[int]:
    """Where rows of a timeline may be: the last 30 days, the months of `rows`, and those known."""
    return {*months_back(now_ms, TIMELINE_DAYS), *(month_of(row[2]) for row in rows), *known}


def missed_removals(
    given: Collection[tuple[str, Row]], written_since: Iterable[Placed]
) -> Iterator[tuple[str, Row, int]]:
    """What the sink may have missed when it removed whole sources, as it deletes the rows that it
    finds: rows that were given since it looked, with the write time of the removal."""
    by_owner: dict[str, list[Row]] = {}
    for owner, row in given:
        by_owner.setdefault(owner, []).append(row)
    for placed in written_since:
        for index, operation in enumerate(placed.operations):
            if isinstance(operation, RemoveSource):
                for row in by_owner.get(operation.owner, ()):
                    if row[1] in operation.reasons:
                        yield operation.owner, row, timestamp_of(placed.offset, index)


def scan_buckets(
    session: Session, partitions: int, wanted: Collection[int]
) -> dict[int, dict[str, set[int]]]:
    """The owners that have rows, with the buckets, by partition; one pass over the table's keys."""
    found: dict[int, dict[str, set[int]]] = {partition: {} for partition in wanted}
    statement = SimpleStatement(
        "SELECT DISTINCT owner, bucket FROM timeline", fetch_size=_PAGE_ROWS
    )
    rows: Sequence[Any] = session.execute(statement, timeout=_SCAN_TIMEOUT_S)
    for row in rows:
        owners = found.get(partition_of(row.owner, partitions))
        if owners is not None:
            owners.setdefault(row.owner, set()).add(row.bucket)
    return found
