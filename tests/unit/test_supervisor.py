"""The supervisor starts again what has ended, and gives up when that does not help."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast
from unittest import mock

import pytest

from connectors.stack.addresses import Addresses
from connectors.stack.errors import PartDied
from headrace import supervisor as supervisor_module
from headrace.supervisor import RESTARTS, Supervisor, _Worker, keep_running


class Child:
    """Stands in for a process."""

    def __init__(self) -> None:
        self.alive = True
        self.starts = 0
        self.pid = 7
        self.log = Path("x.log")

    def is_alive(self) -> bool:
        return self.alive

    def start(self, *_: Any, **__: Any) -> None:
        self.alive = True
        self.starts += 1

    def close(self) -> None:
        pass

    def death(self) -> PartDied:
        return PartDied("x died", "the last line", "look at the log")


class Bench:
    """A supervisor of two processes, and its clock."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        self.said: list[str] = []
        monkeypatch.setattr(supervisor_module.time, "monotonic", lambda: self.now)
        self.children = {"app": Child(), "views": Child()}
        addresses = Addresses(kafka="", redis="", cassandra="")
        self.supervisor = Supervisor(addresses, (), log_dir=tmp_path, say=self.said.append)
        for name, child in self.children.items():
            worker = _Worker(name, mock.Mock(number=80), cast(Any, child), ["x"], {}, "/")
            self.supervisor._workers[name] = worker

    def die(self, name: str, seconds_later: float) -> None:
        """One ends, and the supervisor looks after it."""
        self.now += seconds_later
        self.children[name].alive = False
        self.supervisor.tend()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_what_runs_is_left_alone(bench: Bench) -> None:
    bench.supervisor.tend()
    bench.supervisor.check()
    assert [child.starts for child in bench.children.values()] == [0, 0]
    assert bench.said == []


def test_what_has_ended_is_started_again(bench: Bench) -> None:
    bench.die("views", 0)
    assert [child.starts for child in bench.children.values()] == [0, 1]
    assert bench.said == ["views: ended, starting it again; its log is x.log"]
    bench.supervisor.check()


def test_five_ends_a_minute_are_borne(bench: Bench) -> None:
    for _ in range(RESTARTS):
        bench.die("app", 10)
    with pytest.raises(PartDied, match="x died"):
        bench.die("app", 9)
    assert bench.children["app"].starts == RESTARTS


def test_rare_ends_are_borne_for_ever(bench: Bench) -> None:
    for _ in range(10 * RESTARTS):
        bench.die("app", 12.5)
    assert bench.children["app"].starts == 10 * RESTARTS


def test_ends_are_counted_for_each_process(bench: Bench) -> None:
    for _ in range(RESTARTS):
        bench.die("app", 1)
        bench.die("views", 1)
    assert [child.starts for child in bench.children.values()] == [RESTARTS, RESTARTS]


def test_a_check_says_what_has_ended(bench: Bench) -> None:
    bench.children["views"].alive = False
    with pytest.raises(PartDied, match="x died"):
        bench.supervisor.check()


def test_tending_goes_on_until_it_is_told_to_stop() -> None:
    stop = mock.create_autospec(threading.Event, instance=True)
    stop.wait.side_effect = [False, False, True]
    tended, check = mock.create_autospec(Supervisor, instance=True), mock.Mock()
    keep_running(tended, check, stop)
    assert tended.tend.call_count == check.call_count == 2


def test_ctrl_c_ends_the_tending() -> None:
    stop = mock.create_autospec(threading.Event, instance=True)
    stop.wait.side_effect = KeyboardInterrupt
    tended = mock.create_autospec(Supervisor, instance=True)
    keep_running(tended, mock.Mock(), stop)
    assert tended.tend.call_count == 0
