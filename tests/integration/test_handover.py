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
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from unittest import mock

import pytest

from connectors.handover import VARIABLE, Handover, HandoverError, is_successor, wait_for_turn
from connectors.stack import process
from connectors.stack.errors import Cancelled, PartDied, StackError
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
how = notes.with_name("how").read_text() if notes.with_name("how").exists() else ""
if how == "broken":
    sys.exit("this is broken")
if how == "flees":
    os.write(int(os.environ["HEADRACE_HANDOVER"]), b".")
    sys.exit("this has fled")
if how == "slow":
    time.sleep(60)
asyncio.run(handover.wait_for_turn())
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
    """A process that notes what it does, and the next of which may be `broken`, `slow`, or one that
    `flees` when it is prepared."""

    def __init__(self, tmp_path: Path) -> None:
        self.directory = tmp_path
        child = Child("one", tmp_path / "log", grace_s=5.0)
        command = ["-c", PROCESS, str(tmp_path / "notes")]
        self.process = Supervised("one", mock.Mock(), child, command, dict(os.environ), "/")

    def start(self) -> None:
        self.process.start()
        until("it begins", lambda: self.notes() == [f"{self.pid} starts", f"{self.pid} begins"])

    @property
    def pid(self) -> int:
        return self.process.child.pid

    def next_is(self, how: str) -> None:
        (self.directory / "how").write_text(how)

    def notes(self) -> list[str]:
        notes = self.directory / "notes"
        return notes.read_text().splitlines() if notes.exists() else []


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    try:
        scene.start()
        yield scene
    finally:
        scene.process.child.stop()


@contextmanager
def runs_on(scene: Scene) -> Iterator[None]:
    """What happens leaves the process alone, and no other behind."""
    old, before = scene.pid, scene.notes()
    yield
    assert scene.process.child.is_alive()
    assert (scene.pid, scene.process.installation) == (old, THIS)
    others = [note for note in scene.notes() if note not in before]
    assert f"{old} ends" not in others
    assert not [note for note in others if note.endswith("begins")]
    for pid in {int(note.split()[0]) for note in others}:
        assert not Path(f"/proc/{pid}").exists()


def test_the_new_one_begins_when_the_old_one_has_ended(scene: Scene) -> None:
    old, before = scene.pid, scene.notes()
    seconds, code = scene.process.replace(Event())
    new = scene.pid
    assert (new != old, code) == (True, 0)
    assert 0.2 <= seconds < 5
    until("the new one begins", lambda: scene.notes()[-1] == f"{new} begins")
    assert scene.notes() == [*before, f"{new} starts", f"{old} ends", f"{new} begins"]


def test_the_new_one_may_be_of_another_installation(scene: Scene) -> None:
    other = Installation(scene.directory, THIS.python)
    (scene.directory / "connectors").symlink_to(THIS.root / "connectors")
    scene.process.replace(Event(), other)
    assert scene.process.installation == other
    assert Path(f"/proc/{scene.pid}/cwd").resolve() == scene.directory.resolve()


def test_one_of_a_version_that_cannot_wait_is_refused(scene: Scene) -> None:
    with runs_on(scene), pytest.raises(StackError, match="cannot be prepared beside another"):
        scene.process.replace(Event(), Installation(scene.directory, THIS.python))


def test_a_new_one_that_cannot_be_prepared_leaves_the_old_one(scene: Scene) -> None:
    scene.next_is("broken")
    with runs_on(scene), pytest.raises(PartDied, match="this is broken"):
        scene.process.replace(Event())


def test_a_system_that_refuses_leaves_the_old_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = mock.Mock(side_effect=OSError("Cannot allocate memory"))
    with runs_on(scene), monkeypatch.context() as patched:
        patched.setattr(process.subprocess, "Popen", refuse)
        with pytest.raises(PartDied, match="Cannot allocate memory"):
            scene.process.replace(Event())


def test_who_is_to_stop_waits_for_no_new_one(scene: Scene) -> None:
    stop, looks = Event(), []

    def look() -> None:
        looks.append(scene.notes()[-1])
        if looks[-1].endswith("starts"):
            stop.set()

    scene.next_is("slow")
    with runs_on(scene), pytest.raises(Cancelled):
        scene.process.replace(stop, look=look)
    assert looks


def test_a_new_one_that_ends_before_it_begins_is_the_one_to_start_again(scene: Scene) -> None:
    scene.next_is("flees")
    assert scene.process.replace(Event())[1] == 0
    until("it ends", lambda: not scene.process.child.is_alive())
    assert "this has fled" in str(scene.process.child.death())


def test_one_that_has_ended_is_replaced_too(scene: Scene) -> None:
    scene.process.child.kill()
    assert scene.process.replace(Event())[1] == 128 + signal.SIGKILL
    until("the new one begins", lambda: scene.notes()[-1] == f"{scene.pid} begins")


def test_who_replaces_none_begins_at_once() -> None:
    assert not is_successor()
    asyncio.run(asyncio.wait_for(wait_for_turn(), 1))


@pytest.mark.parametrize("is_read", [True, False], ids=["read", "unread"])
def test_a_successor_that_is_given_up_does_not_begin(
    monkeypatch: pytest.MonkeyPatch, is_read: bool
) -> None:
    async def wait() -> None:
        waiting = asyncio.create_task(wait_for_turn())
        await asyncio.sleep(0)
        assert not is_read or handover.prepared() is not None
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
        until("it is told", said("api: not replaced, so the others are left as they are: api"))
        assert said(replaced.format("views"), 2)()
        assert "hint: " in log.read_text().rsplit("not replaced", 1)[1]
        assert fetch(f"{urls[1]}/healthz")[0] == 200
        assert "starting it again" not in log.read_text()
    finally:
        work.terminate()
        work.wait(30)
    assert work.returncode == 0
