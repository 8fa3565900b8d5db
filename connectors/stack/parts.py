"""What every part of the stack has: a directory, a port, a command and a probe."""

from __future__ import annotations

import shutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from connectors.stack.errors import StackError
from connectors.stack.ports import HOST, Port, reserve


class Part(ABC):
    """One server of the local stack; `home` is its directory."""

    name: ClassVar[str]
    grace_s: ClassVar[float] = 6.0  # from SIGTERM to SIGKILL
    ready_s: ClassVar[float] = 90.0

    def __init__(self, home: Path, wanted_port: int, say: Callable[[str], None]) -> None:
        self.home = home
        self.wanted_port = wanted_port
        self.say = say
        self.ports: list[Port] = []
        self.version = ""
        self.is_lasting = False
        """Whether it is to run for long: what saves work later may take some at first."""

    @property
    def port(self) -> int:
        """The port that clients connect to; reserved by `command`."""
        return self.ports[0].number if self.ports else self.wanted_port

    @property
    def address(self) -> str:
        """The address that clients are given."""
        return f"{HOST}:{self.port}"

    @abstractmethod
    def command(self, stop: threading.Event) -> list[str]:
        """Make everything ready, and the command that starts the server."""

    @abstractmethod
    def probe(self) -> str | None:
        """The server's version as a client sees it, None while it does not answer."""

    def reserve_ports(self, *others: int) -> list[int]:
        """Reserve the client's port, and others from these on; the same ones at a restart."""
        if not self.ports:
            try:
                for wanted in (self.wanted_port, *others):
                    self.ports.append(reserve(wanted))
            except StackError:
                self.release_ports()
                raise
            if self.port != self.wanted_port:
                self.say(f"{self.name}: port {self.wanted_port} is taken, using {self.port}")
        return [port.number for port in self.ports]

    def release_ports(self) -> None:
        """Give the ports back once the part has stopped."""
        for port in self.ports:
            port.release()
        self.ports = []

    def directory(self, name: str, *, is_emptied: bool = False) -> Path:
        """A directory of this part, made if it is not there."""
        path = self.home / name
        if is_emptied:
            shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name: str, text: str) -> Path:
        """Write a configuration file of this part."""
        path = self.directory("config") / name
        path.write_text(text)
        return path
