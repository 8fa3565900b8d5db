"""Rows on their way into Cassandra: in unlogged batches, several at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from cassandra import WriteTimeout
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent
from cassandra.protocol import OverloadedErrorMessage
from cassandra.query import BatchStatement, BatchType, PreparedStatement

BATCH_ROWS = 100
BATCH_BYTES = 32 * 1024
CONCURRENCY = 8
OVERLOADED = (WriteTimeout, OverloadedErrorMessage)


class Row(NamedTuple):
    """A statement with its values."""

    statement: PreparedStatement
    values: tuple[Any, ...]


class _Refused(NamedTuple):
    batch: BatchStatement
    error: Exception


def write_rows(session: Session, rows: Iterable[Row]) -> None:
    """Write all rows; what an overloaded server refuses is sent again as long as it takes half of
    it. So 10,000 rows end, one way or the other, within a minute.

    Raises:
        Exception: the driver's; some rows may be written.
    """
    waiting = list(_batches(rows))
    while waiting:
        refused = _send(session, waiting)
        if 2 * len(refused) > len(waiting):
            raise refused[-1].error
        waiting = [each.batch for each in refused]


def _send(session: Session, batches: list[BatchStatement]) -> list[_Refused]:
    """Send each once; what was refused. Raises what is no refusal, and sends no more then."""
    refused = []
    for start in range(0, len(batches), CONCURRENCY):
        group = batches[start : start + CONCURRENCY]
        results = execute_concurrent(
            session,
            [(batch, None) for batch in group],
            concurrency=CONCURRENCY,
            raise_on_first_error=False,
        )
        for batch, (is_written, result) in zip(group, results, strict=True):
            if not is_written:
                if not isinstance(result, OVERLOADED):
                    raise result
                refused.append(_Refused(batch, result))
    return refused


def _batches(rows: Iterable[Row]) -> Iterator[BatchStatement]:
    """Unlogged batches of at most 100 rows and 32 KiB."""
    batch = BatchStatement(batch_type=BatchType.UNLOGGED)
    count = size = 0
    for row in rows:
        more = sum(_size(value) for value in row.values)
        if count and (count == BATCH_ROWS or size + more > BATCH_BYTES):
            yield batch
            batch = BatchStatement(batch_type=BatchType.UNLOGGED)
            count = size = 0
        batch.add(row.statement, row.values)
        count += 1
        size += more
    if count:
        yield batch


def _size(value: Any) -> int:
    """The bytes of a value on the wire, at most."""
    if isinstance(value, str):
        return 4 + 4 * len(value)
    if isinstance(value, (list, tuple)):
        return 4 + sum(map(_size, value))
    if isinstance(value, dict):
        return 4 + sum(_size(key) + _size(item) for key, item in value.items())
    return 12
