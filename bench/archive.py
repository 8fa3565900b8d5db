"""The Cassandra sink in `headrace bench fanout`: the timelines that wait in the log, as rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

import msgspec
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from bench.core import Say
from bench.parts import Parts
from bench.workers import Workers, cpu_seconds
from connectors.admin import create_tables
from connectors.cassandra import connect
from connectors.cassandra_tables import TIMELINE_TTL_SECONDS, month_of
from connectors.lag import LagReader, wait_quiet
from connectors.settings import settings
from connectors.stack.errors import StackError
from connectors.stack.local import LocalStack
from schemas.topics import Topic
from streams.archive_sink import INSERT_ENTRY

GROUP = "headrace-archive"
QUIET_S = 900.0
RAW_ROWS = 20_000
RAW_CONCURRENCY = 100
COUNTED = 100
"""Timelines whose rows are counted."""


class ArchiveFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of timelines written by the Cassandra sink; void (None) if some are missing. Beside it
    the rows/s of single inserts, 100 at once."""

    rows: int
    seconds: float | None = None
    rows_per_s: float | None = None
    cpu_us_per_row: float | None = None
    raw_rows_per_s: float | None = None
    void: str | None = None


def measure(
    parts: Parts, rows: int, expected: Mapping[str, int], at: int, say: Say
) -> ArchiveFigures:
    """Write what `timeline-writes` holds, some `rows`, into a Cassandra of its own. `expected` are
    owners with the rows of each, of which the first are counted; `at` is in their month (ms). The
    time is from the start of the process."""
    figures = ArchiveFigures(rows=rows)
    directory = parts.directory / "archive"
    with LocalStack(directory, fresh=True, parts=("cassandra",), say=say) as stack:
        addresses = replace(parts.addresses, cassandra=stack.addresses.cassandra)
        cluster, session = connect(addresses.cassandra)
        try:
            create_tables(session, settings())
            session.set_keyspace(settings().cassandra_keyspace)
            with Workers(addresses, directory, say) as workers:
                began = time.monotonic()
                sink = workers.start_ready("archive", "topology:archive")
                _wait_for_all(addresses.kafka, workers)
                seconds, cpu = time.monotonic() - began, cpu_seconds(sink)
            for owner, wanted in list(expected.items())[:COUNTED]:
                found = _count(session, owner, at)
                if found != wanted:
                    void = f"{found:,} of {wanted:,} rows of {owner} are there"
                    return msgspec.structs.replace(figures, void=void)
            raw = _raw(session, min(RAW_ROWS, rows), at)
        except (StackError, TimeoutError) as error:
            return msgspec.structs.replace(figures, void=str(error))
        finally:
            cluster.shutdown()
    return msgspec.structs.replace(
        figures,
        seconds=round(seconds, 3),
        rows_per_s=round(rows / seconds, 1),
        cpu_us_per_row=round(cpu / rows * 1e6, 2),
        raw_rows_per_s=raw,
    )


def _wait_for_all(brokers: str, workers: Workers) -> None:
    with closing(LagReader(brokers, {GROUP: (Topic.TIMELINE_WRITES,)})) as reader:
        wait_quiet(reader.read, QUIET_S, lambda _: workers.check())


def _count(session: Session, owner: str, at: int) -> int:
    query = "SELECT COUNT(*) FROM timeline WHERE owner = %s AND bucket = %s"
    return int(session.execute(query, (owner, month_of(at))).one()[0])


def _raw(session: Session, count: int, at: int) -> float:
    """Rows/s of the driver's own loop, a request for each."""
    insert = session.prepare(INSERT_ENTRY)
    bucket = month_of(at)
    rows = [
        (f"raw{number % 1_000}", bucket, at, f"{number:026}", "u:raw", number, TIMELINE_TTL_SECONDS)
        for number in range(count)
    ]
    began = time.monotonic()
    execute_concurrent_with_args(session, insert, rows, concurrency=RAW_CONCURRENCY)
    return round(count / (time.monotonic() - began), 1)
