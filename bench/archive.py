"""The Cassandra sink in `headrace bench fanout`: what waits for timelines, written as rows."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import msgspec
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from bench.core import Say
from bench.crowd import Crowd, publish
from bench.topic import make
from bench.workers import Workers, cpu_seconds
from connectors.cassandra import connect
from connectors.cassandra_tables import TIMELINE_TTL_SECONDS, month_of
from connectors.lag import GROUPS, LagReader, wait_until_quiet
from connectors.prepare import create_tables
from connectors.settings import settings
from connectors.stack.errors import StackError
from connectors.stack.local import LocalStack
from schemas.topics import Topic, declared
from streams.archive_sink import INSERT_ENTRY

APP, ARCHIVE = "headrace-app", "headrace-archive"
TIMELINES, POSTS = Topic.TIMELINE_WRITES.value, Topic.VIEW_POSTS.value
ROWS_OF_POST = 2  # itself, and its place among its author's
QUIET_S = 600.0
LOOK_EVERY_S = 0.05
RAW_ROWS = 20_000
RAW_CONCURRENCY = 100
COUNTED = 100
"""Timelines whose rows are counted."""


class ArchiveFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of timelines and posts written by the Cassandra sink; void (None) if some are missing.
    Beside it the rows/s of the driver's own loop."""

    rows: int
    seconds: float | None = None
    rows_per_s: float | None = None
    cpu_us_per_row: float | None = None
    raw_rows_per_s: float | None = None
    void: str | None = None


def measure(directory: Path, crowd: Crowd, say: Say, *, is_lasting: bool) -> ArchiveFigures:
    """Fold what a crowd posts while the sink is away, and take the time that it needs, for what is
    left when it is ready; with parts of its own, lasting ones for a run that lets them warm up."""
    figures = ArchiveFigures(rows=crowd.rows)
    parts = ("kafka", "cassandra")
    with LocalStack(directory, fresh=True, parts=parts, say=say, is_lasting=is_lasting) as stack:
        brokers = stack.addresses.kafka
        make(brokers, [spec.name for spec in declared()])
        cluster, session = connect(stack.addresses.cassandra)
        try:
            create_tables(session, settings())
            session.set_keyspace(settings().cassandra_keyspace)
            with Workers(stack.addresses, directory, say) as workers:
                workers.start_ready({"app": "topology:app", "follows": "topology:archive"})
                publish(brokers, Topic.FOLLOWS, crowd.follows())
                wait_until_quiet(brokers, QUIET_S, groups=_groups(APP, ARCHIVE))
                workers.end("follows")
                publish(brokers, Topic.POSTS, crowd.written())
                wait_until_quiet(brokers, QUIET_S, groups=_groups(APP))
                with closing(LagReader(brokers, {ARCHIVE: (TIMELINES, POSTS)})) as reader:
                    all_timelines, all_posts = _waiting(reader)
                    (sink,) = workers.start_ready({"archive": "topology:archive"})
                    (timelines, posts), before = _waiting(reader), cpu_seconds(sink)
                    seconds = _until_written(reader, workers)
                rows = crowd.rows * timelines // all_timelines
                rows += ROWS_OF_POST * crowd.sources * crowd.posts * posts // all_posts
                cpu = cpu_seconds(sink) - before
            for number in range(min(COUNTED, crowd.users)):
                found = _count(session, crowd.user(number), crowd.began_at)
                if found != crowd.deliveries // crowd.users:
                    raise TimeoutError(f"{found:,} rows of a timeline are there")
            raw = _raw(session, min(RAW_ROWS, crowd.rows), crowd.began_at)
        except (StackError, TimeoutError) as error:
            return msgspec.structs.replace(figures, void=str(error))
        finally:
            cluster.shutdown()
    return msgspec.structs.replace(
        figures,
        rows=rows,
        seconds=round(seconds, 3),
        rows_per_s=round(rows / seconds, 1),
        cpu_us_per_row=round(cpu / rows * 1e6, 2),
        raw_rows_per_s=raw,
    )


def _groups(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: GROUPS[name] for name in names}


def _waiting(reader: LagReader) -> tuple[int, int]:
    """The records of timelines and of posts that wait."""
    waiting = reader.read().by_topic()
    return waiting.get((ARCHIVE, TIMELINES), 0), waiting.get((ARCHIVE, POSTS), 0)


def _until_written(reader: LagReader, workers: Workers) -> float:
    """Wait until no record waits; the seconds that it took."""
    began = time.monotonic()
    while reader.read().total:
        workers.check()
        time.sleep(LOOK_EVERY_S)
        if time.monotonic() - began > QUIET_S:
            raise TimeoutError(f"not all timelines were written within {QUIET_S:.0f} s")
    return time.monotonic() - began


def _count(session: Session, owner: str, at: int) -> int:
    query = "SELECT COUNT(*) FROM timeline WHERE owner = %s AND bucket = %s"
    return int(session.execute(query, (owner, month_of(at))).one()[0])


def _raw(session: Session, count: int, at: int) -> float:
    """Rows/s of the driver's own loop, a request for each, 100 at once."""
    insert = session.prepare(INSERT_ENTRY)
    bucket = month_of(at)
    rows = [
        (f"raw{number % 1_000}", bucket, at, f"{number:026}", "u:raw", number, TIMELINE_TTL_SECONDS)
        for number in range(count)
    ]
    began = time.monotonic()
    execute_concurrent_with_args(session, insert, rows, concurrency=RAW_CONCURRENCY)
    return round(count / (time.monotonic() - began), 1)
