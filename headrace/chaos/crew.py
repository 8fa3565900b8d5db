"""The workers of a chaos run: kept running, and killed, armed and counted from outside."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil  # type: ignore[import-untyped]

from connectors import failpoints
from connectors.stack.addresses import Addresses
from headrace.installation import THIS, Installation
from headrace.supervised import Supervised
from headrace.supervisor import Supervisor

TEND_S = 0.3
ASK_S = 5.0


class Crew(Supervisor):
    """A supervisor that starts again what has ended, by itself, and lets its workers be broken.

    Args:
        addresses: What the workers connect to.
        apps: Which workers.
        name: The crew's; workers of one name in different crews are different group members.
        state: Where their stages keep rows, `memory` or `rocksdb`.
        installation: From which they are started, until another is given.
        log_dir: Where the workers log.
        peaks: The most resident memory that a worker of each name took, in MB; kept up to date.
        say: Told of every end and start.
    """

    def __init__(
        self,
        addresses: Addresses,
        apps: Collection[str],
        *,
        name: str,
        state: str,
        log_dir: Path,
        peaks: dict[str, int],
        say: Callable[[str], None],
        installation: Installation = THIS,
    ) -> None:
        self.ends: list[str] = []
        self._name = name
        self._state = state
        self._installation = installation
        self._peaks = peaks
        self._changing = threading.RLock()
        self._is_over = threading.Event()
        self._tender = threading.Thread(target=self._tend_on, name=f"{name}-tender", daemon=True)
        super().__init__(addresses, apps, log_dir=log_dir, say=self._note)
        self._tell = say

    @property
    def data_dir(self) -> Path:
        """The data directory of this crew's workers, theirs alone."""
        return self.log_dir / "data"

    def start(self) -> None:
        """Start all, return when all are ready, and look after them from then on."""
        super().start()
        self._tender.start()

    def stop(self) -> None:
        """End all."""
        self._is_over.set()
        if self._tender.is_alive():
            self._tender.join()
        super().stop()

    def tend(self) -> None:
        """Start again what has ended, unless it is just being changed."""
        with self._changing:
            super().tend()

    def arm(self, name: str, point: str) -> None:
        """Give a worker, or the process that comes after it, a failpoint (`name:n`,
        `name:n:stop`), at which it leaves its `mark`."""
        failpoints.arm(self._failpoint(name), point)

    def mark(self, name: str) -> failpoints.Mark | None:
        """What a worker left at its failpoint, None while it has not."""
        try:
            mark = failpoints.mark_of(self._failpoint(name)).read_bytes()
            return msgspec.json.decode(mark, type=failpoints.Mark)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    @contextmanager
    def away(self, name: str) -> Iterator[None]:
        """A worker is killed, and stays away until the context ends."""
        with self._changing:
            self._workers[name].child.kill()
            yield

    def restart(self, name: str, installation: Installation) -> tuple[float, int | None]:
        """Replace a worker by one of an installation, as `headrace work` does on SIGUSR1; after how
        many seconds the old one ended, and with which code. One of a version that cannot wait for
        its turn is started when the old one has ended."""
        with self._changing:
            worker = self._workers[name]
            if installation.waits_for_turn:
                return worker.replace(self._stop, installation)
            began = time.monotonic()
            worker.child.stop()
            took = round(time.monotonic() - began, 1)
            code = worker.child.code
            worker.installation = installation
            worker.start()
            return took, code

    def age_s(self, name: str) -> float:
        """How long ago the process of a worker was started (s)."""
        return time.monotonic() - self._workers[name].started

    def are_ready(self, *names: str) -> bool:
        """Whether workers, all or those named, run and are ready."""
        return all(
            self._workers[name].child.is_alive() and self.is_ready(name)
            for name in names or self._workers
        )

    def forgive(self) -> None:
        """Start at once what ends next, however often it has ended."""
        with self._changing:
            for worker in self._workers.values():
                worker.pause = 0.0
                if worker.restart_at is not None:
                    worker.restart_at = 0.0

    def stages(self, name: str) -> dict[str, Any]:
        """What a worker's monitor says of each of its topics; nothing while it does not answer."""
        url = f"{self._workers[name].url}/stages/"
        try:
            with urllib.request.urlopen(url, timeout=ASK_S) as answer:
                found: dict[str, Any] = json.load(answer)
        except (OSError, ValueError):
            return {}
        return found

    def memory_mb(self) -> dict[str, int]:
        """The resident memory of each worker that runs, in MB."""
        found = {}
        for name, worker in self._workers.items():
            with suppress(psutil.Error):
                found[name] = round(psutil.Process(worker.child.pid).memory_info().rss / 1e6)
        return found

    def _failpoint(self, name: str) -> Path:
        return self.log_dir / f"{name}.failpoint"

    def _worker(self, name: str) -> Supervised:
        worker = super()._worker(name)
        worker.installation = self._installation
        worker.env[failpoints.VARIABLE] = str(self._failpoint(name))
        worker.env["HEADRACE_WORKER_ID"] = f"{self._name}-{name}"
        worker.env["HEADRACE_STATE"] = self._state
        if name != "api":  # which needs the key that its tokens are signed with
            worker.env["HEADRACE_DATA_DIR"] = str(self.data_dir)
        return worker

    def _note(self, line: str) -> None:
        if "ended with code" in line:
            self.ends.append(f"{self._name}-{line.splitlines()[0]}")
        self._tell(f"{self._name}: {line}")

    def _tend_on(self) -> None:
        while not self._is_over.wait(TEND_S):
            self.tend()
            for name, size in self.memory_mb().items():
                self._peaks[name] = max(size, self._peaks.get(name, 0))
