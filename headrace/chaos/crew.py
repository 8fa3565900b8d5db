"""The workers of a chaos run: kept running, and killed, armed and counted from outside."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from connectors.failpoints import MARK_VARIABLE, VARIABLE
from connectors.stack.addresses import Addresses
from headrace.supervisor import Supervisor, _Worker

TEND_S = 0.3
ASK_S = 5.0


class Crew(Supervisor):
    """A supervisor that starts again what has ended, by itself, and lets its workers be broken.

    Args:
        addresses: What the workers connect to.
        apps: Which workers.
        name: The crew's; workers of one name in different crews are different group members.
        log_dir: Where the workers log.
        say: Told of every end and start.
    """

    def __init__(
        self,
        addresses: Addresses,
        apps: Collection[str],
        *,
        name: str,
        log_dir: Path,
        say: Callable[[str], None],
    ) -> None:
        self.ends: list[str] = []
        self._name = name
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

    def arm(self, name: str, point: str, mark: Path) -> None:
        """Kill a worker, and start it with a failpoint (`name:n`, `name:n:stop`), at which it
        writes `mark`; what is started after it is not armed."""
        mark.unlink(missing_ok=True)
        with self._changing:
            worker = self._workers[name]
            worker.child.kill()
            ordinary = worker.env
            worker.env = {**ordinary, VARIABLE: point, MARK_VARIABLE: str(mark)}
            worker.start()
            worker.env = ordinary
            worker.pause = 0.0

    @contextmanager
    def away(self, name: str) -> Iterator[None]:
        """A worker is killed, and stays away until the context ends or it is armed."""
        with self._changing:
            self._workers[name].child.kill()
            yield

    def are_ready(self) -> bool:
        """Whether all run and are ready."""
        return all(
            worker.child.is_alive() and self.is_ready(name)
            for name, worker in self._workers.items()
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
        """The resident memory of each worker in MB."""
        return {
            name: round(psutil.Process(worker.child.pid).memory_info().rss / 1e6)
            for name, worker in self._workers.items()
        }

    def _worker(self, name: str) -> _Worker:
        worker = super()._worker(name)
        worker.env["HEADRACE_WORKER_ID"] = f"{self._name}-{name}"
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
