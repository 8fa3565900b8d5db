"""The systems that do the job, by name: their processes and where they put the counts."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from bench import kafka_streams
from bench.counts import Counts, PlainCounts, ViewCounts
from bench.peer import python_of_peer
from bench.topic import SHORT, STOCK_CHANGELOGS
from bench.workers import Workers
from schemas.topics import Topic

STOCK_EVENTS = 60_000  # at some thousands a second


class System(Struct, frozen=True, kw_only=True):
    """`command` is the process that reads the events; `sink` the app that writes Redis, if that
    is another one; `limit` the most events that it is given; `changelogs` those that it has beside
    Headrace's."""

    title: str
    command: Callable[[Workers], list[str]]
    counts: Counts
    sink: str | None = None
    limit: int | None = None
    changelogs: tuple[str, ...] = ()
    topic: str = str(Topic.ENGAGEMENTS)


SYSTEMS = {
    "headrace": System(
        title="Headrace, exactly once",
        command=lambda workers: workers.faust("bench.exactly_once:fold"),
        sink="bench.exactly_once:sink",
        counts=ViewCounts(),
    ),
    "at_least_once": System(
        title="Headrace without the transaction",
        command=lambda workers: workers.faust("bench.at_least_once:fold"),
        sink="bench.at_least_once:sink",
        counts=ViewCounts(),
    ),
    "kafka_streams": System(
        title="Kafka Streams, exactly once",
        command=kafka_streams.command,
        counts=PlainCounts(),
    ),
    "quixstreams": System(
        title="quixstreams, exactly once",
        command=lambda workers: [str(python_of_peer(workers.say)), "-m", "bench.quix"],
        counts=PlainCounts(),
    ),
    "stock": System(
        title="stock Faust",
        command=lambda workers: workers.faust("bench.stock:app"),
        counts=PlainCounts(),
        limit=STOCK_EVENTS,
        changelogs=STOCK_CHANGELOGS,
        topic=SHORT,
    ),
}
