"""Views as they were decoded, kept until Redis says that they have changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from msgspec import Struct
from msgspec.msgpack import Decoder
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from api.redis_answers import decoded
from api.redis_link import Link, Told
from api.turns import turn

MOST = 20_000
"""Views, of some 1 KB each. When there are more, all are forgotten."""

_TRACKING = ("CLIENT", "TRACKING", "ON", "OPTIN")
_TRACK_NEXT = ("CLIENT", "CACHING", "YES")
_BARRIER = ("PING",)

log = structlog.get_logger(__name__)


class Lookup(Struct):
    """Views of a kind that are wanted, by id and by key, and those that were found, by id."""

    ids: Sequence[str]
    keys: Sequence[str]
    decoder: Decoder[Any]
    into: dict[str, Any]

    def note(self, name: str, raw: bytes | None) -> Any:
        """Note what was read of an id; None if there is nothing, or it cannot be decoded."""
        view = decoded(self.decoder, raw)
        if view is not None:
            self.into[name] = view
        return view


class KeptViews:
    """Views of one server, by key.

    What is kept is looked up behind an answer, on the connection that tells of what has changed
    (`Link`): so it is what Redis held when it gave that answer, or later. What changes all the time
    is told of once for each time that it was read.
    """

    def __init__(self, open_link: Callable[[Told], Awaitable[Link]]) -> None:
        self._open_link = open_link
        self._link: Link | None = None
        self._is_tracking = True
        self._kept: dict[str, Any] = {}
        self._asked: dict[str, object] = {}

    async def read(self, lookups: Sequence[Lookup], commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Look views up, and give the answers to commands; in one round trip, and in one more when
        what was kept has changed meanwhile.

        Raises:
            RedisError, OSError: Redis refuses, or cannot be reached.
        """
        kept = self._kept
        missing = [
            (name, key, each)
            for each in lookups
            for name, key in zip(each.ids, each.keys, strict=True)
            if key not in kept
        ]
        answers = await self._ask(missing, commands)
        asked = {key for _, key, _ in missing}
        changed = []
        for each in lookups:
            into = each.into
            for name, key in zip(each.ids, each.keys, strict=True):
                view = kept.get(key)
                if view is not None:
                    into[name] = view
                elif key not in asked:
                    changed.append((name, key, each))
        if changed:
            await self._ask(changed, ())
        return answers

    def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()

    async def _ask(
        self, missing: Sequence[tuple[str, str, Lookup]], commands: Sequence[Sequence[Any]]
    ) -> list[Any]:
        """Read and keep what is missing, and give the answers to commands."""
        link = await self._linked()
        keys = [key for _, key, _ in missing]
        asking = object()
        read: list[Sequence[Any]] = [("MGET", *keys)] if keys else []
        if keys and self._is_tracking:
            read.insert(0, _TRACK_NEXT)
            self._asked.update(dict.fromkeys(keys, asking))
        await turn(len(keys))
        answers = await self._answers(link, [*read, *commands] or [_BARRIER])
        if not keys:
            return answers[: len(commands)]
        await turn(len(keys))
        for (name, key, lookup), raw in zip(missing, answers[len(read) - 1], strict=True):
            view = lookup.note(name, raw)
            if self._asked.get(key) is asking:
                del self._asked[key]
                if view is not None:
                    self._keep(key, view)
        return answers[len(read) :]

    def _keep(self, key: str, view: Any) -> None:
        if len(self._kept) >= MOST:
            self._kept.clear()
        self._kept[key] = view

    async def _answers(self, link: Link, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers to commands. A connection that was idle may be gone: then another is made,
        and they are sent once more."""
        try:
            return await link.ask(commands)
        except RedisConnectionError:
            link.close()
        return await (await self._linked()).ask(commands)

    async def _linked(self) -> Link:
        if self._link is not None and self._link.is_open:
            return self._link
        link = await self._open_link(self._changed)
        try:
            await link.ask([_TRACKING])
        except NoPermissionError as error:
            self._is_tracking = False
            log.warning("views are not kept", error=str(error))
        except BaseException:
            link.close()
            raise
        if self._link is not None and self._link.is_open:  # another request was faster
            link.close()
            return self._link
        self._link = link
        return link

    def _changed(self, keys: Sequence[bytes] | None) -> None:
        """Forget keys; None: all."""
        if keys is None:
            self._kept.clear()
            self._asked.clear()
            return
        for raw in keys:
            key = raw.decode()
            self._kept.pop(key, None)
            self._asked.pop(key, None)
