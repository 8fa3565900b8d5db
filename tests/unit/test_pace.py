"""Pace: work rests while readers have yet to confirm a window's deliveries."""

from __future__ import annotations

import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from connectors.lag import Standing
from streams.engine import pace as pace_module
from streams.engine.pace import LOOK_SECONDS, REST_SECONDS, SHARE, WINDOW, Pace

PLACE, OTHER = ("timeline-writes", 0), ("timeline-writes", 1)
RECORDS = 5


class Bench:
    """A pace with its own clock, and what its readers say."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ends = {PLACE: 10, OTHER: 5}
        self.read = {PLACE: 10, OTHER: 5}
        self.pace = Pace(self.standings, clock=lambda: self.now)

    def standings(self) -> dict[tuple[str, int], Standing]:
        return {place: Standing(self.read[place], end) for place, end in self.ends.items()}

    def work(self, deliveries: int) -> None:
        """A piece of work is in the topic: records, and the marker of its transaction."""
        self.ends[PLACE] += RECORDS + 1
        self.pace.worked(deliveries)

    def rests(self) -> bool:
        """Whether work is to wait, as a look tells."""
        self.pace.look()
        return self.pace.rests()


def test_who_has_less_than_a_window_to_do_is_not_waited_for() -> None:
    bench = Bench()
    assert not bench.rests()
    bench.work(WINDOW - 1)
    assert not bench.rests()
    bench.work(1)
    assert bench.pace.rests(), "before the next look"
    assert bench.rests()


def test_who_keeps_up_is_not_waited_for() -> None:
    bench = Bench()
    for _ in range(9):
        bench.work(WINDOW)
        assert bench.pace.rests()
        bench.read[PLACE] = bench.ends[PLACE] - 1
        assert not bench.rests(), "the last is a transaction's marker"


def test_pieces_are_confirmed_in_order_as_all_readers_get_behind_them() -> None:
    bench = Bench()
    for _ in range(3):
        bench.work(WINDOW // 2)
        bench.pace.look()
    bench.read[PLACE] += RECORDS - 1
    assert bench.rests(), "a record of the first is missing"
    bench.read[PLACE] += 1
    assert bench.rests(), "two halves are left"
    bench.ends[OTHER] += 2
    bench.read[PLACE] += RECORDS + 1
    assert not bench.rests()
    bench.work(WINDOW)
    assert bench.rests()
    bench.read[PLACE] = bench.ends[PLACE]
    assert bench.rests(), "what others wrote before the last piece is not confirmed"
    bench.read[OTHER] += 1
    assert not bench.rests()


def test_what_comes_after_a_look_is_not_confirmed_by_it() -> None:
    """It may be in the topic behind the ends that were read."""
    bench = Bench()
    bench.work(WINDOW)

    def read() -> dict[tuple[str, int], Standing]:
        found = bench.standings()
        bench.pace.worked(WINDOW)
        return found

    bench.read[PLACE] = bench.ends[PLACE]
    bench.pace._read = read
    assert bench.rests()


def test_a_reader_that_stands_still_is_waited_for_a_while() -> None:
    bench = Bench()
    bench.work(WINDOW)
    bench.now += 0.9 * REST_SECONDS
    assert bench.rests()
    bench.now += 0.2 * REST_SECONDS
    assert not bench.rests()
    bench.work(1)
    assert bench.rests(), "it goes on slowly"


def test_it_has_its_share_of_the_time_when_there_is_other_work() -> None:
    bench = Bench()
    for others in (True, False):
        bench.work(WINDOW)
        if others:
            bench.pace.met_others()
        bench.now += 0.1
        assert bench.rests()
        bench.read[PLACE] = bench.ends[PLACE]
        assert bench.rests() is others
        bench.now += 0.1 * (1 / SHARE - 1) - 0.01
        assert bench.pace.rests() is others
        bench.now += 0.02
        assert not bench.pace.rests()


def test_it_says_so_when_the_share_of_others_is_over() -> None:
    resumed = threading.Event()
    answers = iter([Standing(0, 9), Standing(9, 9)])
    pace = Pace(lambda: {PLACE: next(answers)}, resumed.set)
    began = time.monotonic()
    pace.worked(WINDOW)
    pace.met_others()
    pace.start()
    assert resumed.wait(5)
    assert time.monotonic() - began >= LOOK_SECONDS / SHARE, "it was confirmed by the second look"
    assert not pace.rests()
    pace.stop()


def test_it_looks_while_something_is_not_confirmed() -> None:
    """And says so when work may go on; it does not wait for a Kafka that does not answer."""
    answers = [Standing(0, 9), Standing(0, 9), Standing(9, 9)]
    looked, resumed = threading.Semaphore(0), threading.Event()

    def read() -> dict[tuple[str, int], Standing]:
        looked.release()
        if not answers:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return {PLACE: answers.pop(0)}

    pace = Pace(read, resumed.set)
    pace.start()
    assert not looked.acquire(timeout=0.1), "without work"
    pace.worked(WINDOW)
    for _ in range(3):
        assert looked.acquire(timeout=5)
    assert resumed.wait(5)
    assert not pace.rests()
    assert not looked.acquire(timeout=0.1), "all is confirmed"
    resumed.clear()
    pace.worked(WINDOW)
    assert resumed.wait(5)
    assert not pace.rests(), "Kafka did not answer"
    pace.worked(1)
    pace.stop()
    pace._thread.join(5)
    assert not pace._thread.is_alive()


def test_it_ends_while_something_is_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "LOOK_SECONDS", 0.001)
    pace = Pace(lambda: {PLACE: Standing(0, 9)})
    pace.start()
    pace.worked(1)
    time.sleep(0.02)
    pace.stop()
    pace._thread.join(5)
    assert not pace._thread.is_alive()
