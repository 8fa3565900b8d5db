"""How a process gives way to its successor, which is prepared beside it.

The successor has one end of a pair of sockets, and who replaces the process the other. It writes a
byte when it is prepared, and waits for one back: the other has ended then, and left what only one
can have, a name in a group, a port, files.
"""

from __future__ import annotations

import asyncio
import os
import socket
from types import TracebackType
from typing import Self

VARIABLE = "HEADRACE_HANDOVER"
"""In the successor's environment: the number of its socket."""

_SIGNAL = b"."


class Handover:
    """The end of who replaces a process; closing it while the successor waits ends that."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ours.close()
        self._theirs.close()

    @property
    def passed(self) -> int:
        """The file descriptor that the successor has to inherit."""
        return self._theirs.fileno()

    @property
    def env(self) -> dict[str, str]:
        """What the successor needs to know."""
        return {VARIABLE: str(self.passed)}

    def prepared(self) -> str | None:
        """What the successor says when it is prepared, None while it does not: a probe of
        `Child.wait_ready`."""
        try:
            return self._ours.recv(1).decode() or None
        except BlockingIOError:
            return None

    def complete(self) -> None:
        """Let the successor begin: the other has ended."""
        self._ours.send(_SIGNAL)


class HandoverError(Exception):
    """Who replaces a process has given it up before the successor could begin."""


def is_successor() -> bool:
    """Whether this process replaces another."""
    return VARIABLE in os.environ


async def wait_for_turn() -> None:
    """Say that this process is prepared, and return when the other has ended; at once if it
    replaces none.

    Raises:
        HandoverError: it was given up.
    """
    if not is_successor():
        return
    with socket.socket(fileno=int(os.environ.pop(VARIABLE))) as given:
        given.setblocking(False)
        try:
            given.send(_SIGNAL)
            said = await asyncio.get_running_loop().sock_recv(given, 1)
        except ConnectionError:  # what this process said was not read any more
            said = b""
    if not said:
        raise HandoverError("this process was to replace another, and was given up")
