"""Kafka in memory, for what reads dead letters and handles them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from connectors import addresses
from headrace.dead_letters import handler, log
from schemas.dead_letters import DeadLetter, Handled, handled_key
from schemas.topics import Topic
from tests.unit.folds import NOW

PARTITIONS = 4


class Message(NamedTuple):
    """What a consumer gives: a record, or an error."""

    place: tuple[str, int]
    at: int
    record: tuple[bytes | None, bytes | None, int] = (None, None, 0)
    said: KafkaError | None = None

    def topic(self) -> str:
        return self.place[0]

    def partition(self) -> int:
        return self.place[1]

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return self.record[0]

    def value(self) -> bytes | None:
        return self.record[1]

    def timestamp(self) -> tuple[int, int]:
        return 1, self.record[2]

    def error(self) -> KafkaError | None:
        return self.said


class Kafka:
    """Logs by topic and partition; a None in one is the mark of a commit, which no reader sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.logs: dict[tuple[str, int], list[tuple[bytes | None, bytes | None, int] | None]] = {
            (topic, partition): [] for topic in map(str, Topic) for partition in range(PARTITIONS)
        }
        self.owner: Producer | None = None
        self.stale: list[Message] = []
        self.faults: list[KafkaException] = []
        self.transactions: list[list[str]] = []
        self.headers: list[tuple[str, bytes]] = []
        monkeypatch.setattr(addresses, "resolve_kafka", lambda: "kafka:1")
        monkeypatch.setattr(log, "Consumer", lambda _config: Consumer(self))
        monkeypatch.setattr(handler, "transactional_producer", lambda *_: Producer(self))

    def add(self, letter: DeadLetter, written_at: int = NOW) -> str:
        """Write a letter; its place."""
        log = self.logs["dead-letters", letter.partition]
        log.append((letter.key, msgspec.msgpack.encode(letter), written_at))
        return f"{letter.partition}-{len(log) - 1}"

    def mark(self, partition: int, offset: int, about: DeadLetter, what: Any = "dropped") -> None:
        """Note of the letter at a place that it was handled, as one about a record."""
        place = (about.topic, about.partition, about.offset)
        mark = Handled(what=what, at=NOW, topic=place[0], partition=place[1], offset=place[2])
        key = handled_key(partition, offset)
        log = self.logs["dead-letters.handled", partition]
        log.append((key, msgspec.msgpack.encode(mark), NOW))

    def marks(self) -> dict[str, tuple[str, str, int, int]]:
        """By the places of letters: what was done, and with which record."""
        found = {}
        for (topic, _), records in self.logs.items():
            if topic == Topic.HANDLED_LETTERS:
                for record in filter(None, records):
                    mark = msgspec.msgpack.decode(record[1] or b"", type=Handled)
                    place = (mark.topic, mark.partition, mark.offset)
                    found[(record[0] or b"").decode()] = (mark.what, *place)
        return found

    def published(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        """Keys and values that were published to a topic."""
        return [
            record[:2]
            for (name, _), records in self.logs.items()
            if name == topic
            for record in filter(None, records)
        ]


class Consumer:
    """Reads one partition, and tells of its end."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._queue: list[Message] = []

    def list_topics(self, timeout: float) -> Any:
        assert timeout
        topics: dict[str, Any] = {}
        for topic, partition in self._kafka.logs:
            there = topics.setdefault(topic, SimpleNamespace(partitions={}))
            there.partitions[partition] = None
        return SimpleNamespace(topics=topics)

    def get_watermark_offsets(
        self, where: TopicPartition, _timeout: float, *, cached: bool
    ) -> tuple[int, int]:
        assert not cached
        return 0, len(self._kafka.logs[where.topic, where.partition])

    def offsets_for_times(
        self, asked: list[TopicPartition], _timeout: float
    ) -> list[TopicPartition]:
        found = []
        for each in asked:
            log = self._kafka.logs[each.topic, each.partition]
            late = [n for n, record in enumerate(log) if record and record[2] >= each.offset]
            found.append(TopicPartition(each.topic, each.partition, min(late, default=-1)))
        return found

    def assign(self, where: list[TopicPartition]) -> None:
        (one,) = where
        place = (one.topic, one.partition)
        records = list(enumerate(self._kafka.logs[place]))[one.offset :]
        end = KafkaError(KafkaError._PARTITION_EOF)
        self._queue = [
            *self._kafka.stale,
            *(Message(place, n, record) for n, record in records if record is not None),
            Message(place, len(self._kafka.logs[place]), said=end),
        ]

    def consume(self, count: int, _timeout: float) -> list[Message]:
        taken, self._queue = self._queue[:count], self._queue[count:]
        return taken

    def close(self) -> None:
        self._queue.clear()


class Producer:
    """A transactional producer: the one that was made last owns the transactional id."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._open: list[tuple[str, bytes, bytes, int]] | None = None
        self.aborted = 0
        kafka.owner = self

    def begin_transaction(self) -> None:
        assert self._open is None
        self._open = []

    def produce(
        self, topic: str, value: bytes, key: bytes, partition: int, headers: Any = ()
    ) -> None:
        assert self._open is not None
        self._open.append((topic, value, key, max(0, partition)))
        self._kafka.headers += headers

    def commit_transaction(self, _timeout: float) -> None:
        assert self._open is not None
        if self._kafka.owner is not self:
            raise KafkaException(KafkaError(KafkaError._FENCED, "fenced", fatal=True))
        if self._kafka.faults:
            raise self._kafka.faults.pop()
        self._kafka.transactions.append([topic for topic, *_ in self._open])
        for topic, value, key, partition in self._open:
            self._kafka.logs[topic, partition] += [(key, value, NOW), None]
        self._open = None

    def abort_transaction(self, _timeout: float) -> None:
        self._open = None
        self.aborted += 1
