"""Commands for Redis in one write: all take effect together, if a key is as it was seen.

A connection of redis-py carries them, packed by hiredis. The library's own pipeline does the
same for any use, at 9 to 10 µs a command instead of 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, cast

from hiredis import pack_command
from redis import Redis
from redis.exceptions import ResponseError

Argument = str | bytes | int | float

_pack = cast(Callable[[tuple[Argument, ...]], bytes], pack_command)  # its stub says: of one
_MULTI = _pack(("MULTI",))
_EXEC = _pack(("EXEC",))


class Transaction:
    """One after the other on one connection: `watch`, `add` as often as wanted, `execute`.

    Leaving the context with anything not executed drops the connection, and with it the watch.
    """

    def __init__(self, client: Redis) -> None:
        self._pool = client.connection_pool
        self._connection: Any = self._pool.get_connection()
        self._commands: list[bytes] = []
        self._is_watching = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_watching:
            self._connection.disconnect()
        self._pool.release(self._connection)

    def __len__(self) -> int:
        return len(self._commands)

    def watch(self, key: str) -> bytes | None:
        """What a key holds, which must not change before `execute`."""
        self._is_watching = True
        self._connection.send_packed_command([_pack(("WATCH", key)) + _pack(("GET", key))])
        self._read()
        found: bytes | None = self._read()
        return found

    def add(self, *command: Argument) -> None:
        """Put a command at the end."""
        self._commands.append(_pack(command))

    def execute(self) -> bool:
        """Send what was added; False when it had no effect, because what was watched changed.

        Raises:
            ResponseError: a command was refused; those beside it took effect, unless Redis
                refused it unseen.
        """
        packed = b"".join([_MULTI, *self._commands, _EXEC])
        replies = 1 + len(self._commands)
        self._commands.clear()
        self._connection.send_packed_command([packed])
        refused: list[ResponseError] = []
        for _ in range(replies):
            try:
                self._read()
            except ResponseError as error:
                refused.append(error)
        try:
            answers = self._read()
        finally:
            self._is_watching = False
            if refused:
                raise refused[0]
        for answer in answers or ():
            if isinstance(answer, ResponseError):
                raise answer
        return answers is not None

    def _read(self) -> Any:
        return self._connection.read_response(disable_decoding=True)
