"""The Cassandra sink: the views that outlive Redis, and timelines of the last 30 days."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from cassandra.cluster import Session
from cassandra.query import BoundStatement, PreparedStatement

from connectors.cassandra_rows import each_with, read_rows, write_rows
from connectors.cassandra_tables import TIMELINE_TTL_SECONDS, month_of, months_back
from connectors.failpoints import reach
from connectors.log_id import ForeignStoreError
from schemas.generation import GENERATION, name_in
from schemas.topics import Topic
from schemas.views import (
    FillTimeline,
    PushEntry,
    RefillTimeline,
    RemoveEntry,
    RemoveSource,
)
from streams.archive_reactions import SELECT_REACTION, Reactions
from streams.archive_rows import ROWS_OF, Drop, Row, Upsert
from streams.engine.sink import Write

LAYOUTS = {Topic.VIEW_RELATIONS: 2}
"""Raised from 1 when the rows of a topic come to further tables. Positions of another layout are
not those of this one: the topic is read from its beginning, and its rows are written again."""
TIMELINE_DAYS = TIMELINE_TTL_SECONDS // 86_400

INSERT_ENTRY = (
    "INSERT INTO timeline (owner, bucket, at, post_id, reason) VALUES (?, ?, ?, ?, ?) "
    "USING TIMESTAMP ? AND TTL ?"
)
DELETE_ENTRY = (
    "DELETE FROM timeline USING TIMESTAMP ? "
    "WHERE owner = ? AND bucket = ? AND at = ? AND post_id = ? AND reason = ?"
)
INSERT_OWNER, DELETE_OWNER = 0, 1  # the owner's place among the values
MOVE = (
    "INSERT INTO positions (topic, partition, log_id, position) VALUES (?, ?, ?, ?) "
    "USING TIMESTAMP ?"
)
SELECT_ENTRIES = "SELECT at, post_id, reason FROM timeline WHERE owner = ? AND bucket = ?"


Removals = defaultdict[str, dict[str, int]]
"""The reasons that go from an owner's timeline, each with the write time of that."""


def timestamp_of(offset: int, index: int) -> int:
    """The write time of a row: the order of the log, so that a repeated write changes nothing.

    `index` is the operation's place in its record, below 2**14.
    """
    return GENERATION * 2**50 + offset * 2**14 + index


def timestamp_of_position(position: int) -> int:
    """The write time of a position: a writer that was taken over cannot set it back.

    Beyond any server's time in us until the year 2112, as a position without one may be there.
    """
    return GENERATION * 2**52 + position


def timestamp_of_copied_position(generation: int, now_ms: int) -> int:
    """The write time of a position that a migration copies into a new generation: the next one may
    be lower, and what the sink writes is later than all of these."""
    return generation * 2**52 - 2**51 + now_ms


def position_name(topic: Topic, generation: int = GENERATION) -> str:
    """The name under which positions of a topic are kept."""
    name, layout = name_in(generation, topic), LAYOUTS.get(topic, 1)
    return name if layout == 1 else f"{name}.{layout}"


class LostWritesError(Exception):
    """Cassandra does not stand where this sink left it: a server that was killed loses what it
    confirmed within its last commit log period."""

    def __init__(
        self, topic: str, partition: int, left: set[int | None], found: int | None
    ) -> None:
        super().__init__(
            f"Cassandra stands at {found} for {topic}/{partition}, and was left at "
            f"{' or '.join(map(str, left))}: it lost writes, or another worker writes; what is "
            "missing is written after a restart"
        )


class CassandraStore:
    """Writes views into Cassandra, each row with its place in the log as its write time."""

    def __init__(
        self, session: Session, log_id: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._session = session
        self._log_id = log_id
        self._clock = clock
        self._left: dict[tuple[Topic, int], set[int | None]] = {}
        self._prepared: dict[str, PreparedStatement] = {}

    def open(self, topic: Topic, partition: int) -> int | None:
        """The position kept beside the tables. Whoever wrote before may go on: its writes bear
        the times of the log, and change nothing.

        Raises:
            ForeignStoreError: the rows are of another Kafka's logs.
        """
        position = self._position(topic, partition)
        self._left[topic, partition] = {position}
        return position

    def check(self, topic: Topic, partition: int) -> None:
        """See whether the position is where it was left.

        Raises:
            LostWritesError: it is not.
        """
        found, left = self._position(topic, partition), self._left[topic, partition]
        if found not in left:
            raise LostWritesError(topic, partition, left, found)

    def fill(self, topic: Topic, partition: int) -> None:
        """Nobody asks whether Cassandra has all of a partition: it is where what is lost in Redis
        is looked for."""

    def write(self, topic: Topic, partition: int, writes: Sequence[Write], position: int) -> None:
        """Apply writes, then set the position.

        Raises:
            LostWritesError: the position is not where it was left.
        """
        self.check(topic, partition)
        if topic == Topic.TIMELINE_WRITES:
            self._timelines(writes)
        else:
            self._views(topic, writes)
        reach("mid-sink", f"{topic}/{partition}", len(writes))
        self._left[topic, partition].add(position)  # the answer may be lost
        self._session.execute(
            self._prepare(MOVE),
            (
                position_name(topic),
                partition,
                self._log_id,
                position,
                timestamp_of_position(position),
            ),
        )
        self._left[topic, partition] = {position}

    def _position(self, topic: Topic, partition: int) -> int | None:
        select = "SELECT log_id, position FROM positions WHERE topic = ? AND partition = ?"
        found = self._session.execute(
            self._prepare(select), (position_name(topic), partition)
        ).one()
        if found is None:
            return None
        if found.log_id != self._log_id:
            raise ForeignStoreError("Cassandra", found.log_id, self._log_id)
        return int(found.position)

    def _prepare(self, query: str) -> PreparedStatement:
        prepared = self._prepared.get(query)
        if prepared is None:
            prepared = self._prepared[query] = self._session.prepare(query)
        return prepared

    # Timelines

    def _timelines(self, writes: Sequence[Write]) -> None:
        """Entries first, then the removals of whole sources.

        A removal deletes what it reads of the owner's rows at its own place in the log; rows
        that later operations of the batch have written bear later write times and stay.
        """
        removals: Removals = defaultdict(dict)
        write_rows(self._session, self._entries(writes, removals))
        write_rows(self._session, self._of_reasons(removals))

    def _entries(self, writes: Sequence[Write], removals: Removals) -> Iterator[BoundStatement]:
        now_ms = int(self._clock() * 1000)
        for write in writes:
            for index, operation in enumerate(write.view or ()):
                timestamp = timestamp_of(write.offset, index)
                match operation:
                    case PushEntry(post_id, reason, at, owners):
                        for row in self._insert("", at, post_id, reason, timestamp, now_ms):
                            yield from each_with(row, INSERT_OWNER, owners)
                    case RemoveEntry(post_id, reason, at, owners):
                        row = self._delete("", at, post_id, reason, timestamp)
                        yield from each_with(row, DELETE_OWNER, owners)
                    case FillTimeline(owner, entries) | RefillTimeline(owner, _, _, entries):
                        for post_id, reason, at in entries:
                            yield from self._insert(owner, at, post_id, reason, timestamp, now_ms)
                    case RemoveSource(owner, reasons):
                        removals[owner].update(dict.fromkeys(reasons, timestamp))

    def _insert(
        self, owner: str, at: int, post_id: str, reason: str, timestamp: int, now_ms: int
    ) -> Iterator[BoundStatement]:
        ttl = TIMELINE_TTL_SECONDS - max(0, (now_ms - at) // 1000)
        if ttl > 0:
            values = (owner, month_of(at), at, post_id, reason, timestamp, ttl)
            yield self._prepare(INSERT_ENTRY).bind(values)

    def _delete(
        self, owner: str, at: int, post_id: str, reason: str, timestamp: int
    ) -> BoundStatement:
        values = (timestamp, owner, month_of(at), at, post_id, reason)
        return self._prepare(DELETE_ENTRY).bind(values)

    def _of_reasons(self, removals: Removals) -> Iterator[BoundStatement]:
        """Reads the rows of some owners at once, each owner's once."""
        months = months_back(int(self._clock() * 1000), TIMELINE_DAYS)
        keys = [(owner, bucket) for owner in removals for bucket in months]
        for (owner, _), rows in read_rows(self._session, self._prepare(SELECT_ENTRIES), keys):
            timestamps = removals[owner]
            for at, post_id, reason in rows:
                if reason in timestamps:
                    yield self._delete(owner, at, post_id, reason, timestamps[reason])

    # View topics: a row holds the whole value

    def _views(self, topic: Topic, writes: Sequence[Write]) -> None:
        newest = {write.key: write for write in writes if write.value is not None}
        rows_of = ROWS_OF[topic]
        rows = (self._bind(write, row) for write in newest.values() for row in rows_of(write.view))
        if topic != Topic.VIEW_MINE:
            write_rows(self._session, rows)
            return
        # In this order, so that wherever it ends, `mine` says which place there is to drop.
        listed = Reactions(self._session, self._prepare(SELECT_REACTION), newest, writes)
        write_rows(self._session, (self._bind(*each) for each in listed.former()))
        write_rows(self._session, rows)
        write_rows(self._session, (self._bind(*each) for each in listed.places()))

    def _bind(self, write: Write, row: Row) -> BoundStatement:
        timestamp = timestamp_of(write.offset, 0)
        match row:
            case Upsert(table, values):
                columns = ", ".join(values)
                marks = ", ".join("?" * len(values))
                query = f"INSERT INTO {table} ({columns}) VALUES ({marks}) USING TIMESTAMP ?"
                return self._prepare(query).bind((*values.values(), timestamp))
            case Drop(table, key):
                where = " AND ".join(f"{column} = ?" for column in key)
                query = f"DELETE FROM {table} USING TIMESTAMP ? WHERE {where}"
                return self._prepare(query).bind((timestamp, *key.values()))
