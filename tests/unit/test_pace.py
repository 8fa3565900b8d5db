"""Pace: work rests while a reader has not got to what was there a moment ago."""

from __future__ import annotations

import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from connectors.lag import Standing
from streams.engine import pace as pace_module
from streams.engine.pace import BEHIND_SECONDS, REST_SECONDS, Pace

PLACE, OTHER = ("timeline-writes", 0), ("timeline-writes", 1)


class Bench:
    """A pace with its own clock, and what its readers say."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ends = {PLACE: 10, OTHER: 5}
        self.read = {PLACE: 10, OTHER: 5}
        self.pace = Pace(
            lambda: {place: Standing(self.read[place], end) for place, end in self.ends.items()},
            clock=lambda: self.now,
        )

    def look(self, seconds: float = 0.1) -> bool:
        """Whether it rests, after a look so much later; a piece of work was just done."""
        self.now += seconds
        self.pace.worked()
        self.pace.look()
        return self.pace.rests()


def test_who_is_at_the_end_is_not_waited_for() -> None:
    bench = Bench()
    assert not any(bench.look() for _ in range(9))


def test_who_keeps_up_is_not_waited_for() -> None:
    bench = Bench()
    for _ in range(9):
        bench.read[PLACE] = bench.ends[PLACE]
        bench.ends[PLACE] += 100
        assert not bench.look()


def test_who_is_behind_is_waited_for() -> None:
    bench = Bench()
    bench.look()
    bench.ends[PLACE] += 100
    rests = [bench.look() for _ in range(9)]
    assert rests.index(True) == pytest.approx(BEHIND_SECONDS / 0.1, abs=1)
    assert all(rests[rests.index(True) :])
    bench.read[PLACE] += 98
    assert bench.look()
    bench.read[PLACE] += 1
    assert not bench.look(), "the last is a transaction's marker"


def test_a_reader_that_stands_still_is_waited_for_a_while() -> None:
    bench = Bench()
    bench.ends[PLACE] += 100
    while not bench.look():
        pass
    bench.now += 0.9 * REST_SECONDS
    assert bench.pace.rests()
    bench.now += 0.2 * REST_SECONDS
    assert not bench.pace.rests()


def test_it_looks_while_there_is_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on when Kafka did not answer."""
    looked = threading.Semaphore(0)
    answers: list[Exception] = [KafkaException(KafkaError(KafkaError._TRANSPORT))]

    def read() -> dict[tuple[str, int], Standing]:
        looked.release()
        if answers:
            raise answers.pop()
        return {PLACE: Standing(0, 9)}

    monkeypatch.setattr(pace_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(pace_module, "BEHIND_SECONDS", 0.0)
    monkeypatch.setattr(pace_module, "AWAKE_SECONDS", 0.2)
    pace = Pace(read)
    pace.start()
    assert not looked.acquire(timeout=0.1), "without work"
    pace.worked()
    for _ in range(4):
        assert looked.acquire(timeout=5)
    pace.stop()
    pace._thread.join(5)
    assert not pace._thread.is_alive()
    assert not pace.rests(), "when it has ended"
