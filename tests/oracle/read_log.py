"""Reads whole topics, and the order between entities from the by-source log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.dead_letters import DeadLetter
from streams.facts import (
    Activity,
    FollowerErased,
    Handling,
    Refill,
    RelationFact,
    Removal,
    SourceErased,
    decode_fact,
)
from tests.oracle.events import TOPICS, Acknowledged, collect
from tests.oracle.names import OfName

LOG = "by-source"
USER_LOG = "by-user"
GENERATION = re.compile(r"\.g([0-9]+)$")
POSITION_BYTES = 10
AVRO = 0
FETCHED = 10_000

Record = tuple[str, int, int, int, bytes | None]
"""Topic, partition, offset, the broker's or producer's time, value."""
OfSource = Activity | Removal | RelationFact | Handling | Refill | SourceErased | FollowerErased
Placed = tuple[int, OfSource]
"""A partition and what stands there."""


def read_topics(brokers: str, topics: Iterable[str], silence_s: float = 30.0) -> Iterator[Record]:
    """Every committed record of topics, each partition in order, up to its end.

    Raises:
        KafkaException: the broker says so, or says nothing for `silence_s`.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "headrace-oracle",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": 65_536,
        }
    )
    try:
        known = consumer.list_topics(timeout=silence_s).topics
        missing = [topic for topic in topics if topic not in known]
        if missing:
            raise KafkaException(KafkaError.UNKNOWN_TOPIC_OR_PART, f"no topic {missing}")
        open_ones = {(topic, number) for topic in topics for number in known[topic].partitions}
        consumer.assign([TopicPartition(t, p, 0) for t, p in open_ones])
        while open_ones:
            messages = consumer.consume(1, silence_s)
            if not messages:
                raise KafkaException(KafkaError._TIMED_OUT, f"silence for {silence_s:.0f} s")
            messages += consumer.consume(FETCHED, 0)  # with a timeout it waits for so many
            yield from _records(messages, open_ones)
    finally:
        consumer.close()


def _records(messages: list[object], open_ones: set[tuple[str, int]]) -> Iterator[Record]:
    for message in messages:
        error = message.error()  # type: ignore[attr-defined]
        topic, partition = message.topic(), message.partition()  # type: ignore[attr-defined]
        if error is None:
            yield (
                topic,
                partition,
                message.offset(),  # type: ignore[attr-defined]
                message.timestamp()[1],  # type: ignore[attr-defined]
                message.value(),  # type: ignore[attr-defined]
            )
        elif error.code() == KafkaError._PARTITION_EOF:
            open_ones.discard((topic, partition))
        else:
            raise KafkaException(error)


def read_history(brokers: str, log: str) -> Iterator[Record]:
    """The records of an internal log in all generations that are there, each once: where the
    migration to the next began to copy, that one has the rest. Partitions are told as those of the
    first, of which those of the others are parts."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "headrace-oracle"})
    try:
        known = consumer.list_topics(timeout=30).topics
    finally:
        consumer.close()
    found = {name: GENERATION.search(name) for name in known if GENERATION.sub("", name) == log}
    names = sorted(found, key=lambda name: int(match[1]) if (match := found[name]) else 1)
    for name in names:
        ends = {} if name == names[-1] else _positions(brokers, f"changelog.{name}")
        for _, partition, offset, at, value in read_topics(brokers, (name,)):
            if name == names[-1] or offset < ends.get(partition, 0):
                yield name, partition % len(known[names[0]].partitions), offset, at, value


def _positions(brokers: str, changelog: str) -> dict[int, int]:
    """How far the fold of each partition had come; a row is an array, and does not begin so."""
    return {
        partition: int.from_bytes(value[2:], "big")
        for _, partition, _, _, value in read_topics(brokers, (changelog,))
        if value is not None and len(value) == POSITION_BYTES and value[0] == 0
    }


def read_events(brokers: str) -> Acknowledged:
    """The acknowledged events of the external topics."""
    return collect(read_topics(brokers, tuple(TOPICS)))


def read_log(brokers: str) -> Iterator[Placed]:
    """The facts of the by-source log, each source's in order; the clock's are left out, and what
    cannot be read, of which dead letters are compared."""
    for _, partition, _, _, raw in read_history(brokers, LOG):
        if raw is None:
            continue
        try:
            fact = decode_fact(raw)
        except msgspec.DecodeError:
            continue
        if isinstance(fact, OfSource):
            yield partition, fact


def read_names(brokers: str) -> Iterator[OfName]:
    """The claims and releases of user names in the by-user log, each name's in order."""
    for _, _, _, _, raw in read_history(brokers, USER_LOG):
        if not raw or raw[0] == AVRO:
            continue
        try:
            fact = decode_fact(raw)
        except msgspec.DecodeError:
            continue
        if isinstance(fact, OfName):
            yield fact


def read_dead_letters(brokers: str) -> dict[tuple[str, int, int], str]:
    """Topic, partition and offset of each dead letter to its code."""
    found = {}
    for _, _, _, _, raw in read_topics(brokers, ("dead-letters",)):
        if raw is not None:
            letter = msgspec.msgpack.decode(raw, type=DeadLetter)
            found[(letter.topic, letter.partition, letter.offset)] = letter.code
    return found
