"""A connection to a Redis server for all that is asked at the same time; it tells of changes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from hiredis import PushNotification, Reader, pack_command
from msgspec import Struct, field
from redis.asyncio import Connection, SSLConnection
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

Told = Callable[[Sequence[bytes] | None], None]
"""Is given keys that have changed; None: any may have."""

SILENT_SECONDS = 0.9
"""After which nothing is thought to come: a little less than what a request is given."""

_NOTHING = object()


class _Asked(Struct):
    """What is waited for since a time of the loop's: so many answers, of which some have come."""

    future: asyncio.Future[list[Any]]
    count: int
    since: float
    answers: list[Any] = field(default_factory=list)


class Link(asyncio.Protocol):
    """Sends commands as they are asked for; their answers come in that order. When somebody
    stops waiting while nothing comes, it closes: the server may be gone without a word.

    With RESP3 Redis says on the same connection, and before the answer to any command that it
    carries out later, which keys have changed of those that were read with `CLIENT CACHING YES`
    (https://redis.io/docs/latest/develop/reference/client-side-caching). So who has an answer has
    been told of all that changed before it was given.
    """

    def __init__(self, told: Told) -> None:
        self._told = told
        self._reader = Reader(replyError=DefaultParser.parse_error, notEnoughData=_NOTHING)
        self._asked: deque[_Asked] = deque()
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self._transport is not None

    async def ask(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers to commands.

        Raises:
            RedisError: one was refused, or the connection is gone, or goes meanwhile.
        """
        if self._transport is None:
            raise RedisConnectionError("the connection is closed")
        loop = asyncio.get_running_loop()
        asked = _Asked(loop.create_future(), len(commands), loop.time())
        self._transport.write(b"".join([pack_command(tuple(each)) for each in commands]))
        self._asked.append(asked)
        try:
            answers = await asked.future
        except asyncio.CancelledError:
            if self._asked and loop.time() - self._asked[0].since >= SILENT_SECONDS:
                self.close()
            raise
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer
        return answers

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()
            self.connection_lost(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """As `asyncio.Protocol`."""
        gets = self._reader.gets
        self._reader.feed(data)
        while (answer := gets()) is not _NOTHING:
            if isinstance(answer, PushNotification):
                if answer[0] == b"invalidate":
                    self._told(answer[1])
                continue
            asked = self._asked[0]
            asked.answers.append(answer)
            if len(asked.answers) == asked.count:
                self._asked.popleft()
                if not asked.future.done():
                    asked.future.set_result(asked.answers)

    def connection_lost(self, exc: Exception | None) -> None:
        """As `asyncio.Protocol`."""
        self._transport = None
        self._told(None)
        while self._asked:
            future = self._asked.popleft().future
            if not future.done():
                future.set_exception(RedisConnectionError(f"the connection was lost: {exc}"))


async def open_link(to: Connection, told: Told, protocol: int) -> Link:
    """A link to where a connection of redis-py would go, which is not made, in RESP2 or RESP3.

    Raises:
        RedisError, OSError: there is none, or it refuses.
    """
    context = to.ssl_context.get() if isinstance(to, SSLConnection) else None
    _, link = await asyncio.get_running_loop().create_connection(
        lambda: Link(told), to.host, to.port, ssl=context
    )
    greeting: list[Any] = ["HELLO", protocol]
    if to.password:
        greeting += ["AUTH", to.username or "default", to.password]
    try:
        await link.ask([greeting, ("SELECT", to.db)] if to.db else [greeting])
    except BaseException:
        link.close()
        raise
    return link
