"""Copies partitions record by record, in their order, with their times and headers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from msgspec import Struct

from connectors.failpoints import reach
from connectors.kafka import for_confluent
from connectors.lag import offsets_at
from headrace.migrate.split import Splitter

FETCHED = 10_000
WAIT_SECONDS = 0.1
SILENCE_SECONDS = 30.0
TELL_EVERY = 100_000
Ends = dict[tuple[str, int], int]


class CopyError(Exception):
    """Something cannot be copied as it is; nothing of the old topics was changed."""


class Copied(Struct):
    """How much of a partition was read and written; `written` is by new partition, and `below` has
    what that was when the offsets that were asked for were reached."""

    read: int
    bytes: int
    written: Counter[int]
    below: dict[int, Counter[int]]


class Copier:
    """Reads what is committed, and writes with an idempotent producer; see `open_copier`."""

    def __init__(self, brokers: str, tell: Callable[[str], None]) -> None:
        common = {**for_confluent(brokers), "log_level": 3}
        reading = {
            **common,
            "group.id": "headrace-migrate",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 5,
        }
        self._consumer = Consumer({**reading, "isolation.level": "read_committed"})
        self._all = Consumer({**reading, "isolation.level": "read_uncommitted"})
        self._failed: list[KafkaError] = []
        self._producer = Producer(
            {
                **common,
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 50,
                "batch.size": 1_000_000,
                "message.max.bytes": 4_000_000,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 262_144,
                "delivery.report.only.error": True,
                "on_delivery": lambda error, _: self._failed.append(error),
            }
        )
        self._tell = tell
        self._written: Counter[tuple[str, int]] = Counter()
        self._total = 0

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()
        self._all.close()

    def ends(self, topics: Iterable[str], partitions: int) -> Ends:
        """Where partitions end, with what is not committed."""
        asked = [TopicPartition(str(topic), p) for topic in topics for p in range(partitions)]
        return offsets_at(self._all, asked, OFFSET_END)

    def beginnings(self, topics: Iterable[str], partitions: int) -> Ends:
        """Where partitions begin."""
        asked = [TopicPartition(str(topic), p) for topic in topics for p in range(partitions)]
        return offsets_at(self._all, asked, OFFSET_BEGINNING)

    def copy(
        self,
        source: tuple[str, int],
        end: int,
        target: str,
        splitter: Splitter,
        start: int | None = None,
        marks: Iterable[int] = (),
    ) -> Copied:
        """Copy a partition from `start`, or its beginning, to its end; raises `CopyError`."""
        copied = Copied(0, 0, Counter(), {})
        waiting = sorted(set(marks), reverse=True)
        for message in self._records(source, end, start):
            while waiting and message.offset() >= waiting[-1]:
                copied.below[waiting.pop()] = copied.written.copy()
            key, value = message.key(), message.value()
            for part, its_key, its_value in splitter.copies(key, value):
                self._write(target, part, its_key, its_value, message)
                copied.written[part] += 1
            copied.read += 1
            copied.bytes += len(key or b"") + len(value or b"")
            self._total += 1
            if self._total % TELL_EVERY == 0:
                self._tell(f"{self._total:,} records")
        copied.below |= {mark: copied.written.copy() for mark in waiting}
        for part, its_key, its_value in splitter.rest():
            self._write(target, part, its_key, its_value)
            copied.written[part] += 1
        reach("mid-copy", "/".join(map(str, source)), copied.read)
        return copied

    def confirm(self) -> None:
        """Return when all is written, and the new partitions have as many records.

        Raises:
            CopyError: they have not.
        """
        if self._producer.flush(SILENCE_SECONDS):
            self._failed.append(KafkaError(KafkaError._TIMED_OUT))
        self._look()
        asked = [TopicPartition(*place) for place in self._written]
        for (topic, partition), end in offsets_at(self._all, asked, OFFSET_END).items():
            written = self._written[topic, partition]
            if end != written:
                raise CopyError(
                    f"{topic}/{partition} has {end:,} records, and {written:,} were written: does "
                    "anything else write there? Run it again"
                )

    def _write(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        of: Message | None = None,
    ) -> None:
        at = of.timestamp()[1] if of is not None else 0
        headers = (of.headers() if of is not None else None) or []
        while True:
            try:
                self._producer.produce(topic, value, key, partition, timestamp=at, headers=headers)
                break
            except BufferError:
                self._producer.poll(WAIT_SECONDS)
                self._look()
        self._written[topic, partition] += 1

    def _look(self) -> None:
        self._producer.poll(0)
        if self._failed:
            raise CopyError(f"Kafka did not take a record: {self._failed[0].str()}. Run it again")

    def _records(self, source: tuple[str, int], end: int, start: int | None) -> Iterator[Message]:
        if start is not None and start >= end:
            return
        first = OFFSET_BEGINNING if start is None else start
        self._consumer.assign([TopicPartition(*source, first)])
        heard = time.monotonic()
        while True:
            messages = self._consumer.consume(FETCHED, WAIT_SECONDS)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE_SECONDS:
                raise CopyError(
                    f"Kafka has sent nothing of {source[0]}/{source[1]} for "
                    f"{SILENCE_SECONDS:.0f} s: is it up? Run it again"
                )
            for message in messages:
                if (message.topic(), message.partition()) != source:
                    continue  # of the one before
                error = message.error()
                if error is None:
                    yield message
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise CopyError(_why(source, start, error)) from KafkaException(error)
                elif message.offset() < end:
                    raise CopyError(
                        f"{source[0]}/{source[1]} ends at {end}, and is committed up to "
                        f"{message.offset()} only: who writes there has not ended. Run it again in "
                        "10 s"
                    )
                else:
                    return


def _why(source: tuple[str, int], start: int | None, error: KafkaError) -> str:
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        return (
            f"{source[0]}/{source[1]} does not have the offset {start}, up to which its fold has "
            "come: Kafka deleted records before they were read. Start the workers again, with the "
            "settings that they had, until nothing waits"
        )
    return f"{source[0]}/{source[1]} cannot be read: {error.str()}"


@contextmanager
def open_copier(brokers: str, tell: Callable[[str], None]) -> Iterator[Copier]:
    """A copier that tells how many records were read."""
    copier = Copier(brokers, tell)
    try:
        yield copier
    finally:
        copier.close()


def counted(ends: Mapping[tuple[str, int], int], beginnings: Ends, topic: str) -> int:
    """The offsets of a topic: of records and of what ends transactions."""
    return sum(end - beginnings[place] for place, end in ends.items() if place[0] == topic)
