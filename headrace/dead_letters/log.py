"""Reads dead letters, each with what was done with it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.kafka import for_confluent
from schemas.dead_letters import DeadLetter, Handled, handled_key
from schemas.topics import Topic

REQUEST_S = 10.0
SILENCE_S = 30.0
WAIT_S = 0.2
FETCHED = 500
FETCHED_KBYTES = 16 * 1024
TOPICS = (Topic.DEAD_LETTERS, Topic.HANDLED_LETTERS)

_letter = msgspec.msgpack.Decoder(DeadLetter).decode
_handled = msgspec.msgpack.Decoder(Handled).decode


class LettersError(Exception):
    """Dead letters cannot be read or handled; the text has what, and what to do."""


class Found(NamedTuple):
    """A letter, where it stands in `dead-letters`, when it was written (ms), and what was done
    with it, if anything was."""

    partition: int
    offset: int
    written_at: int
    letter: DeadLetter
    handled: Handled | None

    @property
    def place(self) -> str:
        """Where it stands, as operators write it."""
        return f"{self.partition}-{self.offset}"

    @property
    def record(self) -> str:
        """Where the record stands that it is about."""
        return f"{self.letter.topic}-{self.letter.partition}-{self.letter.offset}"


class Bounds(NamedTuple):
    """The first offset of a partition, and the one behind its last committed record."""

    first: int
    end: int


class Letters:
    """The letters that there are when this is made, or before `ends` of partitions; later ones are
    not seen.

    They are read a partition at a time: in memory are what was done with the letters of that one,
    and some 16 MiB of what Kafka sends ahead. What is no letter is passed over and counted.
    """

    def __init__(self, consumer: Any, ends: Mapping[int, int] | None = None) -> None:
        self._consumer = consumer
        self.strangers = 0
        known = consumer.list_topics(timeout=REQUEST_S).topics
        if missing := [topic for topic in TOPICS if topic not in known]:
            raise LettersError(
                f"Kafka has no topic {', '.join(missing)}.\nhint: `headrace work` makes all topics"
            )
        self._bounds = {
            (topic, number): self._bounds_of(TopicPartition(topic, number))
            for topic in TOPICS
            for number in known[topic].partitions
        }
        self.ends = {
            number: min(end, (ends or {}).get(number, end))
            for (topic, number), (_, end) in self._bounds.items()
            if topic == Topic.DEAD_LETTERS
        }

    def read(
        self,
        partition: int,
        *,
        since_ms: int | None = None,
        offsets: range = range(sys.maxsize),
    ) -> Iterator[Found]:
        """The letters of a partition in their order, from the first of a time on, and at offsets.

        Raises:
            LettersError: nothing comes for 30 s.
            KafkaException: Kafka says so.
        """
        first = max(self._bounds[Topic.DEAD_LETTERS, partition].first, offsets.start)
        end = min(self.ends[partition], offsets.stop)
        if since_ms is not None:
            asked = TopicPartition(Topic.DEAD_LETTERS, partition, since_ms)
            (found,) = self._consumer.offsets_for_times([asked], REQUEST_S)
            first = max(first, found.offset) if found.offset >= 0 else end
        if first >= end:
            return
        handled = self._handled(partition)
        for message in self._records(Topic.DEAD_LETTERS, partition, first, end):
            try:
                letter = _letter(message.value() or b"")
            except msgspec.DecodeError:
                self.strangers += 1
                continue
            offset = message.offset()
            mark = handled.get(handled_key(partition, offset))
            if mark is not None and not _is_about(mark, letter):
                mark = None
            yield Found(partition, offset, message.timestamp()[1], letter, mark)

    def _handled(self, partition: int) -> dict[bytes, Handled]:
        """What was done with the letters of a partition, by their keys."""
        first, end = self._bounds[Topic.HANDLED_LETTERS, partition]
        marks = {}
        for message in self._records(Topic.HANDLED_LETTERS, partition, first, end):
            if message.value() is not None:
                marks[message.key()] = _handled(message.value())
        return marks

    def _bounds_of(self, where: TopicPartition) -> Bounds:
        return Bounds(*self._consumer.get_watermark_offsets(where, REQUEST_S, cached=False))

    def _records(self, topic: str, partition: int, first: int, end: int) -> Iterator[Message]:
        """The committed records from `first` on and before `end`."""
        if first >= end:
            return
        self._consumer.assign([TopicPartition(topic, partition, first)])
        heard = time.monotonic()
        while True:
            messages = self._consumer.consume(1, WAIT_S)
            if messages:
                heard = time.monotonic()
                messages += self._consumer.consume(FETCHED, 0)  # with a timeout it waits for all
            elif time.monotonic() - heard > SILENCE_S:
                raise LettersError(
                    f"Kafka has sent nothing of {topic}/{partition} for {SILENCE_S:.0f} s.\n"
                    "hint: is it up (headrace stack status)?"
                )
            for message in messages:
                if (message.topic(), message.partition()) != (topic, partition):
                    continue  # of the one before, and under way when that was left
                error = message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if message.offset() >= end:
                    return
                if error is None:
                    yield message
                    if message.offset() + 1 == end:
                        return


def _is_about(mark: Handled, letter: DeadLetter) -> bool:
    places = [(each.topic, each.partition, each.offset) for each in (mark, letter)]
    return places[0] == places[1]


@contextmanager
def open_letters(brokers: str, ends: Mapping[int, int] | None = None) -> Iterator[Letters]:
    """The letters of a Kafka, as of now or before the `ends` of a former reading.

    Raises:
        LettersError: Kafka is not there, or not its topics.
    """
    consumer = Consumer(
        {
            **for_confluent(brokers),
            "group.id": "headrace-dead-letters",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # the next partition is asked for behind what waits
            "queued.max.messages.kbytes": FETCHED_KBYTES,
            "log_level": 2,
        }
    )
    try:
        with explained(brokers, "cannot be read"):
            yield Letters(consumer, ends)
    finally:
        consumer.close()


@contextmanager
def explained(brokers: str, what: str) -> Iterator[None]:
    """What Kafka says against it, as an error that says what to do."""
    try:
        yield
    except KafkaException as error:
        raise LettersError(
            f"Kafka at {brokers} {what}: {error.args[0].str()}.\n"
            "hint: is it up (headrace stack status), is KAFKA_BROKERS right?"
        ) from error
