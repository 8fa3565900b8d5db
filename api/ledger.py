"""What the API itself keeps in Redis of who writes; no sink writes these keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog
from prometheus_client import Counter

from api.gcra import Limit, Standing
from api.idempotency import REMEMBERED_SECONDS, Remembered
from api.redis_answers import decode
from api.stores import StoreDownError, Taken
from connectors.redis_keys import Keys
from schemas.views import DELETED, UserView

FORGET = """
-- KEYS: a request; ARGV: what is kept of it. Forgets it unless something else is kept by now.
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

TAKE = """
-- KEYS: the TAT of a caller's writes of a class; ARGV: interval, tolerance. All in microseconds.
-- As `api.gcra.take`, by the clock of Redis. Returns whether one was taken, and how far the TAT is
-- ahead then.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local ahead = math.max(0, tonumber(redis.call('GET', KEYS[1]) or 0) - now)
if ahead > tolerance then return {0, ahead} end
ahead = ahead + interval
redis.call('SET', KEYS[1], string.format('%.0f', now + ahead), 'PX', math.ceil(ahead / 1000))
return {1, ahead}
"""

FAILURES = Counter(
    "headrace_api_ledger_failures",
    "Calls to Redis about who writes that went on without an answer.",
    ["call"],
    registry=None,
)

Run = Callable[[Sequence[Sequence[Any]]], Awaitable[list[Any]]]
"""Takes commands to Redis in one round trip; raises `StoreDownError`."""

log = structlog.get_logger(__name__)

_encode = msgspec.msgpack.encode
_REMEMBERED = msgspec.msgpack.Decoder(Remembered)
_USER = msgspec.msgpack.Decoder(UserView)


def note_failure(call: str, error: StoreDownError) -> None:
    """Log and count a call that is done without."""
    FAILURES.labels(call).inc()
    log.warning("no ledger", call=call, reason=error.reason)


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

    async def take(self, kind: str, caller: str, limit: Limit | None) -> Taken:
        """Take one write of a class from a caller's limit, and see whether the caller is erased."""
        commands: list[Sequence[Any]] = [("GET", self._keys.user(caller))]
        if limit is not None:
            name = self._keys.limit(caller, kind)
            commands.append(("EVAL", TAKE, 1, name, limit.interval_us, limit.tolerance_us))
        user, *taken = await self._run(commands)
        users: dict[str, UserView] = {}
        decode(_USER, [caller], [user], users)
        is_erased = caller in users and users[caller].status == DELETED
        if not taken:
            return Taken(None, is_erased)
        ((is_allowed, ahead_us),) = taken
        return Taken(Standing(bool(is_allowed), ahead_us), is_erased)
