"""Where a restore ends: at the end that the changelog had when its former owner was fenced."""

from __future__ import annotations

from contextlib import closing
from typing import Any
from unittest import mock

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from msgspec import Struct

from streams.engine import restore as restore_module
from streams.engine.restore import Ends, Progress, RestoreError, restore
from streams.engine.rows import Snapshot
from streams.engine.state import State


class Row(Struct, frozen=True, array_like=True):
    """A row."""

    n: int


class Message:
    """A record of the changelog, or what is told at an offset instead of one."""

    def __init__(self, offset: int, fault: int = 0) -> None:
        self._offset, self._fault = offset, fault

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return f"row\0e{self._offset}".encode()

    def value(self) -> bytes:
        return b"\x91\x01"

    def error(self) -> KafkaError | None:
        return KafkaError(self._fault) if self._fault else None


def eof(offset: int) -> Message:
    """The consumer stands at the end of what the leader shows, to read this offset next."""
    return Message(offset, KafkaError._PARTITION_EOF)


class Kafka:
    """A changelog whose end is asked for, and then read, as told; nothing comes after that.
    Each call takes a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, end: int, *fetches: list[Message]) -> None:
        self.first, self.end = 0, end
        self.fetches = list(fetches)
        self.asked: list[tuple[str, int, float, bool]] = []
        self.faults: list[Exception] = []
        self.now = 0.0
        self.open = 0
        monkeypatch.setattr(restore_module, "Consumer", self.make)
        clock = mock.Mock(monotonic=lambda: self.now, time_ns=lambda: 10**18)
        monkeypatch.setattr(restore_module, "time", clock)

    def get_watermark_offsets(
        self, place: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        self.asked.append((place.topic, place.partition, timeout, cached))
        self.now += 1
        if self.faults:
            raise self.faults.pop()
        return self.first, self.end

    def assign(self, _places: list[TopicPartition]) -> None:
        assert self.asked, "what is read before the end is known may be read too early"

    def consume(self, _most: int, _timeout: float) -> list[Message]:
        self.now += 1
        return self.fetches.pop(0) if self.fetches else []

    def make(self, _config: dict[str, Any]) -> Kafka:
        """A consumer."""
        self.open += 1
        return self

    def close(self) -> None:
        self.open -= 1


def restored() -> tuple[State, Progress]:
    state: Any = State()
    state.table("row", Row)
    progress = Progress()
    with closing(Ends("")) as ends:
        restore(ends, "posts", 2, state, progress)
    return state, progress


def test_the_end_is_where_the_changelog_ended_when_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Offset 2 is that of a commit marker."""
    kafka = Kafka(monkeypatch, 3, [Message(0), Message(1)], [eof(3)])
    state, progress = restored()
    assert progress == Progress(rows=2, percent=100.0)
    assert state.sizes() == {"row": 2}
    assert kafka.asked == [("changelog.posts", 2, 30.0, False)]
    assert kafka.open == 0


@pytest.mark.parametrize(
    ("stood", "first", "end", "is_read"),
    [
        (5, 0, 5, False),
        (5, 0, 6, False),  # the marker of its own transaction
        (5, 5, 6, False),
        (5, 0, 7, True),
        (5, 0, 4, True),
        (5, 6, 6, True),
        (None, 3, 3, False),
        (None, 0, 1, True),
    ],
)
def test_a_changelog_that_has_nothing_more_is_not_read(
    monkeypatch: pytest.MonkeyPatch, stood: int | None, first: int, end: int, *, is_read: bool
) -> None:
    made: list[str] = []
    kafka = Kafka(monkeypatch, end)
    kafka.first = first
    monkeypatch.setattr(
        restore_module, "Consumer", lambda config: made.append(config["group.id"]) or kafka
    )
    monkeypatch.setattr(restore_module, "outlived", lambda _: None)
    state: Any = State()
    if stood is not None:
        state.restore(dict([State.position_change(3)]), stood, 10**12 - 60_000)
    progress = Progress()
    if is_read:
        with pytest.raises(RestoreError, match="no record for 30 s"):
            restore(Ends(""), "posts", 2, state, progress)
        assert made == ["restore-ends", "restore-posts-2"]
        return
    restore(Ends(""), "posts", 2, state, progress)
    assert made == ["restore-ends"]
    assert progress == Progress(rows=0, percent=100.0)
    if stood is not None:
        assert state.snapshot == Snapshot(3, stood, 10**12)


def test_an_empty_changelog_is_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    Kafka(monkeypatch, 0, [eof(0)])
    assert restored()[1] == Progress(rows=0, percent=100.0)


def test_the_end_that_a_new_leader_shows_too_early_is_not_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A leader that was elected a moment ago may not know yet what is replicated."""
    early = [eof(0)], [Message(0), eof(1)], [], [Message(1), Message(2)], [eof(4)]
    Kafka(monkeypatch, 4, *early)
    state, progress = restored()
    assert progress == Progress(rows=3, percent=100.0)
    assert state.sizes() == {"row": 3}


def test_percent_is_of_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = Kafka(monkeypatch, 8, [Message(0), Message(1)])
    state: Any = State()
    state.table("row", Row)
    progress = Progress()
    with pytest.raises(RestoreError):
        restore(Ends(""), "posts", 2, state, progress)
    assert progress == Progress(rows=2, percent=25.0)
    assert len(kafka.asked) == 1


@pytest.mark.parametrize(
    "told", [pytest.param([], id="nothing comes"), pytest.param([eof(1)], id="an early end")]
)
def test_an_end_that_is_not_reached_is_waited_for_for_30_seconds(
    monkeypatch: pytest.MonkeyPatch, told: list[Message]
) -> None:
    """However often an early end is told."""
    kafka = Kafka(monkeypatch, 3, [Message(0)], *[told] * 100)
    with pytest.raises(
        RestoreError, match="posts/2: no record for 30 s after 1 records, and it ends at 3"
    ):
        restored()
    assert 30 <= kafka.now < 40
    assert kafka.open == 0


def test_an_end_that_is_not_told_at_once_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kafka = Kafka(monkeypatch, 1, [Message(0)], [eof(1)])
    kafka.faults = [KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))] * 20
    assert restored()[1] == Progress(rows=1, percent=100.0)
    assert len(kafka.asked) == 21


def test_an_end_that_is_not_told_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = Kafka(monkeypatch, 3)
    kafka.faults = [KafkaException(KafkaError(KafkaError._TIMED_OUT))] * 100
    with pytest.raises(RestoreError, match=r"posts/2: its end was not told in 30 s: .*TIMED_OUT"):
        restored()
    assert 30 <= kafka.now < 40
    assert all(timeout > 0 for _, _, timeout, _ in kafka.asked)
    assert kafka.open == 0


def test_what_the_consumer_fails_with_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    Kafka(monkeypatch, 3, [Message(0), Message(1, KafkaError._FATAL)])
    with pytest.raises(KafkaException):
        restored()
