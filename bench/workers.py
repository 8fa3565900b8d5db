"""The processes of a system: started, waited for, and ended with this one."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

import psutil  # type: ignore[import-untyped]

from bench import marks
from bench.engagements import PARTITIONS
from bench.marks import Mark, Restored, Start
from connectors.stack.addresses import Addresses
from connectors.stack.ports import reserve
from connectors.stack.process import Child

ROOT = Path(__file__).parents[1]
READY_S = 90.0
_GRACE_S = 10.0
_FIRST_PORT = 7_066
_LOOK_EVERY_S = 0.01


def patience_s(events: int) -> float:
    """How long is waited for what a system makes of so many events (s): several times what the
    slowest takes, stock Faust, and once more the minute after which Kafka gives up one that was
    killed."""
    return min(600.0, 120.0 + events / 500)


class Workers:
    """Starts processes with logs in `directory`; all end with the context.

    What runs under another command is ended first, so that a profiler can still write.
    """

    def __init__(self, addresses: Addresses, directory: Path, say: Callable[[str], None]) -> None:
        self.say = say
        self.directory = directory
        self._children: list[Child] = []
        self._wrapped: list[tuple[psutil.Process, Child]] = []
        self._ports = [reserve(_FIRST_PORT)]
        self._never = threading.Event()
        self._environment = {
            **os.environ,
            "KAFKA_BROKERS": addresses.kafka,
            "REDIS_URL": addresses.redis,
            "CASSANDRA_HOSTS": addresses.cassandra,
            "SCHEMA_REGISTRY_URL": "",
            "HEADRACE_DATA_DIR": str(directory),
            "HEADRACE_PARTITIONS": str(PARTITIONS),
            "HEADRACE_WORKER_ID": "",
            "PYTHONPATH": str(ROOT),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process, child in self._wrapped:
            with suppress(psutil.Error):
                process.terminate()
            _wait_ended(child)
        for child in self._children:
            child.close()
        for child in self._children:
            child.stop()
        for port in self._ports:
            port.release()

    def faust(self, app: str) -> list[str]:
        """The command of a Faust worker, with a port of its own."""
        port = reserve(self._ports[-1].number + 1)
        self._ports.append(port)
        command = [sys.executable, "-m", "faust", "-A", app, "worker", "--loglevel", "info"]
        return [*command, "--web-port", str(port.number)]

    def start_ready(self, apps: Mapping[str, str]) -> list[psutil.Process]:
        """Start apps of Headrace, by name, and return when they say that they are ready."""
        started = []
        for name, app in apps.items():
            command = self.faust(app)
            url = f"http://127.0.0.1:{command[-1]}/readyz/"
            started.append((self._start(name, command, {}), partial(_answer, url)))
        for child, answer in started:
            child.wait_ready(answer, READY_S, self._never)
        return [psutil.Process(child.pid) for child, _ in started]

    def start_server(
        self, name: str, command: Sequence[str], path: str
    ) -> tuple[psutil.Process, int]:
        """Start what takes a port as its last argument, and return when it answers at a path: its
        process, and the port."""
        port = reserve(self._ports[-1].number + 1)
        self._ports.append(port)
        child = self._start(name, [*command, str(port.number)], {})
        url = f"http://127.0.0.1:{port.number}{path}"
        child.wait_ready(partial(_answer, url), READY_S, self._never)
        return psutil.Process(child.pid), port.number

    def run(self, name: str, command: Sequence[str], result: Path, timeout_s: float) -> bytes:
        """Start a command that writes a file, and return what it wrote when it has ended.

        Raises:
            TimeoutError: it has not.
            PartDied: it wrote nothing.
        """
        result.unlink(missing_ok=True)
        child = self._start(name, command, {})
        deadline = time.monotonic() + timeout_s
        while child.is_alive():
            if time.monotonic() > deadline:
                raise self.too_late(f"{name}: it had not ended", timeout_s)
            time.sleep(_LOOK_EVERY_S)
        if not result.exists():
            raise child.death()
        self.end(name)
        return result.read_bytes()

    def end(self, name: str) -> None:
        """End what was started under a name, in order."""
        (child,) = (each for each in self._children if each.name == name)
        child.stop()
        self._children.remove(child)

    def start_measured(self, name: str, command: Sequence[str]) -> tuple[psutil.Process, Start]:
        """Start what marks its own start, and return as soon as it has."""
        child, start = self._start_marked(name, command, marks.START, Start, READY_S)
        process = psutil.Process(start.pid)
        if start.pid != child.pid:
            self._wrapped.append((process, child))
        return process, start

    def run_restoring(self, name: str, command: Sequence[str], timeout_s: float) -> Restored:
        """Start what restores, and return when it says that it has.

        Raises:
            TimeoutError: it does not.
            PartDied: it ended before.
        """
        return self._start_marked(name, command, marks.RESTORED, Restored, timeout_s)[1]

    def too_late(self, what: str, timeout_s: float) -> TimeoutError:
        """The error of what has not come, with the ends of the logs, which go with the run."""
        logs = (f"{child.name} said last:\n{child.tail()}" for child in self._children)
        return TimeoutError("\n".join([f"{what} after {timeout_s:.0f} s", *logs]))

    def check(self) -> None:
        """Raise `PartDied` when one has ended."""
        for child in self._children:
            if not child.is_alive():
                raise child.death()

    def _start_marked(
        self, name: str, command: Sequence[str], variable: str, kind: type[Mark], timeout_s: float
    ) -> tuple[Child, Mark]:
        """Start what writes a mark, and return with it."""
        file = self.directory / f"{name}.mark"
        file.unlink(missing_ok=True)
        child = self._start(name, command, {variable: str(file)})
        deadline = time.monotonic() + timeout_s
        while (mark := marks.read(file, kind)) is None:
            if not file.exists():
                self.check()
            if time.monotonic() > deadline:
                raise self.too_late(f"{name}: its mark was not there", timeout_s)
            time.sleep(_LOOK_EVERY_S)
        return child, mark

    def _start(self, name: str, command: Sequence[str], more: dict[str, str]) -> Child:
        child = Child(name, self.directory / "logs" / f"{name}.log", grace_s=_GRACE_S)
        child.start(command, cwd=ROOT, env=self._environment | more)
        self._children.append(child)
        return child


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process since it started."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _wait_ended(child: Child) -> None:
    deadline = time.monotonic() + _GRACE_S
    while child.is_alive() and time.monotonic() < deadline:
        time.sleep(0.1)


def _answer(url: str) -> str | None:
    try:
        with urlopen(url, timeout=2) as answer:
            return str(answer.status)
    except (URLError, OSError):
        return None
