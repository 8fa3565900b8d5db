"""One supervised child: a part behind its guard, with a log, a probe and an orderly end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

from connectors.stack import guard
from connectors.stack.addresses import created
from connectors.stack.errors import Cancelled, PartDied, StackError

TAIL_LINES = 25
KEEP_LOG_BYTES = 16 * 2**20
KILLED = 128 + signal.SIGKILL


class Child:
    """A part of the stack as a process, ended with this process whatever happens to it."""

    def __init__(self, name: str, log: Path, *, grace_s: float, lock: int | None = None) -> None:
        self.name = name
        self.log = log
        self.grace_s = grace_s
        self.pid = 0
        self.created = 0.0
        self._lock = lock
        self._guard: subprocess.Popen[bytes] | None = None
        self._hold: int | None = None
        self._log_start = 0

    def start(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: dict[str, str],
        inherited: int | None = None,
    ) -> None:
        """Start the command; it inherits a file descriptor, if there is one, whose number `env` has
        as `HEADRACE_HANDOVER`: it is to replace a process, which writes to the same log until then.

        Raises:
            PartDied: it cannot even be started.
        """
        kept = [each for each in (self._lock, inherited) if each is not None]
        reader, self._hold = os.pipe()
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            if inherited is None and self.log.exists() and self.log.stat().st_size > KEEP_LOG_BYTES:
                self.log.replace(self.log.with_suffix(".old.log"))
            with self.log.open("ab") as output:
                self._log_start = output.tell()
                self._guard = subprocess.Popen(
                    [
                        *(sys.executable, "-I", "-S", guard.__file__),
                        *(str(reader), str(os.getpid()), str(self.grace_s), *command),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=output,
                    start_new_session=True,
                    pass_fds=[reader, *kept],
                    cwd=cwd,
                    env=env,
                )
        except OSError as error:
            self.close()
            raise PartDied(f"{self.name} cannot be started: {error}") from error
        finally:
            os.close(reader)
        assert self._guard.stdout is not None
        with self._guard.stdout as report:
            line = report.readline()
        if not line:
            self._guard.wait()
            raise self.death()
        self.pid = int(line)
        self.created = created(self.pid)

    def is_alive(self) -> bool:
        """Whether the part still runs."""
        return self._guard is not None and self._guard.poll() is None

    @property
    def code(self) -> int | None:
        """With what the part ended last, None while it runs."""
        return None if self._guard is None else self._guard.poll()

    def wait_ready(self, probe: Callable[[], str | None], timeout_s: float, stop: Event) -> str:
        """Wait until the probe answers with the part's version.

        Raises:
            PartDied: it ended before.
            StackError: it did not answer in time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            if not self.is_alive():
                raise self.death()
            version = probe()
            if version is not None:
                return version
            if stop.wait(0.1):
                raise Cancelled(f"{self.name}: stopped while starting")
            if time.monotonic() > deadline:
                raise StackError(
                    f"{self.name} did not answer within {timeout_s:.0f} s",
                    self.tail(),
                    f"the machine may be too busy; the whole log is {self.log}",
                )

    def tail(self) -> str:
        """The last lines that this run wrote to the log."""
        try:
            with self.log.open("rb") as text:
                size = text.seek(0, os.SEEK_END)
                text.seek(max(self._log_start, size - 16_384))
                lines = text.read().decode(errors="replace").splitlines()
        except OSError as error:
            return f"(no log: {error})"
        return "\n".join(lines[-TAIL_LINES:])

    def death(self) -> PartDied:
        """The error that says how the part ended."""
        code = self._guard.returncode if self._guard is not None else None
        tail = self.tail()
        return PartDied(f"{self.name} died (exit code {code})", tail, hint(code, tail, self.log))

    def epitaph(self) -> str:
        """How the part ended and its last words, in one line."""
        code = self._guard.returncode if self._guard is not None else None
        lines = self.tail().split("\n")
        return f"ended with code {code}: {lines[-1].strip()} (log: {self.log})"

    def close(self) -> None:
        """Let the guard end the part; returns at once."""
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None

    def stop(self) -> None:
        """End the part: SIGTERM, and SIGKILL after the grace time."""
        self.close()
        if self._guard is None:
            return
        try:
            self._guard.wait(self.grace_s + 2)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the part with SIGKILL, now."""
        if self.is_alive() and self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        if self._guard is not None:
            try:
                self._guard.wait(5)
            except subprocess.TimeoutExpired:
                self._guard.kill()
                self._guard.wait()
        self.close()


def hint(code: int | None, tail: str, log: Path) -> str:
    """What to do about a part that ended with this code and these last lines."""
    text = tail.lower()
    if "no space left" in text:
        return "free some disk space, or set HEADRACE_DATA_DIR to another disk"
    if code == KILLED or "outofmemory" in text or "could not reserve enough space" in text:
        return (
            "it may have run out of memory: close other programs, "
            "or lower HEADRACE_KAFKA_HEAP and HEADRACE_CASSANDRA_HEAP"
        )
    if "address already in use" in text or "bindexception" in text:
        return "another program took the port meanwhile: start again, and a free one is chosen"
    return f"the whole log is {log}; `headrace stack up --fresh` starts with empty data"
