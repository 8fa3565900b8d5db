"""Stalls: partitions that should move and do not."""

from __future__ import annotations

import threading

import pytest
from faust.types import TP

from connectors.transport import Progress
from streams.engine import watchdog
from streams.engine.watchdog import Stalls, Watchdog

ONE, OTHER = TP("posts", 1), TP("posts", 2)


class Bench:
    """A look every 10 s, with a limit of 30 s."""

    def __init__(self) -> None:
        self.stalls = Stalls(30)
        self.waiting: set[TP] = set()

    def look(self, *, seconds: float = 10, **progress: tuple[int, bool]) -> str | None:
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
