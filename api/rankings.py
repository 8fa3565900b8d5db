"""What the API itself keeps in Redis to rank feeds; sinks only erase these keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog

from api.seen import FULL_BITS, Seen, bits_of
from api.snapshots import Snapshot
from connectors.redis import TRIM_WITH_HASH
from connectors.redis_keys import Keys

SNAPSHOT_SECONDS = 10 * 60
SNAPSHOTS = 8
"""Of one user, the newest: no more, however often the first page is read."""
SEEN_SECONDS = 30 * 24 * 60 * 60
"""As long as a timeline goes back."""

SEE = """
-- KEYS: a filter, the one before it; ARGV: bits set when it is full, seconds to live, bits to set.
for each = 3, #ARGV do redis.call('SETBIT', KEYS[1], ARGV[each], 1) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
if redis.call('BITCOUNT', KEYS[1]) >= tonumber(ARGV[1]) then
  redis.call('RENAME', KEYS[1], KEYS[2])
end
return 0
"""

Run = Callable[[Sequence[Sequence[Any]]], Awaitable[list[Any]]]
"""Takes commands to Redis in one round trip; raises `StoreDownError`."""

_SNAPSHOT = msgspec.msgpack.Decoder(Snapshot)

log = structlog.get_logger(__name__)


class RedisRankings:
    """Ranked feeds and seen posts in Redis, one round trip a call.

    Ranked feeds stand under their reader's key: nobody else's name for one finds it. They go 10 min
    after one of that reader's was last kept or read; a user has 8 of some 10 KB at most, 60 KB
    each if they are explained.
    """

    def __init__(self, run: Run, partitions: int) -> None:
        self._run = run
        self._keys = Keys(partitions)

    async def seen(self, user_id: str) -> Seen:
        """The posts that a user has seen lately."""
        keys = self._keys.viewed(user_id), self._keys.viewed_before(user_id)
        (filters,) = await self._run([("MGET", *keys)])
        return Seen(filters)

    async def see(self, user_id: str, post_id: str) -> None:
        """A user has seen a post."""
        keys = self._keys.viewed(user_id), self._keys.viewed_before(user_id)
        await self._run([("EVAL", SEE, 2, *keys, FULL_BITS, SEEN_SECONDS, *bits_of(post_id))])

    async def keep(self, user_id: str, name: str, snapshot: Snapshot) -> None:
        """Keep a ranked feed of a user under a new name."""
        names, feeds = self._keys.rankings(user_id), self._keys.ranked(user_id)
        await self._run(
            [
                ("ZADD", names, snapshot.at, name),
                ("HSET", feeds, name, msgspec.msgpack.encode(snapshot)),
                ("EVAL", TRIM_WITH_HASH, 2, names, feeds, SNAPSHOTS),
                ("EXPIRE", names, SNAPSHOT_SECONDS),
                ("EXPIRE", feeds, SNAPSHOT_SECONDS),
            ]
        )

    async def snapshot(self, user_id: str, name: str) -> Snapshot | None:
        """A ranked feed of a user; None when it is not there, or not any more."""
        names, feeds = self._keys.rankings(user_id), self._keys.ranked(user_id)
        raw, *_ = await self._run(
            [
                ("HGET", feeds, name),
                ("EXPIRE", names, SNAPSHOT_SECONDS),
                ("EXPIRE", feeds, SNAPSHOT_SECONDS),
            ]
        )
        if raw is None:
            return None
        try:
            return _SNAPSHOT.decode(raw)
        except msgspec.MsgspecError as error:
            log.warning("undecodable snapshot", error=type(error).__name__)
            return None
