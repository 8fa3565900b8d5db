"""Topics merged by time: a consumer that gives each partition in its order, and all mixed up."""

from __future__ import annotations

from itertools import chain
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from connectors import merged_log
from connectors.merged_log import MergedLogError, Record, merged


class Message:
    def __init__(self, topic: str, partition: int, offset: int, at: int | None) -> None:
        self._place, self._offset, self._at = (topic, partition), offset, at

    def error(self) -> Any:
        return KafkaError(KafkaError._PARTITION_EOF) if self._at is None else None

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        assert self._at is not None
        return 1, self._at

    def value(self) -> bytes:
        return f"{self._place[0]}/{self._place[1]}/{self._offset}".encode()


class Consumer:
    """Partitions with the times of their records; gives some of those that are not paused."""

    def __init__(self, logs: dict[tuple[str, int], list[int]], extra: int = 0) -> None:
        self.logs, self._extra, self._random = logs, extra, Random(3)
        self._next: dict[tuple[str, int], int] = {}
        self.paused: set[tuple[str, int]] = set()
        self.most_open = 0

    def list_topics(self, timeout: float) -> Any:
        assert timeout
        topics: dict[str, Any] = {}
        for topic, number in self.logs:
            topics.setdefault(topic, SimpleNamespace(partitions={})).partitions[number] = None
        return SimpleNamespace(topics=topics)

    def get_watermark_offsets(
        self, place: TopicPartition, timeout: float, *, cached: bool
    ) -> tuple[int, int]:
        assert timeout
        assert not cached
        return 0, len(self.logs[place.topic, place.partition]) - self._extra

    def assign(self, places: list[TopicPartition]) -> None:
        self._next = {(each.topic, each.partition): each.offset for each in places}

    def offsets_for_times(self, places: list[TopicPartition], timeout: float) -> Any:
        assert timeout
        found = []
        for each in places:
            times = self.logs[each.topic, each.partition]
            later = [n for n, at in enumerate(times) if at >= each.offset]
            found.append(TopicPartition(each.topic, each.partition, (later or [-1])[0]))
        return found

    def pause(self, places: list[TopicPartition]) -> None:
        self.paused |= {(each.topic, each.partition) for each in places}

    def resume(self, places: list[TopicPartition]) -> None:
        self.paused -= {(each.topic, each.partition) for each in places}

    def consume(self, number: int, _timeout: float) -> list[Message]:
        found = []
        open_ones = [place for place in self._next if place not in self.paused]
        for place in self._random.sample(open_ones, min(1, len(open_ones))):
            for _ in range(min(number, 1 + self._random.randrange(3))):
                offset, times = self._next[place], self.logs[place]
                at = times[offset] if offset < len(times) else None
                found.append(Message(*place, offset, at))
                if at is None:
                    break
                self._next[place] += 1
        return found


LOGS = {
    ("a", 0): [1, 5, 9, 9, 20],
    ("a", 1): [],
    ("b", 0): [2, 3, 4, 30],
    ("b", 1): [6],
}


def read(consumer: Consumer, until: int | None = None, since: int | None = None) -> list[Record]:
    return list(merged(consumer, ["a", "b"], since, until))


def test_records_come_by_time_each_once() -> None:
    found = read(Consumer(LOGS))
    assert [record.at for record in found] == sorted(chain(*LOGS.values()))
    assert len({record.value for record in found}) == len(found)
    assert [r.value for r in found if r.topic == "a"] == [f"a/0/{n}".encode() for n in range(5)]


def test_reading_ends_at_a_time_and_at_what_was_there() -> None:
    assert [record.at for record in read(Consumer(LOGS), 9)] == [1, 2, 3, 4, 5, 6, 9, 9]
    logs = {place: [*times, 99] for place, times in LOGS.items()}
    assert [record.at for record in read(Consumer(logs, extra=1))][-1] == 30


def test_reading_begins_at_a_time() -> None:
    assert [record.at for record in read(Consumer(LOGS), since=6)] == [6, 9, 9, 20, 30]
    assert read(Consumer(LOGS), since=31) == []


def test_who_is_far_ahead_is_paused_and_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged_log, "MOST_AHEAD", 4)
    monkeypatch.setattr(merged_log, "FETCHED", 2)
    logs = {("a", 0): list(range(100)), ("b", 0): list(range(0, 1_000, 10))}
    consumer = Consumer(logs)
    resumed = []
    resume = consumer.resume

    def noted(places: list[TopicPartition]) -> None:
        resumed.extend(places)
        resume(places)

    consumer.resume = noted  # type: ignore[method-assign]
    assert [record.at for record in read(consumer)] == sorted(chain(*logs.values()))
    assert resumed


def test_a_topic_that_is_not_there_and_silence_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MergedLogError, match="no topic c"):
        list(merged(Consumer(LOGS), ["a", "c"], None, None))
    monkeypatch.setattr(merged_log, "SILENCE_S", -1.0)
    silent = Consumer(LOGS)
    monkeypatch.setattr(silent, "consume", lambda _number, _timeout: [])
    with pytest.raises(MergedLogError, match="sent nothing"):
        read(silent)
