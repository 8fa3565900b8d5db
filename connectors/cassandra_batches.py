"""Rows on their way into Cassandra: in unlogged batches, several at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from cassandra import WriteTimeout
from cassandra.cluster import ResponseFuture, Session
from cassandra.protocol import OverloadedErrorMessage
from cassandra.query import BatchStatement, BatchType, BoundStatement

BATCH_ROWS = 100
BATCH_BYTES = 32 * 1024
CONCURRENCY = 8
OVERLOADED = (WriteTimeout, OverloadedErrorMessage)
_LENGTH_BYTES = 4  # before each value


class _Sent(NamedTuple):
    batch: BatchStatement
    answer: ResponseFuture


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


def _send(session: Session, batches: Iterable[BatchStatement]) -> tuple[int, list[_Refused]]:
    """Send each once; their number, and what was refused. Raises what is no refusal, and sends no
    more then."""
    count = 0
    refused: list[_Refused] = []
    in_flight: deque[_Sent] = deque()
    for batch in batches:
        if len(in_flight) == CONCURRENCY:
            refused += _wait_for(in_flight.popleft())
        in_flight.append(_Sent(batch, session.execute_async(batch)))
        count += 1
    for each in in_flight:
        refused += _wait_for(each)
    return count, refused


def _wait_for(sent: _Sent) -> list[_Refused]:
    try:
        sent.answer.result()
    except OVERLOADED as error:
        return [_Refused(sent.batch, error)]
    return []


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
