"""One process that is kept running."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from connectors.handover import Handover
from connectors.stack.errors import StackError
from connectors.stack.ports import Port
from connectors.stack.process import Child
from headrace.installation import THIS, Installation

READY_SECONDS = 120.0
STEADY_SECONDS = 60.0  # a process that ran this long is started again at once
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


@dataclass
class Supervised:
    """A process that is started again when it has ended, and replaced when that is asked for;
    `command` is what the installation's Python is to run."""

    name: str
    port: Port
    child: Child
    command: list[str]
    env: dict[str, str]
    health: str
    installation: Installation = THIS
    started: float = 0.0
    pause: float = 0.0
    restart_at: float | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port.number}"

    def start(self) -> None:
        """Start it; returns at once, and raises PartDied when it cannot even be started."""
        self._note_start()
        self._start(self.child, self.installation)

    def replace(
        self,
        stop: Event,
        installation: Installation | None = None,
        look: Callable[[], None] = lambda: None,
    ) -> tuple[float, int | None]:
        """Prepare another such process, of the same or of another installation, end this one, and
        let the other begin; after how many seconds this one ended, and with which code. `look` is
        called again and again until the other is prepared.

        Raises:
            PartDied: the other ended before it was prepared; this one runs on, as after any error.
            Cancelled: `stop` was set before it was prepared.
            StackError: it was not prepared in time, or is of a version that cannot wait.
            OSError: the system refuses.
        """
        installation = installation or self.installation
        if not installation.waits_for_turn:
            raise StackError(
                f"{self.name} of {installation.root} cannot be prepared beside another",
                hint="end what runs, and start it of that version",
            )

        def prepared() -> str | None:
            look()
            return handover.prepared()

        successor = Child(self.name, self.child.log, grace_s=self.child.grace_s)
        try:
            with Handover() as handover:
                self._start(successor, installation, handover)
                successor.wait_ready(prepared, READY_SECONDS, stop)
                replaced, self.child, self.installation = self.child, successor, installation
                began = time.monotonic()
                replaced.stop()
                took = time.monotonic() - began
                self._note_start()
                handover.complete()
        except BaseException:
            if self.child is not successor:
                successor.stop()
            raise
        return round(took, 1), replaced.code

    def plan_restart(self, now: float) -> float:
        """Set when to start it again: at once, or later each time that it soon ends again."""
        if now - self.started >= STEADY_SECONDS:
            self.pause = 0.0
        pause, self.pause = (
            self.pause,
            min(max(FIRST_PAUSE_SECONDS, 2 * self.pause), LONGEST_PAUSE_SECONDS),
        )
        self.restart_at = now + pause
        return pause

    def is_ready(self) -> str | None:
        """What it says when it is ready, None while it is not."""
        try:
            with urllib.request.urlopen(self.url + self.health, timeout=2) as answer:
                return str(answer.status)
        except (urllib.error.URLError, OSError):
            return None

    def _start(
        self, child: Child, installation: Installation, handover: Handover | None = None
    ) -> None:
        command = [str(installation.python), *self.command]
        cwd = installation.root
        if handover is None:
            child.start(command, cwd=cwd, env=self.env)
        else:
            env = self.env | handover.env
            child.start(command, cwd=cwd, env=env, inherited=handover.passed)

    def _note_start(self) -> None:
        self.started = time.monotonic()
        self.restart_at = None
