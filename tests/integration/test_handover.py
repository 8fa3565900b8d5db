"""A process gives way to its successor only when that is prepared, and before it begins."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from unittest import mock

import pytest

from connectors.handover import VARIABLE, Handover, HandoverError, is_successor, turn
from connectors.stack.errors import PartDied
from connectors.stack.process import Child
from headrace.installation import THIS, Installation
from headrace.supervised import Supervised
from tests.integration.test_worker import ROOT, fetch

PATIENCE_SECONDS = 90

PROCESS = """
import asyncio, os, signal, sys, time
from pathlib import Path
from connectors import handover

notes = Path(sys.argv[1])

def note(what):
    with notes.open("a") as file:
        file.write(f"{os.getpid()} {what}\\n")

def end(*_):
    time.sleep(0.2)
    note("ends")
    sys.exit(0)

signal.signal(signal.SIGTERM, end)
note("starts")
if notes.with_name("broken").exists():
    sys.exit("this is broken")
asyncio.run(handover.turn())
note("begins")
while True:
    time.sleep(0.02)
"""


def until(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class Scene:
    """A process that notes what it does."""

    def __init__(self, tmp_path: Path) -> None:
        self._notes = tmp_path / "notes"
        self.broken = tmp_path / "broken"
        child = Child("one", tmp_path / "log", grace_s=5.0)
        command = ["-c", PROCESS, str(self._notes)]
        self.process = Supervised("one", mock.Mock(), child, command, dict(os.environ), "/")
        self.process.start()
        until("it begins", lambda: self.notes() == [f"{self.pid} starts", f"{self.pid} begins"])

    @property
    def pid(self) -> int:
        return self.process.child.pid

    def notes(self) -> list[str]:
        return self._notes.read_text().splitlines() if self._notes.exists() else []


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.process.child.stop()


def test_the_new_one_begins_when_the_old_one_has_ended(scene: Scene) -> None:
    old, before = scene.pid, scene.notes()
    seconds, code = scene.process.replace(Event())
    new = scene.pid
    assert (new != old, code) == (True, 0)
    assert 0.2 <= seconds < 5
    until("the new one begins", lambda: scene.notes()[-1] == f"{new} begins")
    assert scene.notes() == [*before, f"{new} starts", f"{old} ends", f"{new} begins"]


def test_the_new_one_may_be_of_another_installation(scene: Scene, tmp_path: Path) -> None:
    other = Installation(tmp_path, THIS.python)
    (tmp_path / "connectors").symlink_to(THIS.root / "connectors")
    assert other.waits_for_turn
    assert not Installation(tmp_path / "older", THIS.python).waits_for_turn
    scene.process.replace(Event(), other)
    assert scene.process.installation == other
    assert Path(f"/proc/{scene.pid}/cwd").resolve() == tmp_path.resolve()


def test_a_new_one_that_cannot_begin_leaves_the_old_one(scene: Scene) -> None:
    old = scene.pid
    scene.broken.touch()
    with pytest.raises(PartDied, match="this is broken"):
        scene.process.replace(Event(), Installation(scene.broken.parent, THIS.python))
    assert scene.process.child.is_alive()
    assert scene.process.installation == THIS
    assert scene.pid == old
    assert f"{old} ends" not in scene.notes()


def test_who_replaces_none_begins_at_once() -> None:
    assert not is_successor()
    asyncio.run(asyncio.wait_for(turn(), 1))


def test_a_successor_that_is_given_up_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait() -> None:
        waiting = asyncio.create_task(turn())
        await asyncio.sleep(0)
        assert handover.prepared() is not None
        handover.__exit__(None, None, None)
        await waiting

    handover = Handover()
    monkeypatch.setenv(VARIABLE, str(os.dup(handover.passed)))
    with pytest.raises(HandoverError):
        asyncio.run(asyncio.wait_for(wait(), 5))
    assert not is_successor()


def test_work_replaces_its_processes_when_told_to(
    environment: dict[str, str], tmp_path: Path
) -> None:
    weights, log = tmp_path / "weights.toml", tmp_path / "log"
    weights.write_text("")
    command = [sys.executable, "-m", "headrace", "work", "views", "api"]
    with log.open("wb") as output:
        work = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment | {"HEADRACE_RANKING": str(weights)},
            stdout=output,
            stderr=output,
        )

    def said(pattern: str, times: int = 1) -> Callable[[], bool]:
        def is_so() -> bool:
            assert work.poll() is None, log.read_text()
            return len(re.findall(pattern, log.read_text())) >= times

        return is_so

    try:
        until("it runs", said(f"running as {work.pid}"))
        urls = re.findall(r"ready at (http\S+)", log.read_text())
        assert len(urls) == 2
        replaced = "{}: replaced; the old one ended with code 0 in"

        work.send_signal(signal.SIGUSR1)
        until("the API is another", said(replaced.format("api")))
        assert said(replaced.format("views"))()
        assert fetch(f"{urls[0]}/readyz/")[0] == fetch(f"{urls[1]}/healthz")[0] == 200

        weights.write_text("not = [what it should be")
        work.send_signal(signal.SIGUSR1)
        until("it is told", said("api: cannot be replaced, the others are left as they are: api"))
        assert said(replaced.format("views"), 2)()
        assert "hint: " in log.read_text().rsplit("cannot be replaced", 1)[1]
        assert fetch(f"{urls[1]}/healthz")[0] == 200
        assert "starting it again" not in log.read_text()
    finally:
        work.terminate()
        work.wait(30)
    assert work.returncode == 0
