"""The supervisor starts again what has ended, less often when that does not help."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from unittest import mock

import pytest

from connectors.stack.addresses import Addresses
from connectors.stack.errors import Cancelled, PartDied, StackError
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
        self.failure: Exception | None = None
        self.unready: Exception | None = None
        self.pid = 7
        self.log = Path("x.log")

    def is_alive(self) -> bool:
        return self.alive

    def start(self, *_: Any, **__: Any) -> None:
        if self.failure is not None:
            raise self.failure
        self.alive = True
        self.starts += 1

    def close(self) -> None:
        pass

    def wait_ready(self, probe: Callable[[], str | None], *_: Any) -> None:
        self.waits += 1
        assert probe() == "200"
        if self.unready is not None:
            raise self.unready

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
def replaced(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who is replaced, of all four; while it happens, all are tended."""
    done: list[str] = []

    def replace(
        worker: Supervised, stop: threading.Event, *, look: Callable[[], None]
    ) -> tuple[float, int]:
        if stop.is_set():
            raise Cancelled("stopped")
        bench.children["views"].alive = False
        bench.now += STEADY_SECONDS
        look()
        assert bench.children["views"].alive
        if (failure := bench.children[worker.name].failure) is not None:
            raise failure
        done.append(worker.name)
        return 0.2, 0

    monkeypatch.setattr(Supervised, "replace", replace)
    monkeypatch.setattr(Supervised, "is_ready", lambda _: "200")
    for name in ("api", "archive"):
        child = bench.children[name] = Child()
        worker = Supervised(name, mock.Mock(number=80), cast(Any, child), ["x"], {}, "/")
        bench.supervisor._workers[name] = worker
    return done


def test_who_reads_is_replaced_before_who_writes(bench: Bench, replaced: list[str]) -> None:
    bench.supervisor.replace_all(threading.Event())
    assert replaced == ["archive", "views", "app", "api"]
    assert bench.said[-1] == "api: replaced; the old one ended with code 0 in 0.2 s"
    assert [bench.children[name].waits for name in replaced] == [1, 1, 1, 1]


@pytest.mark.parametrize("failure", [OSError("no memory"), PartDied("no memory", "", "wait")])
def test_one_that_cannot_be_replaced_leaves_the_others(
    bench: Bench, replaced: list[str], failure: Exception
) -> None:
    bench.children["app"].failure = failure
    bench.supervisor.replace_all(threading.Event())
    assert replaced == ["archive", "views"]
    assert bench.said[-1].startswith("app: not replaced, so the others are left as they are: no m")


def test_one_that_is_not_ready_leaves_the_others(bench: Bench, replaced: list[str]) -> None:
    bench.children["views"].unready = StackError("views did not answer within 120 s")
    bench.supervisor.replace_all(threading.Event())
    assert replaced == ["archive", "views"]
    assert bench.said[-2].startswith("views: replaced")
    assert bench.said[-1].startswith("views: not ready, so the others are left as they are: views")


def test_who_is_to_stop_replaces_no_more(bench: Bench, replaced: list[str]) -> None:
    bench.children["views"].unready = Cancelled("stopped")
    bench.supervisor.replace_all(threading.Event())
    assert replaced == ["archive", "views"]
    assert bench.said[-1].startswith("views: replaced")

    stop = threading.Event()
    stop.set()
    bench.supervisor.replace_all(stop)
    assert replaced == ["archive", "views"]


def test_what_cannot_even_be_started_is_tried_again_later(bench: Bench) -> None:
    child = bench.children["app"]
    child.failure = PartDied("app cannot be started: no memory")
    bench.die("app", 5)
    assert bench.said[-1] == "app cannot be started: no memory"
    bench.wait(0.5)
    assert (child.starts, bench.said[-1].splitlines()[1]) == (0, "  starting it again in 1 s")
    child.failure = None
    bench.wait(1)
    assert child.starts == 1


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
    stop, replacing = mock.create_autospec(threading.Event, instance=True), threading.Event()
    stop.wait.side_effect = [False, False, True]
    replacing.set()
    tended = mock.create_autospec(Supervisor, instance=True)
    keep_running(tended, mock.Mock(), stop, replacing)
    assert tended.replace_all.mock_calls == [mock.call(stop)]


def test_ctrl_c_ends_the_tending() -> None:
    stop = mock.create_autospec(threading.Event, instance=True)
    stop.wait.side_effect = KeyboardInterrupt
    tended = mock.create_autospec(Supervisor, instance=True)
    keep_running(tended, mock.Mock(), stop)
    assert tended.tend.call_count == 0
