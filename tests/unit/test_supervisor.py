"""The supervisor starts again what has ended, less often when that does not help."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast
from unittest import mock

import pytest

from connectors.stack.addresses import Addresses
from connectors.stack.errors import PartDied
from headrace import supervisor as supervisor_module
from headrace.supervised import STEADY_SECONDS, Supervised
from headrace.supervisor import Supervisor, keep_running
from tests.unit.test_claim import another


class Child:
    """Stands in for a process."""

    def __init__(self) -> None:
        self.alive = True
        self.starts = 0
        self.waits = 0
        self.pid = 7
        self.log = Path("x.log")

    def is_alive(self) -> bool:
        return self.alive

    def start(self, *_: Any, **__: Any) -> None:
        self.alive = True
        self.starts += 1

    def close(self) -> None:
        pass

    def wait_ready(self, *_: Any) -> None:
        self.waits += 1

    def epitaph(self) -> str:
        return "ended with code 70: why"

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
            worker = Supervised(name, mock.Mock(number=80), cast(Any, child), ["x"], {}, "/")
            self.supervisor._workers[name] = worker

    def die(self, name: str, seconds_later: float) -> None:
        """One ends, and the supervisor looks after it."""
        self.now += seconds_later
        self.children[name].alive = False
        self.supervisor.tend()

    def wait(self, seconds: float) -> None:
        """Time passes, and the supervisor looks."""
        self.now += seconds
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
    assert bench.said == ["views: ended with code 70: why\n  starting it again now"]
    bench.supervisor.check()


def test_what_ends_soon_again_is_started_later_each_time(bench: Bench) -> None:
    child = bench.children["app"]
    bench.die("app", 0)
    for pause in (1, 2, 4, 8, 16, 30, 30):
        starts = child.starts
        bench.die("app", 5)
        assert bench.said[-1].endswith(f"starting it again in {pause} s")
        bench.wait(pause - 0.5)
        assert child.starts == starts
        bench.wait(0.5)
        assert child.starts == starts + 1


def test_what_had_run_well_is_started_at_once(bench: Bench) -> None:
    for _ in range(20):
        bench.die("app", STEADY_SECONDS)
    assert bench.children["app"].starts == 20


def test_one_that_keeps_ending_leaves_the_others_alone(bench: Bench) -> None:
    for _ in range(5):
        bench.die("app", 5)
    bench.die("views", 5)
    assert bench.said[-1].startswith("views")
    assert bench.children["views"].starts == 1


def test_a_check_says_what_has_ended(bench: Bench) -> None:
    bench.children["views"].alive = False
    with pytest.raises(PartDied, match="x died"):
        bench.supervisor.check()


@pytest.fixture
def renewed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who is replaced."""
    done: list[str] = []

    def replace(worker: Supervised, _: threading.Event) -> tuple[float, int]:
        if worker.name == "app":
            raise bench.children["app"].death()
        done.append(worker.name)
        return 0.2, 0

    monkeypatch.setattr(Supervised, "replace", replace)
    for name in ("api", "archive"):
        child = bench.children[name] = Child()
        worker = Supervised(name, mock.Mock(number=80), cast(Any, child), ["x"], {}, "/")
        bench.supervisor._workers[name] = worker
    return done


def test_who_reads_is_replaced_before_who_writes(bench: Bench, renewed: list[str]) -> None:
    del bench.supervisor._workers["app"]
    bench.supervisor.renew(threading.Event())
    assert renewed == ["archive", "views", "api"]
    assert bench.said[-1] == "api: replaced; the old one ended with code 0 in 0.2 s"
    assert [bench.children[name].waits for name in renewed] == [1, 1, 1]


def test_one_that_cannot_be_replaced_leaves_the_others(bench: Bench, renewed: list[str]) -> None:
    bench.supervisor.renew(threading.Event())
    assert renewed == ["archive", "views"]
    assert bench.said[-1].startswith("app: cannot be replaced, the others are left as they are: x")
    assert "hint: look at the log" in bench.said[-1]


def test_who_is_to_stop_replaces_no_more(bench: Bench, renewed: list[str]) -> None:
    stop = threading.Event()
    stop.set()
    bench.supervisor.renew(stop)
    assert (renewed, bench.said) == ([], [])


def _of_app(log_dir: Path) -> tuple[Path, str]:
    """Where a supervisor has its logs, and how it names the worker of `app`."""
    addresses = Addresses(kafka="", redis="", cassandra="")
    supervisor = Supervisor(addresses, ("app",), log_dir=log_dir)
    worker = supervisor._worker("app")
    worker.port.release()
    return supervisor.log_dir, worker.env["HEADRACE_WORKER_ID"]


def test_a_worker_has_the_same_name_whenever_it_is_started(tmp_path: Path) -> None:
    assert _of_app(tmp_path / "logs") == _of_app(tmp_path / "logs")
    assert _of_app(tmp_path / "others") != _of_app(tmp_path / "logs")


def test_a_second_supervisor_has_names_and_logs_of_its_own(tmp_path: Path) -> None:
    log_dir, first = _of_app(tmp_path / "logs")
    with another(tmp_path / "busy"):
        second_dir, second = _of_app(tmp_path / "busy")
    assert log_dir == tmp_path / "logs"
    assert second_dir == tmp_path / "busy-2"
    assert second not in (first, _of_app(tmp_path / "busy")[1])


def test_a_name_that_is_set_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = supervisor_module.settings().model_copy(update={"worker_id": "one"})
    monkeypatch.setattr(supervisor_module, "settings", lambda: config)
    assert _of_app(tmp_path / "logs")[1] == "one"


def test_tending_goes_on_until_it_is_told_to_stop() -> None:
    stop = mock.create_autospec(threading.Event, instance=True)
    stop.wait.side_effect = [False, False, True]
    tended, check = mock.create_autospec(Supervisor, instance=True), mock.Mock()
    keep_running(tended, check, stop)
    assert tended.tend.call_count == check.call_count == 2


def test_all_are_replaced_once_when_that_is_asked_for() -> None:
    stop, renewal = mock.create_autospec(threading.Event, instance=True), threading.Event()
    stop.wait.side_effect = [False, False, True]
    renewal.set()
    tended = mock.create_autospec(Supervisor, instance=True)
    keep_running(tended, mock.Mock(), stop, renewal)
    assert tended.renew.mock_calls == [mock.call(stop)]


def test_ctrl_c_ends_the_tending() -> None:
    stop = mock.create_autospec(threading.Event, instance=True)
    stop.wait.side_effect = KeyboardInterrupt
    tended = mock.create_autospec(Supervisor, instance=True)
    keep_running(tended, mock.Mock(), stop)
    assert tended.tend.call_count == 0
