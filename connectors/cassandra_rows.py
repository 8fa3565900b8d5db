"""Rows into Cassandra, in unlogged batches, and out of it: several requests at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from cassandra import WriteTimeout
from cassandra.cluster import ResponseFuture, Session
from cassandra.protocol import OverloadedErrorMessage
from cassandra.query import (
    BatchStatement,
    BatchType,
    BoundStatement,
    PreparedStatement,
    Statement,
)

BATCH_ROWS = 100
BATCH_BYTES = 32 * 1024
CONCURRENCY = 8
OVERLOADED = (WriteTimeout, OverloadedErrorMessage)
_LENGTH_BYTES = 4  # before each value


class _Refused(NamedTuple):
    batch: BatchStatement
    error: Exception


def each_with(row: BoundStatement, index: int, values: Iterable[Any]) -> Iterator[BoundStatement]:
    """The same row with other values of one column; a sixth of the cost of binding each."""
    prepared = row.prepared_statement
    serialize = prepared.column_metadata[index].type.serialize
    for value in values:
        other = BoundStatement(prepared)
        other.values = row.values.copy()
        other.values[index] = serialize(value, prepared.protocol_version)
        yield other


def write_rows(session: Session, rows: Iterable[BoundStatement]) -> None:
    """Write all rows; what an overloaded server refuses is sent again as long as it takes half of
    it. So 10,000 rows end, one way or the other, within a minute. O(1) of them are in memory.

    Raises:
        Exception: the driver's; some rows may be written.
    """
    sent, refused = _send(session, _batches(rows))
    while refused:
        if 2 * len(refused) > sent:
            raise refused[-1].error
        sent, refused = _send(session, [each.batch for each in refused])


def read_rows(
    session: Session, select: PreparedStatement, keys: Iterable[tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    """Each key with the rows that it selects, in the order of the keys.

    Raises:
        Exception: the driver's; no more is asked for then.
    """
    for key, answer in _ask(session, ((key, select, key) for key in keys)):
        yield key, answer.result()


def _send(session: Session, batches: Iterable[BatchStatement]) -> tuple[int, list[_Refused]]:
    """Send each once; their number, and what was refused. Raises what is no refusal, and sends no
    more then."""
    count = 0
    refused: list[_Refused] = []
    for batch, answer in _ask(session, ((batch, batch, None) for batch in batches)):
        count += 1
        try:
            answer.result()
        except OVERLOADED as error:
            refused.append(_Refused(batch, error))
    return count, refused


def _ask(
    session: Session, requests: Iterable[tuple[Any, Statement, tuple[Any, ...] | None]]
) -> Iterator[tuple[Any, ResponseFuture]]:
    """The name of each request, with its answer to come; while the first is waited for, the next
    are under way."""
    under_way: deque[tuple[Any, ResponseFuture]] = deque()
    for name, statement, values in requests:
        if len(under_way) == CONCURRENCY:
            yield under_way.popleft()
        under_way.append((name, session.execute_async(statement, values)))
    yield from under_way


def _batches(rows: Iterable[BoundStatement]) -> Iterator[BatchStatement]:
    """Unlogged batches of at most 100 rows and 32 KiB."""
    batch = BatchStatement(batch_type=BatchType.UNLOGGED)
    count = size = 0
    for row in rows:
        more = sum(_LENGTH_BYTES + len(value) for value in row.values if value is not None)
        if count and (count == BATCH_ROWS or size + more > BATCH_BYTES):
            yield batch
            batch = BatchStatement(batch_type=BatchType.UNLOGGED)
            count = size = 0
        batch.add(row)
        count += 1
        size += more
    if count:
        yield batch
