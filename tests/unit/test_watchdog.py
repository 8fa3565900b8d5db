"""Stalls: partitions that should move and do not."""

from __future__ import annotations

import threading
from typing import Any
from unittest import mock

import pytest
from faust.types import TP

from connectors.transport import Progress
from streams.engine import watchdog
from streams.engine.exits import Exit
from streams.engine.watchdog import OPENING_SECONDS, Openings, Stalls, Watchdog

ONE, OTHER = TP("posts", 1), TP("posts", 2)


class Bench:
    """A look every 10 s, with a limit of 30 s."""

    def __init__(self) -> None:
        self.stalls = Stalls(30)
        self.waiting: set[TP] = set()

    def look(self, *, seconds: float = 10, **progress: tuple[Any, ...]) -> str | None:
        places = {"one": ONE, "other": OTHER}
        seen = {places[name]: Progress(*now) for name, now in progress.items()}
        return self.stalls.look(seconds, seen, self.waiting.__contains__)


def test_what_stands_still_for_too_long_is_named() -> None:
    bench = Bench()
    assert [bench.look(one=(7, True), other=(3, False)) for _ in range(3)] == [None] * 3
    reason = bench.look(one=(7, True), other=(3, False))
    assert reason is not None
    assert reason.startswith("posts/1 has stood at 7 for 40 s")


def test_what_moves_does_not_stall() -> None:
    bench = Bench()
    assert [bench.look(one=(n // 3, True)) for n in range(30)] == [None] * 30


def test_work_without_records_moves_too() -> None:
    bench = Bench()
    assert [bench.look(one=(7, True, n // 3)) for n in range(30)] == [None] * 30
    assert [bench.look(one=(7, True, 10)) for _ in range(4)] == [None] * 4
    assert bench.look(one=(7, True, 10)) is not None


def test_what_is_idle_does_not_stall() -> None:
    bench = Bench()
    assert [bench.look(one=(7, n % 3 != 0)) for n in range(30)] == [None] * 30


def test_a_store_that_is_waited_for_is_no_stall_and_begins_anew() -> None:
    bench = Bench()
    bench.look(one=(7, True))
    bench.look(one=(7, True))
    bench.waiting = {ONE}
    assert [bench.look(one=(7, True)) for _ in range(30)] == [None] * 30
    bench.waiting = set()
    assert [bench.look(one=(7, True)) for _ in range(3)] == [None] * 3
    assert bench.look(one=(7, True)) is not None


def test_a_partition_that_went_and_came_back_begins_anew() -> None:
    bench = Bench()
    bench.look(one=(7, True))
    bench.look(one=(7, True))
    bench.look(other=(1, False))
    assert [bench.look(one=(7, True)) for _ in range(3)] == [None] * 3


# Partitions that are being opened


class OpeningBench:
    """A look every 10 s, with a limit of 120 s."""

    def __init__(self, limit: float = 120) -> None:
        self.openings = Openings(limit)
        self.waiting: set[TP] = set()

    def look(self, **rows: int | None) -> str | None:
        places = {"one": ONE, "other": OTHER}
        seen = {places[name]: count for name, count in rows.items()}
        return self.openings.look(10, seen, self.waiting.__contains__)


def test_who_does_not_finish_opening_is_named() -> None:
    bench = OpeningBench()
    assert [bench.look(one=None) for _ in range(13)] == [None] * 13
    reason = bench.look(one=None)
    assert reason == (
        "posts/1 has been opening for 130 s, of which nothing moved for 130 s (1 partitions in all)"
    )


def test_a_restore_that_moves_does_not_stall_and_one_that_stops_does() -> None:
    bench = OpeningBench()
    bench.look(one=None)
    assert [bench.look(one=n // 12) for n in range(48)] == [None] * 48
    found = [bench.look(one=4) for _ in range(14)]
    assert found[:-1] == [None] * 13
    assert str(found[-1]).startswith("posts/1 has been opening for 620 s, of which nothing moved")


def test_who_waits_behind_others_that_open_does_not_stall() -> None:
    bench = OpeningBench()
    assert [bench.look(one=None, other=n) for n in range(30)] == [None] * 30
    assert [bench.look(one=None) for _ in range(13)] == [None] * 13, "the other is open"
    assert str(bench.look(one=None)).startswith("posts/1 has been opening for 430 s")


def test_what_opens_and_waits_for_a_store_does_not_stall() -> None:
    bench = OpeningBench()
    bench.waiting = {ONE}
    assert [bench.look(one=None) for _ in range(30)] == [None] * 30
    bench.waiting = set()
    assert [bench.look(one=None) for _ in range(13)] == [None] * 13
    assert bench.look(one=None) is not None


def test_nothing_that_opens_does_not_stall() -> None:
    bench = OpeningBench()
    assert [bench.look() for _ in range(30)] == [None] * 30


def test_what_opening_waits_for_by_itself_is_left_to_it() -> None:
    """It gives up with a better reason."""
    bench = OpeningBench(limit=1)
    looks = int(OPENING_SECONDS) // 10 + 1
    assert [bench.look(one=None) for _ in range(looks)] == [None] * looks
    assert bench.look(one=None) is not None


# The thread


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Exit, str]]:
    """How the process was ended; its log says nothing, and looks come quickly."""
    found: list[tuple[Exit, str]] = []
    monkeypatch.setattr(watchdog, "end", lambda code, reason: found.append((code, reason)))
    monkeypatch.setattr(watchdog, "log", mock.Mock())
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.01)
    return found


def test_a_look_that_fails_ends_the_process(ended: list[tuple[Exit, str]]) -> None:
    dog = Watchdog(mock.Mock(side_effect=[None, ValueError("not there")]))
    dog.start()
    dog._thread.join(5)
    assert ended == [(Exit.FAULT, "the watchdog failed: ValueError: not there")]


def test_a_look_that_fails_while_all_stops_does_not(ended: list[tuple[Exit, str]]) -> None:
    def look(_seconds: float) -> None:
        dog.stop()
        raise ValueError("stopped already")

    dog = Watchdog(look)
    dog.start()
    dog._thread.join(5)
    assert not dog._thread.is_alive()
    assert ended == []


def test_the_thread_tells_how_much_time_went_by_but_not_all_of_a_long_sleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Time in which the process was stopped is not counted: nothing could move in it."""
    times = iter([0.0, 0.01, 500.0, 500.01, 500.02])
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: next(times))
    told: list[float] = []
    is_over = threading.Event()

    def look(seconds: float) -> None:
        told.append(seconds)
        if len(told) == 3:
            dog.stop()
            is_over.set()

    dog = Watchdog(look)
    dog.start()
    assert is_over.wait(5)
    assert told == pytest.approx([0.01, 0.02, 0.01])
