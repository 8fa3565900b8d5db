"""The topics of a run: made anew for each system, the input filled before anything starts."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench.engagements import PARTITIONS, Tally, engagements
from schemas.codec import encode
from schemas.partitioning import partition_of
from schemas.topics import Topic, changelog_of, declared

SHORT = "bench.short"
"""Fewer events of the same kind, for a system that would take minutes for all of them."""

FACTS = "bench.facts"
"""What an agent of stock Faust tells another."""

STOCK = "bench-stock"
STOCK_TABLES = ("reactions", "counts")
STOCK_MIX = "bench-stock-mix"
STOCK_POST_TABLES = (
    *("reactions", "shares", "hides", "comments", "comment_likes", "comment_counts"),
    *("answers", "marked", "counts", "acts"),
)
STOCK_USER_TABLES = ("seen", "affinities", "aversions", "notices")
STOCK_CHANGELOGS = tuple(f"{STOCK}-{name}-changelog" for name in STOCK_TABLES)
STOCK_MIX_CHANGELOGS = tuple(
    f"{STOCK_MIX}-{name}-changelog" for name in (*STOCK_POST_TABLES, *STOCK_USER_TABLES)
)
"""The apps, tables and changelogs of stock Faust that does the job, and of the one that does all
that users do. Changelogs are made before it starts: an agent crashes if its worker does not know of
a new one yet."""

INPUTS = (str(Topic.ENGAGEMENTS), SHORT)
WORKED_ON = (changelog_of(Topic.ENGAGEMENTS), str(Topic.VIEW_COUNTERS), str(Topic.DEAD_LETTERS))
_WAIT_S = 30.0
_QUEUED = 200_000


class TopicError(Exception):
    """A topic could not be made or filled."""


def make(brokers: str, names: Iterable[str]) -> None:
    """Make topics as the product declares them, empty: those that are there are deleted first."""
    admin = AdminClient({"bootstrap.servers": brokers})
    names = list(names)
    there = [name for name in names if name in admin.list_topics(timeout=_WAIT_S).topics]
    if there:
        for deleted in admin.delete_topics(there, operation_timeout=_WAIT_S).values():
            deleted.result(_WAIT_S)
        deadline = time.monotonic() + _WAIT_S
        while any(name in admin.list_topics(timeout=_WAIT_S).topics for name in there):
            if time.monotonic() > deadline:
                raise TopicError(f"{', '.join(there)}: still there after {_WAIT_S:.0f} s")
            time.sleep(0.1)
    configs = {spec.name: spec.config for spec in declared()}
    configs[SHORT] = configs[Topic.ENGAGEMENTS]
    configs[FACTS] = configs[Topic.BY_USER]
    changelogs = (*STOCK_CHANGELOGS, *STOCK_MIX_CHANGELOGS)
    configs |= dict.fromkeys(changelogs, configs[changelog_of(Topic.ENGAGEMENTS)])
    made = admin.create_topics(
        [NewTopic(name, PARTITIONS, 1, config=configs[name]) for name in names],
        operation_timeout=_WAIT_S,
    )
    for name, created in made.items():
        try:
            created.result(_WAIT_S)
        except KafkaException as error:
            raise TopicError(f"topic {name}: {error}") from error


def fill(brokers: str, topic: str, count: int) -> Tally:
    """Write `count` events, each into the partition of its post; what they imply."""
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 20,
            "queue.buffering.max.messages": _QUEUED,
        }
    )
    tally = Tally()
    for event in engagements(count):
        assert event.post_id is not None
        tally.add(event)
        partition = partition_of(event.post_id, PARTITIONS)
        while True:
            try:
                producer.produce(topic, encode(event), event.post_id, partition)
                break
            except BufferError:
                producer.poll(0.05)
    if producer.flush(_WAIT_S):
        raise TopicError(f"topic {topic}: not all events were acknowledged")
    return tally


def records(brokers: str, topics: Iterable[str]) -> int:
    """How many records topics hold that were written without transactions and not compacted."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "bench"})
    try:
        found = 0
        for topic in topics:
            for partition in range(PARTITIONS):
                place = TopicPartition(topic, partition)
                low, high = consumer.get_watermark_offsets(place, _WAIT_S, cached=False)
                found += high - low
        return found
    finally:
        consumer.close()
