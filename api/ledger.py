"""What the API itself keeps in Redis of who writes; no sink writes these keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from api.idempotency import REMEMBERED_SECONDS, Remembered
from connectors.redis_keys import Keys

FORGET = """
-- KEYS: a request; ARGV: what is kept of it. Forgets it unless something else is kept by now.
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

Run = Callable[[Sequence[Sequence[Any]]], Awaitable[list[Any]]]
"""Takes commands to Redis in one round trip; raises `StoreDownError`."""

_encode = msgspec.msgpack.encode
_REMEMBERED = msgspec.msgpack.Decoder(Remembered)


class RedisLedger:
    """The ledger in Redis, one round trip a call."""

    def __init__(self, run: Run, partitions: int) -> None:
        self._run = run
        self._keys = Keys(partitions)

    async def claim(self, caller: str, key: str, request: Remembered) -> Remembered:
        """What is kept under a key for a day: `request`, unless there was something."""
        name = self._keys.request(caller, key)
        raw = _encode(request)
        _, kept = await self._run(
            [("SET", name, raw, "NX", "EX", REMEMBERED_SECONDS), ("GET", name)]
        )
        return request if kept is None else _REMEMBERED.decode(kept)

    async def settle(self, caller: str, key: str, request: Remembered) -> None:
        """Keep for a day how a request was answered."""
        name = self._keys.request(caller, key)
        await self._run([("SET", name, _encode(request), "EX", REMEMBERED_SECONDS)])

    async def forget(self, caller: str, key: str, request: Remembered) -> None:
        """Keep nothing of a request that came to nothing, unless another has settled it."""
        name = self._keys.request(caller, key)
        await self._run([("EVAL", FORGET, 1, name, _encode(request))])
