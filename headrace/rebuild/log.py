"""A partition of `timeline-writes`, read once in order, with what comes next at hand."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, Self

import msgspec
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, Message, TopicPartition

from connectors.kafka import for_confluent
from schemas.topics import Topic
from schemas.views import TimelineOp, decode_view

REQUEST_S = 10.0
SILENCE_S = 30.0
MESSAGES = 1_000
AHEAD_BYTES = 64 * 1024 * 1024
FETCHED_KBYTES = 16 * 1024


class LogError(Exception):
    """The log could not be read."""


class FarBehindError(Exception):
    """A store is too far behind the log's end."""

    def __init__(self) -> None:
        super().__init__(
            f"the store has more than {AHEAD_BYTES >> 20} MiB of timeline-writes still to write.\n"
            "Hint: let its sink catch up first (`headrace work`), then run this again"
        )


class Placed(NamedTuple):
    """A record: its offset, how many bytes it has, and what it says."""

    offset: int
    size: int
    operations: list[TimelineOp]


class PartitionLog:
    """A partition's committed records; a context manager."""

    def __init__(self, brokers: str, partition: int, topic: Topic = Topic.TIMELINE_WRITES) -> None:
        self._consumer = Consumer(
            {
                **for_confluent(brokers),
                "group.id": "headrace-rebuild",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": FETCHED_KBYTES,
                "log_level": 2,
            }
        )
        self._topic = str(topic)
        self.partition = partition
        self._ahead: deque[Placed] = deque()
        self._ahead_bytes = 0
        self._known_to = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def bounds(self) -> tuple[int, int]:
        """The first offset that is still there, and the one behind the last committed record."""
        place = self._place()
        first, _ = self._consumer.get_watermark_offsets(place, REQUEST_S, cached=False)
        return first, self.end()

    def end(self) -> int:
        """The offset behind the last committed record."""
        return int(self._consumer.get_watermark_offsets(self._place(), REQUEST_S, cached=False)[1])

    def offset_at(self, time_ms: int) -> int | None:
        """The first offset with that time or a later one; None when there is none."""
        (found,) = self._consumer.offsets_for_times([self._place(time_ms)], REQUEST_S)
        if found.error is not None:
            raise LogError(f"{self._topic}/{self.partition}: {found.error}")
        return found.offset if found.offset >= 0 else None

    def time_at(self, offset: int) -> int | None:
        """The time (ms) of the first record at or behind an offset; None when there is none."""
        self._seek(offset)
        message = self._next()
        if message.error() is not None:
            return None
        kind, at = message.timestamp()
        return None if kind == TIMESTAMP_NOT_AVAILABLE else int(at)

    def has_records(self, start: int, end: int) -> bool:
        """Whether there are records from `start` on and before `end`."""
        if start >= end:
            return False
        self._seek(start)
        message = self._next()
        return message.error() is None and message.offset() < end

    def open(self, start: int) -> None:
        """Read from here on."""
        self._ahead.clear()
        self._ahead_bytes = 0
        self._known_to = start
        self._seek(start)

    def take(self, position: int) -> Iterator[Placed]:
        """The records below a position that were not taken yet, each once.

        Raises:
            LogError: they do not come, or are there no longer.
        """
        while True:
            while self._ahead and self._ahead[0].offset < position:
                placed = self._ahead.popleft()
                self._ahead_bytes -= placed.size
                yield placed
            if self._ahead or self._known_to >= position:
                return
            self._read()

    def peek(self, end: int) -> list[Placed]:
        """The records below `end` that were not taken yet; they are to be taken still.

        Raises:
            FarBehindError: there are too many.
            LogError: as `take`.
        """
        while self._known_to < end:
            self._read()
            if self._ahead_bytes > AHEAD_BYTES:
                raise FarBehindError
        return [placed for placed in self._ahead if placed.offset < end]

    def _place(self, offset: int = 0) -> TopicPartition:
        return TopicPartition(self._topic, self.partition, offset)

    def _seek(self, offset: int) -> None:
        self._consumer.assign([self._place(offset)])

    def _next(self) -> Message:
        deadline = time.monotonic() + SILENCE_S
        while time.monotonic() < deadline:
            message = self._consumer.poll(0.5)
            if message is not None:
                return self._checked(message)
        raise LogError(
            f"Kafka has sent nothing of {self._topic}/{self.partition} for {SILENCE_S:.0f} s.\n"
            "Hint: is it up (`headrace stack status`), is KAFKA_BROKERS right?"
        )

    def _read(self) -> None:
        """Wait for something, and take in all that is there."""
        for message in (self._next(), *self._consumer.consume(MESSAGES, 0)):
            self._take_in(self._checked(message))

    def _checked(self, message: Message) -> Message:
        error = message.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return message
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise LogError(
                f"Kafka has deleted records of {self._topic}/{self.partition} while they were "
                "read.\nHint: run this again"
            )
        raise LogError(f"{self._topic}/{self.partition}: {error}")

    def _take_in(self, message: Message) -> None:
        if message.error() is not None:
            self._known_to = max(self._known_to, message.offset())
            return
        offset, value = message.offset(), message.value()
        self._known_to = offset + 1
        if value is None:
            return
        try:
            placed = Placed(offset, len(value), decode_view(Topic.TIMELINE_WRITES, value))
        except msgspec.DecodeError:
            return  # the sinks put it away as a dead letter
        self._ahead.append(placed)
        self._ahead_bytes += placed.size
