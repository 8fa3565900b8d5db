"""What heavy sources hold, as it was parsed, until Redis says that it has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog
from redis.asyncio import Connection
from redis.exceptions import RedisError, ResponseError

from api.held import Entries

PREFIX = "recent:"
CHANNEL = "__redis__:invalidate"
MAX_KEPT = 2_000
"""Sources, of some 30 KB each."""

SILENCE_SECONDS = 1.0
"""After which Redis is asked whether it is there, and has as long to answer."""

log = structlog.get_logger(__name__)


class Recents:
    """Keeps values of keys that begin with `recent:`, of one server.

    Redis tells a connection of its own of every change (https://redis.io/docs/latest/develop/
    reference/client-side-caching, broadcasting mode); while that connection is not there, nothing
    is kept. A change is known as late as its message comes, or 2 s at most if none can come.
    """

    def __init__(self, connection: Callable[[], Connection]) -> None:
        self._connection = connection
        self._kept: dict[str, Entries] = {}
        self._asked: dict[str, object] = {}
        self._is_told = False
        self._listening = asyncio.create_task(self._keep_listening())

    def get(self, key: str) -> Entries | None:
        """What a key held when it was last asked, if it has not changed."""
        return self._kept.get(key)

    def asking(self, keys: Iterable[str]) -> object:
        """Redis is about to be asked for keys; give the result to `keep`."""
        asking = object()
        if self._is_told:
            self._asked.update(dict.fromkeys(keys, asking))
        return asking

    def keep(self, asking: object, key: str, entries: Entries) -> None:
        """Keep what a key was answered to hold, unless it has changed since it was asked for."""
        if self._asked.get(key) is asking:
            del self._asked[key]
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[key] = entries

    async def close(self) -> None:
        """Close the connection."""
        self._listening.cancel()
        with suppress(asyncio.CancelledError):
            await self._listening

    async def _keep_listening(self) -> None:
        while True:
            connection = self._connection()
            try:
                await self._listen(connection)
            except ResponseError as error:  # a user without the right to
                log.warning("recents are not kept", error=str(error))
                return
            except (RedisError, OSError, TimeoutError):
                pass  # and once more, in a while
            finally:
                self._is_told = False
                self._forget()
                await connection.disconnect(nowait=True)
            await asyncio.sleep(SILENCE_SECONDS)

    async def _listen(self, connection: Connection) -> None:
        """Forget what has changed, for as long as Redis can be heard."""
        await connection.connect()  # type: ignore[no-untyped-call]
        await connection.send_command("CLIENT", "ID")
        own = await connection.read_response()
        tracking = ("CLIENT", "TRACKING", "ON", "REDIRECT", own, "BCAST", "PREFIX", PREFIX)
        for command in (tracking, ("SUBSCRIBE", CHANNEL)):
            await connection.send_command(*command)
            await connection.read_response()
        self._is_told = True
        is_asked = False
        while True:
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    kind, *_, keys = await connection.read_response(disconnect_on_error=False)
            except TimeoutError:
                if is_asked:
                    raise
                await connection.send_command("PING")
                is_asked = True
                continue
            is_asked = False
            if kind == b"message":
                self._changed(keys)

    def _changed(self, keys: list[bytes] | None) -> None:
        """Forget keys; None: all."""
        if keys is None:
            self._forget()
            return
        for raw in keys:
            key = raw.decode()
            self._kept.pop(key, None)
            self._asked.pop(key, None)

    def _forget(self) -> None:
        self._kept.clear()
        self._asked.clear()
