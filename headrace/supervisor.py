"""Runs the apps and the API as processes of this machine, and ends them with this process."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from api.auth import issue, signing_key
from connectors.claim import Claim
from connectors.settings import settings
from connectors.stack.addresses import Addresses
from connectors.stack.errors import Cancelled, PartDied, StackError
from connectors.stack.ports import reserve
from connectors.stack.process import Child
from headrace.supervised import READY_SECONDS, Supervised

log = structlog.get_logger(__name__)

STOP_SECONDS = 10.0
ORDER = ("archive", "views", "app", "api")
"""The order of an upgrade: who reads comes before who writes."""

TOKEN_SECONDS = 24 * 60 * 60


class Supervisor:
    """The apps `app`, `views`, `archive` and the `api`, each a process with a log of its own.

    Use it as a context manager. `check` raises when one has died; `tend` starts it again, the
    others running on. Ports are those of the settings, or the next free ones. Logs are in
    `log_dir`, or beside it where another supervisor has that; by where they are, and by the
    machine, the workers are named. `is_trying_out`: the API gives its page tokens.
    """

    def __init__(
        self,
        addresses: Addresses,
        apps: Collection[str] = ("app", "views", "archive"),
        *,
        log_dir: Path | None = None,
        is_trying_out: bool = False,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        self._addresses = addresses
        self._apps = apps
        self._is_trying_out = is_trying_out
        self._say = say
        self._stop = threading.Event()
        self._workers: dict[str, Supervised] = {}
        self.log_dir = Claim(log_dir or Path(tempfile.mkdtemp(prefix="headrace-logs-"))).path

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def api_url(self) -> str:
        """Where the API listens."""
        return self._workers["api"].url

    @property
    def monitor_urls(self) -> dict[str, str]:
        """The web monitor of each app."""
        return {name: worker.url for name, worker in self._workers.items() if name != "api"}

    @property
    def names(self) -> list[str]:
        """The apps that run, and the API."""
        return list(self._workers)

    def pid(self, name: str) -> int:
        """The process id of an app."""
        return self._workers[name].child.pid

    def is_ready(self, name: str) -> bool:
        """Whether an app says that it is ready."""
        return self._workers[name].is_ready() is not None

    def token(self, user_id: str) -> str:
        """A token of this API for a user, for a day."""
        return issue(signing_key(settings()), user_id, TOKEN_SECONDS, "read write")

    def start(self) -> None:
        """Start all, and return when all are ready.

        Raises:
            PartDied: one ended before it was ready, with the tail of its log.
        """
        began = time.monotonic()
        for name in self._apps:
            worker = self._workers[name] = self._worker(name)
            worker.start()
        for name, worker in self._workers.items():
            worker.child.wait_ready(worker.is_ready, READY_SECONDS, self._stop)
            self._say(f"{name}: ready at {worker.url} ({time.monotonic() - began:.1f} s)")

    def stop(self) -> None:
        """End all: SIGTERM, and SIGKILL after 10 s."""
        self._stop.set()
        for worker in self._workers.values():
            worker.child.close()
        for worker in self._workers.values():
            worker.child.stop()
            worker.port.release()
        self._workers.clear()

    def check(self) -> None:
        """Raise `PartDied` when one has ended."""
        for worker in self._workers.values():
            if not worker.child.is_alive():
                raise worker.child.death()

    def tend(self) -> None:
        """Start again what has ended: at once, or after up to 30 s when it keeps ending."""
        for name, worker in self._workers.items():
            if worker.child.is_alive():
                continue
            now = time.monotonic()
            if worker.restart_at is None:
                pause = worker.plan_restart(now)
                when = f"in {pause:.0f} s" if pause else "now"
                self._say(f"{name}: {worker.child.epitaph()}\n  starting it again {when}")
            if worker.restart_at is not None and now >= worker.restart_at:
                worker.child.close()
                try:
                    worker.start()
                except PartDied as error:
                    self._say(str(error))

    def replace_all(self, stop: threading.Event) -> None:
        """Replace one after the other until `stop` is set, and tend the others meanwhile. When one
        cannot be replaced, or is not ready then, the others are left as they are."""
        for name in ORDER:
            if (worker := self._workers.get(name)) is None:
                continue
            try:
                seconds, code = worker.replace(stop, look=self.tend)
            except Cancelled:
                return
            except (StackError, OSError) as error:
                self._say(f"{name}: not replaced, so the others are left as they are: {error}")
                return
            self._say(f"{name}: replaced; the old one ended with code {code} in {seconds:.1f} s")
            try:
                worker.child.wait_ready(partial(self._look, worker), READY_SECONDS, stop)
            except Cancelled:
                return
            except StackError as error:
                self._say(f"{name}: not ready, so the others are left as they are: {error}")
                return

    def _look(self, worker: Supervised) -> str | None:
        """What a worker says when it is ready; all are tended."""
        self.tend()
        return worker.is_ready()

    def _worker(self, name: str) -> Supervised:
        config = settings()
        wanted = {
            "app": config.monitor_port,
            "views": config.monitor_port + 1,
            "archive": config.monitor_port + 2,
            "api": config.api_port,
        }[name]
        port = reserve(wanted)
        if name == "api":
            command = ["-m", "headrace", "api", "--port", str(port.number)]
            health = "/healthz"
        else:
            command = ["-m", "faust", "-A", f"topology:{name}", "worker"]
            command += ["--loglevel", "info", "--web-port", str(port.number)]
            health = "/readyz/"
        env = {
            **os.environ,
            "KAFKA_BROKERS": self._addresses.kafka,
            "REDIS_URL": self._addresses.redis,
            "CASSANDRA_HOSTS": self._addresses.cassandra,
            "HEADRACE_DATA_DIR": str(config.data_dir),
            "HEADRACE_WORKER_ID": config.worker_id or self._id(name),
        }
        if name == "api":
            env["HEADRACE_MONITORS"] = config.monitors or ",".join(self.monitor_urls.values())
            if self._is_trying_out:
                env["HEADRACE_TRYING_OUT"] = "true"
        child = Child(name, self.log_dir / f"{name}.log", grace_s=STOP_SECONDS)
        return Supervised(name, port, child, command, env, health)

    def _id(self, name: str) -> str:
        """The name of a worker: the same whenever it is started, and nobody else's."""
        place = zlib.crc32(str(self.log_dir.resolve()).encode())
        return f"{socket.gethostname()}-{place:08x}-{name}"


def keep_running(
    supervisor: Supervisor,
    check: Callable[[], None],
    stop: threading.Event,
    replacing: threading.Event | None = None,
) -> None:
    """Tend until `stop` is set or Ctrl-C; `check` looks after the parts below. When `replacing` is
    set, all processes are replaced."""
    with suppress(KeyboardInterrupt):
        while not stop.wait(1):
            check()
            supervisor.tend()
            if replacing is not None and replacing.is_set():
                replacing.clear()
                supervisor.replace_all(stop)
