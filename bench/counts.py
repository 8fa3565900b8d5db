"""What a system wrote into Redis: when the last count stands there, and whether all are right."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec
from redis import Redis

from bench.engagements import PARTITIONS, last_posts
from connectors.redis_keys import Keys
from schemas.views import CountersView

_AT_A_TIME = 5_000
_view = msgspec.msgpack.Decoder(CountersView)


class PlainCounts:
    """Decimal numbers under `likes:<post id>`, as the peers write them."""

    def key(self, post_id: str) -> str:
        """The key of a post's likes."""
        return f"likes:{post_id}"

    def likes(self, raw: bytes) -> int:
        """The likes in a value."""
        return int(raw)


class ViewCounts:
    """`CountersView`, as Headrace writes it."""

    def __init__(self) -> None:
        self._keys = Keys(PARTITIONS)

    def key(self, post_id: str) -> str:
        """The key of a post's likes."""
        return self._keys.counters(post_id)

    def likes(self, raw: bytes) -> int:
        """The likes in a value."""
        return _view.decode(raw).reactions.get("like", 0)


Counts = PlainCounts | ViewCounts


class LastCounts:
    """Asks whether the last event of every partition is counted: one command."""

    def __init__(self, client: Redis, counts: Counts) -> None:
        self._client = client
        self._keys = [counts.key(post_id) for post_id in last_posts()]

    def are_there(self) -> bool:
        """Whether they all are; so is then what stood before them in the same partition."""
        return self._client.exists(*self._keys) == PARTITIONS


def wrong(client: Redis, counts: Counts, likes: dict[str, int]) -> int:
    """How many posts have another number of likes in Redis than `likes`; no key is nought."""
    found = 0
    for post_ids in _parts(likes):
        values: list[bytes | None] = client.mget([counts.key(each) for each in post_ids])  # type: ignore[assignment]
        for post_id, raw in zip(post_ids, values, strict=True):
            found += (0 if raw is None else counts.likes(raw)) != likes[post_id]
    return found


def _parts(likes: dict[str, int]) -> Iterator[list[str]]:
    remaining = iter(likes)
    while part := list(islice(remaining, _AT_A_TIME)):
        yield part
