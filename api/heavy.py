"""Heavy sources, as Redis has them: which there are, which a user follows, and what these hold.

One that cannot be read is left out for some seconds, and costs nobody the others.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from api.held import Entries
from api.lately import Lately
from api.recents import MAX_KEPT, Recents
from api.redis_answers import scored
from api.stores import MANY_HEAVY, StoreDownError
from connectors.redis_keys import Keys

NAMES_SECONDS = 1.0
TOGETHER_SECONDS = 0.5
ALONE_SECONDS = 0.25
"""For what one source holds, when all together did not come in time."""

LEFT_OUT_SECONDS = 2.0
MAX_LEFT_OUT = 1_000

Commands = Sequence[Sequence[Any]]
Ask = Callable[[Commands], Awaitable[list[Any]]]
AskWithin = Callable[[Commands, float], Awaitable[list[Any]]]


class Pulled(NamedTuple):
    """What sources hold; whether that of some could not be read."""

    entries: list[Entries]
    is_partial: bool


class HeavySources:
    """Reads them by `ask`, and what they hold by `ask_within`, which has seconds; raises what these
    raise."""

    def __init__(self, keys: Keys, ask: Ask, ask_within: AskWithin) -> None:
        self._keys = keys
        self._recent_key = lru_cache(MAX_KEPT)(keys.recent)
        self._ask = ask
        self._ask_within = ask_within
        self._names = Lately(self._ask_names, NAMES_SECONDS)
        self._left_out: dict[str, float] = {}
        self._recents: Recents | None = None

    def keep(self, recents: Recents) -> None:
        """Keep what sources hold until Redis says that it has changed."""
        self._recents = recents

    async def close(self) -> None:
        """Keep nothing more."""
        await self._names.close()
        if self._recents is not None:
            await self._recents.close()
            self._recents = None

    async def names(self) -> set[str]:
        """All of them, as they were a second ago at most."""
        return await self._names.get()

    def question(self, user_id: str, names: Collection[str]) -> Sequence[Any]:
        """The command that asks which of these a user follows. O(names), or O(sources followed)
        when the names are many."""
        following = self._keys.following(user_id)
        if len(names) <= MANY_HEAVY:
            return ("ZMSCORE", following, *names)
        return ("ZRANGE", following, 0, -1)

    @staticmethod
    def answer(names: Collection[str], found: Sequence[Any]) -> list[str]:
        """Those that the user follows, by the answer to `question`."""
        if len(names) <= MANY_HEAVY:
            return scored(names, found)
        return [source for raw in found if (source := raw.decode()) in names]

    async def followed(self, user_id: str) -> list[str]:
        """Those that a user follows, in one round trip."""
        names = await self.names()
        if not names:
            return []
        (found,) = await self._ask([self.question(user_id, names)])
        return self.answer(names, found)

    async def held(self, sources: Sequence[str]) -> Pulled:
        """What sources hold, in one round trip; none for what is kept. Many readers ask for the
        same."""
        keys = list(map(self._recent_key, sources))
        known = self._recents
        found = {key: kept for key in keys if known and (kept := known.get(key)) is not None}
        missing = [key for key in keys if key not in found]
        if missing:
            asking = known.asking(missing) if known else None
            for key, flat in (await self._read(missing)).items():
                found[key] = entries = Entries(flat)
                if known:
                    known.keep(asking, key, entries)
        return Pulled(list(found.values()), len(found) < len(keys))

    async def _ask_names(self) -> set[str]:
        partitions = range(self._keys.partitions)
        found = await self._ask([("SMEMBERS", self._keys.heavy(p)) for p in partitions])
        return {source.decode() for sources in found for source in sources}

    async def _read(self, keys: list[str]) -> dict[str, list[bytes]]:
        """The values of those keys that can be read: of all at once, or of each by itself."""
        now = time.monotonic()
        wanted = [key for key in keys if self._left_out.get(key, -math.inf) <= now]
        if not wanted:
            return {}
        try:
            found = await self._ask_within(list(map(_all_of, wanted)), TOGETHER_SECONDS)
        except StoreDownError:
            found = await asyncio.gather(*map(self._read_alone, wanted))
        return {key: flat for key, flat in zip(wanted, found, strict=True) if flat is not None}

    async def _read_alone(self, key: str) -> list[bytes] | None:
        try:
            (flat,) = await self._ask_within([_all_of(key)], ALONE_SECONDS)
        except StoreDownError:
            if len(self._left_out) >= MAX_LEFT_OUT:
                self._left_out.clear()
            self._left_out[key] = time.monotonic() + LEFT_OUT_SECONDS
            return None
        answer: list[bytes] = flat
        return answer


def _all_of(key: str) -> Sequence[Any]:
    return "ZREVRANGE", key, 0, -1, "WITHSCORES"
