"""A crew arms one start of a worker, leaves it away when told to, and notes how workers end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from unittest import mock

import msgspec
import pytest

from connectors.failpoints import VARIABLE, Mark, mark_of
from connectors.stack.addresses import Addresses
from headrace.chaos import crew as crew_module
from headrace.chaos.crew import Crew
from headrace.installation import THIS, Installation
from headrace.supervised import Supervised


class Child:
    """Stands in for a process; keeps the environments that it was started with, and the last
    command with its directory."""

    code = 0

    def __init__(self) -> None:
        self.alive = True
        self.environments: list[Mapping[str, str]] = []
        self.started: tuple[Sequence[str], Path] = (), Path()
        self.pid = 7
        self.log = Path("x.log")

    def is_alive(self) -> bool:
        return self.alive

    def start(self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self.alive = True
        self.started = command, cwd
        self.environments.append(env)

    def kill(self) -> None:
        self.alive = False

    def stop(self) -> None:
        self.alive = False

    def close(self) -> None:
        pass

    def epitaph(self) -> str:
        return "ended with code 137: the last line"


@pytest.fixture
def child() -> Child:
    return Child()


@pytest.fixture
def crew(tmp_path: Path, child: Child) -> Crew:
    """A crew of one worker that is not there."""
    crew = Crew(
        Addresses("", "", ""),
        (),
        name="first",
        state="memory",
        log_dir=tmp_path,
        peaks={},
        say=lambda _: None,
    )
    worker = Supervised("app", mock.Mock(number=80), cast(Any, child), ["x"], {"A": "1"}, "/")
    crew._workers["app"] = worker
    return crew


def test_a_worker_is_armed_by_the_file_that_it_looks_at(crew: Crew) -> None:
    app = crew._worker("app")
    app.port.release()
    file = Path(app.env[VARIABLE])
    mark_of(file).write_text("an old one")
    crew.arm("app", "mid-restore:3")
    assert crew.mark("app") is None
    assert file.read_text() == "mid-restore:3"
    mark = Mark("mid-restore", 7, "posts/1", 2)
    mark_of(file).write_bytes(msgspec.json.encode(mark))
    assert crew.mark("app") == mark


def test_how_a_worker_ended_is_noted(crew: Crew, child: Child) -> None:
    with crew.away("app"):
        assert not child.alive
    crew.tend()
    assert crew.ends == ["first-app: ended with code 137: the last line"]
    assert len(child.environments) == 1


def test_who_keeps_ending_is_forgiven(crew: Crew, child: Child) -> None:
    for _ in range(2):
        child.alive = False
        crew.tend()
    assert len(child.environments) == 1, "the second start waits"
    crew.forgive()
    crew.tend()
    assert len(child.environments) == 2


def test_a_worker_is_started_from_another_installation_until_it_is_replaced_again(
    crew: Crew, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Installation(Path("/old"), Path("/old/python"))
    assert crew.restart("app", old)[1] == 0
    assert child.started == (["/old/python", "x"], Path("/old"))
    child.kill()
    crew.forgive()
    crew.tend()
    crew.tend()
    assert child.alive, "it ended by itself"
    assert child.started == (["/old/python", "x"], Path("/old"))
    replace = mock.create_autospec(Supervised.replace, return_value=(0.3, 0))
    monkeypatch.setattr(Supervised, "replace", replace)
    assert crew.restart("app", THIS) == (0.3, 0)
    assert replace.mock_calls == [mock.call(crew._workers["app"], mock.ANY, THIS)]


def test_the_most_memory_of_any_process_is_kept(crew: Crew) -> None:
    sizes = iter([{"app": 150}, {"app": 170, "views": 90}, {}, {"app": 160}])

    def memory() -> dict[str, int]:
        try:
            return next(sizes)
        except StopIteration:
            crew._is_over.set()
            return {}

    with (
        mock.patch.object(crew, "memory_mb", memory),
        mock.patch.object(crew_module, "TEND_S", 0.0),
    ):
        crew._tend_on()
    assert crew._peaks == {"app": 170, "views": 90}


def test_a_worker_of_a_crew_is_a_member_of_its_own(crew: Crew, tmp_path: Path) -> None:
    app, api = crew._worker("app"), crew._worker("api")
    try:
        assert app.env["HEADRACE_WORKER_ID"] == "first-app"
        assert app.env["HEADRACE_DATA_DIR"] == str(tmp_path / "data")
        assert api.env["HEADRACE_DATA_DIR"] != str(tmp_path / "data")
    finally:
        app.port.release()
        api.port.release()


def test_a_monitor_that_does_not_answer_says_nothing(crew: Crew) -> None:
    crew._workers["app"].port = mock.Mock(number=1)
    assert crew.stages("app") == {}
