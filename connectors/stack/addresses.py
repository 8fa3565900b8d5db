"""Where the parts of the local stack listen, and the record that says so."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from connectors.settings import settings

CLOCK_S = 2.0  # how far two readings of the start of a process may differ


@dataclass(frozen=True)
class Addresses:
    """The addresses of a stack, as its clients take them; "" for a part that is not there."""

    kafka: str
    redis: str
    cassandra: str


@dataclass(frozen=True)
class Recorded:
    """One part of a recorded stack; pid 0 where somebody else runs it."""

    name: str
    address: str
    pid: int = 0
    created: float = 0.0
    version: str = ""
    log: str = ""

    def is_up(self) -> bool:
        """Whether its process is alive (True for a part that somebody else runs)."""
        return self.pid == 0 or is_alive(self.pid, self.created)


@dataclass(frozen=True)
class Record:
    """The stack that runs in a data directory."""

    pid: int
    created: float
    parts: list[Recorded] = field(default_factory=list)
    is_prepared: bool = False

    def is_up(self) -> bool:
        """Whether the stack's own process and every part are alive."""
        return is_alive(self.pid, self.created) and all(part.is_up() for part in self.parts)

    def addresses(self) -> Addresses:
        """The addresses of the parts."""
        found = {part.name: part.address for part in self.parts}
        return Addresses(**{name: found.get(name, "") for name in ("kafka", "redis", "cassandra")})


def record_file(data_dir: Path | None = None) -> Path:
    """Where the record of the stack is kept."""
    return (data_dir or settings().data_dir) / "stack.json"


def read(file: Path) -> Record | None:
    """The record, if there is one that can be read."""
    try:
        values = json.loads(file.read_text())
        parts = [Recorded(**part) for part in values.pop("parts")]
        return Record(parts=parts, **values)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(file: Path, record: Record) -> None:
    """Replace the record in one step."""
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(record), indent=1) + "\n")
    draft.replace(file)


def created(pid: int) -> float:
    """When the process with this pid was started, 0.0 when there is none."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def is_alive(pid: int, since: float) -> bool:
    """Whether the process with this pid is the one that was started then."""
    try:
        process = psutil.Process(pid)
        is_same = bool(abs(process.create_time() - since) < CLOCK_S)
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def running() -> Addresses | None:
    """The addresses of the stack that runs in the data directory, None when none does."""
    record = read(record_file())
    if record is None or not record.is_up():
        return None
    addresses = record.addresses()
    return addresses if all(asdict(addresses).values()) else None
