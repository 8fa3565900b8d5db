"""The local stack: starts what is missing, and stops what it started."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from connectors.settings import settings
from connectors.stack import addresses as records
from connectors.stack.addresses import Addresses, Record, Recorded, running
from connectors.stack.cassandra import Cassandra
from connectors.stack.errors import Cancelled, StackBusy, StackError
from connectors.stack.kafka import Kafka
from connectors.stack.parallel import Job, run_all
from connectors.stack.parts import Part
from connectors.stack.process import Child
from connectors.stack.valkey import Valkey
from schemas.formats import FORMAT

PARTS: dict[str, type[Part]] = {"kafka": Kafka, "redis": Valkey, "cassandra": Cassandra}
ENDING_S = 12.0  # how long the parts of a stack that was killed may take to end
NEEDED_BYTES = 500 * 10**6


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class LocalStack:
    """Kafka, Valkey and Cassandra on this machine, for as long as the context lasts.

    A part whose address is in the settings (`KAFKA_BROKERS`, `REDIS_URL`, `CASSANDRA_HOSTS`) is
    not started. However this process ends, the parts end with it within about 10 s.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        fresh: bool = False,
        parts: Collection[str] = ("kafka", "redis", "cassandra"),
        say: Callable[[str], None] = _say,
        is_lasting: bool = False,
    ) -> None:
        unknown = set(parts) - set(PARTS)
        if unknown:
            raise ValueError(f"unknown parts: {', '.join(sorted(unknown))}")
        self.data_dir = (data_dir or settings().data_dir).absolute()
        self.fresh = fresh
        self.say = say
        self._wanted = parts
        self._is_lasting = is_lasting
        self._parts: dict[str, Part] = {}
        self._children: dict[str, Child] = {}
        self._killed: set[str] = set()
        self._external: dict[str, str] = {}
        self._stop = threading.Event()
        self._changing = threading.Lock()
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def addresses(self) -> Addresses:
        """The addresses of the started stack."""
        found = {name: part.address for name, part in self._parts.items()} | self._external
        return Addresses(**{name: found.get(name, "") for name in PARTS})

    def start(self) -> Addresses:
        """Start the parts side by side, and wait until each answers.

        Raises:
            StackBusy: another stack runs in this data directory.
            PartDied: a part ended while it started.
            StackError: anything else; what was started is stopped.
        """
        config = settings()
        given = {
            "kafka": config.kafka_brokers,
            "redis": config.redis_url,
            "cassandra": config.cassandra_hosts,
        }
        ports = {
            "kafka": config.kafka_port,
            "redis": config.redis_port,
            "cassandra": config.cassandra_port,
        }
        self._external = {name: given[name] for name in self._wanted if given[name]}
        own = [name for name in PARTS if name in self._wanted and not given[name]]
        if not own:
            return self.addresses
        self._stop.clear()
        try:
            self._take_data_dir()
            for name in own:
                home = self.data_dir / "stack" / name
                if self.fresh:
                    shutil.rmtree(home, ignore_errors=True)
                part = self._parts[name] = PARTS[name](home, ports[name], self.say)
                part.is_lasting = self._is_lasting
            self._check_format()
            run_all([self._job(name) for name in own], self._stop)
            self._record()
        except OSError as error:
            self.stop()
            hint = "set HEADRACE_DATA_DIR to a directory that you may write to, with free space"
            raise StackError("Cannot start the local stack", str(error), hint) from error
        except BaseException:
            self.stop()
            raise
        return self.addresses

    def stop(self) -> None:
        """Stop whatever this stack started; its data stays."""
        self._stop.set()
        with self._changing:
            children = list(self._children.values())
            for child in children:
                child.close()
            for child in children:
                child.stop()
            self._children.clear()
        for part in self._parts.values():
            part.release_ports()
        self._parts.clear()
        self._killed.clear()
        if self._lock is not None:
            records.record_file(self.data_dir).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def has_parts(self) -> bool:
        """Whether it started any part itself."""
        return bool(self._children)

    def check(self) -> None:
        """Raise PartDied when a part has died that was not killed here on purpose."""
        for name, child in self._children.items():
            if name not in self._killed and not child.is_alive():
                raise child.death()

    def kill(self, part: str) -> None:
        """Kill a part as a crash would (SIGKILL), and return once it is gone."""
        self._killed.add(part)
        self._children[part].kill()

    def restart(self, part: str) -> None:
        """Start a part again on its port and data; stopped before if it still runs."""
        self._children[part].stop()
        self._start(part, self._stop)
        self._killed.discard(part)
        with self._changing:  # others may be restarted at the same time
            self._record()

    def prepared(self) -> None:
        """Record that topics and tables are there, for `stack up --detach`."""
        file = records.record_file(self.data_dir)
        record = records.read(file)
        if record is not None and self._lock is not None:
            records.write(file, replace(record, is_prepared=True))

    def _job(self, name: str) -> Job:
        return lambda stop: self._start(name, stop)

    def _start(self, name: str, stop: threading.Event) -> None:
        part = self._parts[name]
        command = part.command(stop)
        started = time.monotonic()
        log = self.data_dir / "logs" / f"{name}.log"
        child = Child(name, log, grace_s=part.grace_s, lock=self._lock)
        with self._changing:
            if stop.is_set():
                raise Cancelled(f"{name}: stopped while starting")
            self._children[name] = child
            child.start(command, cwd=part.directory("."), env=environment())
        part.version = child.wait_ready(part.probe, part.ready_s, stop)
        took = time.monotonic() - started
        self.say(f"{name}: {part.version} is up at {part.address} ({took:.1f} s)")

    def _record(self) -> None:
        me = os.getpid()
        parts = [Recorded(name, address) for name, address in self._external.items()]
        for name, child in self._children.items():
            part = self._parts[name]
            parts.append(
                Recorded(name, part.address, child.pid, child.created, part.version, str(child.log))
            )
        records.write(records.record_file(self.data_dir), Record(me, records.created(me), parts))

    def _take_data_dir(self) -> None:
        """Lock the data directory; the guards hold the lock too, until their parts have ended."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.data_dir).free
        if free < NEEDED_BYTES:
            raise StackError(
                f"Only {free / 1e6:.0f} MB free in {self.data_dir}",
                f"the local stack needs {NEEDED_BYTES / 1e6:.0f} MB to start",
                "free some disk space, or set HEADRACE_DATA_DIR to another disk",
            )
        file = os.open(self.data_dir / "stack.lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + ENDING_S
        has_said = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                record = records.read(records.record_file(self.data_dir))
                is_held = record is None or records.is_alive(record.pid, record.created)
                if is_held or time.monotonic() > deadline:
                    os.close(file)
                    raise self._busy() from None
                if not has_said:
                    has_said = True
                    self.say("waiting for the parts of a stack that was killed to end")
                time.sleep(0.2)
            else:
                self._lock = file
                return

    def _check_format(self) -> None:
        """Refuse data of another version, and mark new data as of this one."""
        stack = self.data_dir / "stack"
        mark = stack / "format"
        if any((stack / name).exists() for name in PARTS):
            found = mark.read_text().strip() if mark.exists() else "1"
            if found != str(FORMAT):
                raise StackError(
                    f"The data in {self.data_dir} is of another version of Headrace",
                    f"it has format {found}, this version reads {FORMAT}",
                    "set HEADRACE_DATA_DIR to another directory, or start with --fresh, which "
                    "deletes that data",
                )
        stack.mkdir(parents=True, exist_ok=True)
        mark.write_text(f"{FORMAT}\n")

    def _busy(self) -> StackBusy:
        return StackBusy(
            f"Another stack runs in {self.data_dir}",
            "or is starting or stopping there",
            "stop it with `headrace stack down`, or set HEADRACE_DATA_DIR to another directory",
        )


def environment() -> dict[str, str]:
    """The environment of a part: this one's, without what would change how Java runs."""
    dropped = {"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH"}
    return {name: value for name, value in os.environ.items() if name not in dropped}


@contextlib.contextmanager
def use_stack(*, fresh: bool = False, say: Callable[[str], None] = _say) -> Iterator[Addresses]:
    """The addresses in the settings; else the running stack; else an own one, stopped at the end.

    Waits for a stack that another process is just starting in the same data directory.
    """
    stack = LocalStack(fresh=fresh, say=say)
    deadline = time.monotonic() + 180
    config = settings()
    is_given = bool(config.kafka_brokers and config.redis_url and config.cassandra_hosts)
    while True:
        found = None if is_given else running()
        if found is not None:
            yield found
            return
        try:
            mine = stack.start()
            break
        except StackBusy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    try:
        yield mine
    finally:
        stack.stop()
