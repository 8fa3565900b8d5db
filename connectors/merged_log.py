"""Several topics of Kafka as one log, in the order of the records' times."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connectors.kafka import for_confluent

REQUEST_S = 10.0
SILENCE_S = 30.0
FETCHED = 500
WAIT_S = 0.2
MOST_AHEAD = 4 * FETCHED
"""Of one partition; it is paused then, while others are waited for."""
FETCHED_KBYTES = 16 * 1024


class MergedLogError(Exception):
    """Kafka cannot be read; the text has what, and what to do."""


class Record(NamedTuple):
    """A record: its time (ms) in Kafka, its topic, and its value."""

    at: int
    topic: str
    value: bytes | None


Place = tuple[str, int]


def read_merged(
    brokers: str,
    topics: Sequence[str],
    since_ms: int | None = None,
    until_ms: int | None = None,
) -> Iterator[Record]:
    """The records of topics that are there now, from a time and up to a time (None: all), earliest
    first: of each partition in its order, between partitions by time. In memory are 2,500 records a
    partition at most, and 16 MiB.

    Raises:
        MergedLogError: Kafka or a topic is not there, or nothing comes for 30 s.
    """
    consumer = Consumer(
        {
            **for_confluent(brokers),
            "group.id": "headrace-merged-log",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": FETCHED_KBYTES,
            "log_level": 2,
        }
    )
    try:
        yield from merged(consumer, topics, since_ms, until_ms)
    except KafkaException as error:
        raise MergedLogError(
            f"Kafka at {brokers} cannot be read: {error.args[0]}.\n"
            "hint: is it up (headrace stack status), is KAFKA_BROKERS right?"
        ) from error
    finally:
        consumer.close()


def merged(
    consumer: Any, topics: Sequence[str], since_ms: int | None, until_ms: int | None
) -> Iterator[Record]:
    """What a consumer that tells of the ends of partitions gives, merged."""
    known = consumer.list_topics(timeout=REQUEST_S).topics
    if missing := [topic for topic in topics if topic not in known]:
        raise MergedLogError(
            f"Kafka has no topic {', '.join(missing)}.\nhint: `headrace work` makes all topics"
        )
    merge = _Merge(consumer, until_ms)
    places = [(topic, number) for topic in topics for number in known[topic].partitions]
    merge.open(places, since_ms)
    while True:
        merge.fill()
        record = merge.take()
        if record is None:
            return
        yield record


class _Merge:
    """Records at hand for each partition that has not ended; the first of each stands in a heap."""

    def __init__(self, consumer: Any, until_ms: int | None) -> None:
        self._consumer = consumer
        self._until = until_ms
        self._ends: dict[Place, int] = {}
        self._ahead: dict[Place, deque[Record]] = {}
        self._wanting: set[Place] = set()
        self._paused: set[Place] = set()
        self._heads: list[tuple[int, Place]] = []

    def open(self, places: Sequence[Place], since_ms: int | None) -> None:
        """Find out where each partition begins, as of a time, and ends."""
        starts = {}
        for place in places:
            where = TopicPartition(*place)
            start, end = self._consumer.get_watermark_offsets(where, REQUEST_S, cached=False)
            if since_ms is not None:
                asked = [TopicPartition(*place, since_ms)]
                (found,) = self._consumer.offsets_for_times(asked, REQUEST_S)
                start = found.offset if found.offset >= 0 else end
            if start < end:
                starts[place], self._ends[place] = start, end
        self._ahead = {place: deque() for place in starts}
        self._wanting = set(starts)
        self._consumer.assign([TopicPartition(*place, start) for place, start in starts.items()])

    def fill(self) -> None:
        """Wait until each partition that has not ended has a record at hand."""
        deadline = time.monotonic() + SILENCE_S
        while self._wanting:
            messages = self._consumer.consume(FETCHED, WAIT_S)
            for message in messages:
                self._add(message)
            if messages:
                deadline = time.monotonic() + SILENCE_S
            elif time.monotonic() > deadline:
                raise MergedLogError(
                    f"Kafka has sent nothing for {SILENCE_S:.0f} s.\n"
                    "hint: is it up (headrace stack status)?"
                )

    def take(self) -> Record | None:
        """The earliest record at hand; None at the end of all."""
        if not self._heads:
            return None
        _, place = heappop(self._heads)
        ahead = self._ahead[place]
        record = ahead.popleft()
        if ahead:
            heappush(self._heads, (ahead[0].at, place))
        elif place in self._ends:
            self._wanting.add(place)
        if place in self._paused and len(ahead) < FETCHED:
            self._paused.discard(place)
            self._consumer.resume([TopicPartition(*place)])
        return record

    def _add(self, message: Any) -> None:
        error, place = message.error(), (message.topic(), message.partition())
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        if place not in self._ends:
            return
        if error is not None:
            self._end(place)
            return
        record = Record(message.timestamp()[1], place[0], message.value())
        if message.offset() >= self._ends[place] or _is_after(record.at, self._until):
            self._end(place)
            return
        ahead = self._ahead[place]
        if not ahead:
            heappush(self._heads, (record.at, place))
            self._wanting.discard(place)
        ahead.append(record)
        if message.offset() + 1 == self._ends[place]:
            self._end(place)
        elif len(ahead) >= MOST_AHEAD and place not in self._paused:
            self._paused.add(place)
            self._consumer.pause([TopicPartition(*place)])

    def _end(self, place: Place) -> None:
        del self._ends[place]
        self._wanting.discard(place)
        self._paused.discard(place)
        self._consumer.pause([TopicPartition(*place)])


def _is_after(at: int, until: int | None) -> bool:
    return until is not None and at > until
