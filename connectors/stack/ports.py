"""Free ports on the loopback interface, reserved against other stacks that start meanwhile."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

from connectors.stack.errors import StackError

HOST = "127.0.0.1"


class Port:
    """A port that this process alone may give to a part, until it is released."""

    def __init__(self, number: int, lock: int) -> None:
        self.number = number
        self._lock: int | None = lock

    def release(self) -> None:
        """Give the port back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def is_listening(port: int, host: str = HOST) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def is_free(port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return not is_listening(port)


def reserve(wanted: int, tries: int = 500) -> Port:
    """The wanted port, or the next free one above it.

    Raises:
        StackError: none of the next `tries` ports is free.
    """
    for number in range(wanted, min(wanted + tries, 65_536)):
        lock = _lock(number)
        if lock is None:
            continue
        if is_free(number):
            return Port(number, lock)
        os.close(lock)
    raise StackError(
        f"No free port from {wanted} on",
        f"{tries} ports were tried on {HOST}",
        "set HEADRACE_KAFKA_PORT, HEADRACE_REDIS_PORT or HEADRACE_CASSANDRA_PORT to another range",
    )


def _lock(number: int) -> int | None:
    """Takes this port's lock among the stacks of this user; freed by the kernel at the end."""
    directory = Path(tempfile.gettempdir(), f"headrace-ports-{os.getuid()}")
    directory.mkdir(mode=0o700, exist_ok=True)
    file = os.open(directory / str(number), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
