"""Views as they were decoded, kept until Redis says that they have changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from msgspec import Struct
from msgspec.msgpack import Decoder
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from api.held import Entries
from api.redis_answers import decoded
from api.redis_link import Link, Told
from api.turns import turn

MOST = 20_000
"""Views, of some 1 KB each. When there are more, all are forgotten."""

MOST_ENTRIES = 250_000
"""Of sets that are kept, of some 200 bytes each. When there are more, all are forgotten."""

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
    """Views of one server, and the entries of sorted sets, by key.

    What is kept is looked up behind an answer, on the connection that tells of what has changed
    (`Link`): so it is what Redis held when it gave that answer, or later. What changes all the time
    is told of once for each time that it was read.

    Sorted sets are read on another connection. That it is to be told of changes of one is said on
    the first with what is asked there next, and what is read after the answer to that is kept.
    """

    def __init__(self, open_link: Callable[[Told, int], Awaitable[Link]]) -> None:
        self._open_link = open_link
        self._link: Link | None = None
        self._flat: Link | None = None
        self._is_tracking = True
        self._kept: dict[str, Any] = {}
        self._sets: dict[str, Entries] = {}
        self._entries = 0
        self._to_tell_of: set[str] = set()
        self._told_of: dict[str, object] = {}
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
            if not all(map(kept.__contains__, each.keys))
            for name, key in zip(each.ids, each.keys, strict=True)
            if key not in kept
        ]
        answers = await self._ask(missing, commands)
        asked = {key for _, key, _ in missing}
        changed = []
        for each in lookups:
            views = list(map(kept.get, each.keys))
            if all(views):
                each.into.update(zip(each.ids, views, strict=True))
                continue
            for name, key, view in zip(each.ids, each.keys, views, strict=True):
                if view is not None:
                    each.into[name] = view
                elif key not in asked:
                    changed.append((name, key, each))
        if changed:
            await self._ask(changed, ())
        return answers

    async def entries(
        self, question: Sequence[Any], commands: Sequence[Sequence[Any]]
    ) -> tuple[Entries, list[Any]]:
        """The entries of the sorted set that a question (ZREVRANGE with scores, always the same of
        a key) asks for, and the answers to commands that are carried out behind it; in one round
        trip, and in one more when what was kept has changed meanwhile.

        Raises:
            RedisError, OSError: Redis refuses, or cannot be reached.
        """
        key = question[1]
        if key in self._sets:
            answers = await self._ask((), commands)
            if (kept := self._sets.get(key)) is not None:
                return kept, answers
        told_of = self._told_of.get(key)
        flat, *answers = await self.ask_flat([question, *commands])
        entries = Entries(flat)
        if told_of is None:
            self._to_tell_of.add(key)
        elif told_of is self._told_of.get(key) and len(entries):
            self._keep_set(key, entries)
        return entries, answers

    async def ask_flat(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers to commands in RESP2: sorted sets are flat there, where RESP3 has a list for
        each member, which takes two to four times as long to parse.

        Raises:
            RedisError, OSError: Redis refuses, or cannot be reached.
        """
        return await self._answers(self._flatly_linked, commands)

    def close(self) -> None:
        """Close the connections."""
        for link in (self._link, self._flat):
            if link is not None:
                link.close()

    async def _ask(
        self, missing: Sequence[tuple[str, str, Lookup]], commands: Sequence[Sequence[Any]]
    ) -> list[Any]:
        """Read and keep what is missing, and give the answers to commands."""
        await self._linked()
        keys = [key for _, key, _ in missing]
        await turn(len(keys))
        to_tell_of, self._to_tell_of = self._to_tell_of, set()
        read: list[Sequence[Any]] = []
        if to_tell_of and self._is_tracking:
            read += [_TRACK_NEXT, ("EXISTS", *to_tell_of)]
        if keys:
            read += [_TRACK_NEXT, ("MGET", *keys)] if self._is_tracking else [("MGET", *keys)]
        with self._asking([*keys, *to_tell_of]) as is_same:
            answers = await self._answers(self._linked, [*read, *commands] or [_BARRIER])
            self._note_told_of(filter(is_same, to_tell_of))
            await turn(len(keys))
            raws = answers[len(read) - 1] if keys else ()
            for (name, key, lookup), raw in zip(missing, raws, strict=True):
                view = lookup.note(name, raw)
                if view is not None and is_same(key):
                    self._keep(key, view)
        return answers[len(read) : len(read) + len(commands)]

    def _note_told_of(self, keys: Iterable[str]) -> None:
        if len(self._told_of) >= MOST:
            self._told_of.clear()
        for key in keys:
            self._told_of[key] = object()

    @contextmanager
    def _asking(self, keys: Sequence[str]) -> Iterator[Callable[[str], bool]]:
        """While keys are asked for: gives what says of each whether it may be kept, because Redis
        would have told if it had changed meanwhile, and has not."""
        asking = object()
        if self._is_tracking:
            self._asked.update(dict.fromkeys(keys, asking))
        try:
            yield lambda key: self._asked.get(key) is asking
        finally:
            for key in keys:
                if self._asked.get(key) is asking:
                    del self._asked[key]

    def _keep(self, key: str, view: Any) -> None:
        if len(self._kept) >= MOST:
            self._kept.clear()
        self._kept[key] = view

    def _keep_set(self, key: str, entries: Entries) -> None:
        self._forget_set(key)
        if self._entries + len(entries) > MOST_ENTRIES:
            self._sets.clear()
            self._entries = 0
        self._sets[key] = entries
        self._entries += len(entries)

    def _forget_set(self, key: str) -> None:
        if (entries := self._sets.pop(key, None)) is not None:
            self._entries -= len(entries)

    async def _answers(
        self, linked: Callable[[], Awaitable[Link]], commands: Sequence[Sequence[Any]]
    ) -> list[Any]:
        """The answers to commands. A connection that was idle may be gone: then another is made,
        and they are sent once more."""
        link = await linked()
        try:
            return await link.ask(commands)
        except RedisConnectionError:
            link.close()
        return await (await linked()).ask(commands)

    async def _linked(self) -> Link:
        """The connection that tells of changes."""
        if self._link is not None and self._link.is_open:
            return self._link
        link = await self._open_link(self._changed, 3)
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

    async def _flatly_linked(self) -> Link:
        """The one whose answers are flat."""
        if self._flat is not None and self._flat.is_open:
            return self._flat
        link = await self._open_link(lambda _: None, 2)
        if self._flat is not None and self._flat.is_open:  # another request was faster
            link.close()
            return self._flat
        self._flat = link
        return link

    def _changed(self, keys: Sequence[bytes] | None) -> None:
        """Forget keys; None: all."""
        if keys is None:
            self._kept.clear()
            self._sets.clear()
            self._entries = 0
            self._told_of.clear()
            self._asked.clear()
            return
        for raw in keys:
            key = raw.decode()
            self._kept.pop(key, None)
            self._asked.pop(key, None)
            self._told_of.pop(key, None)
            self._forget_set(key)
