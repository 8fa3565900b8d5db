"""What a user reacted to, from Redis."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from api.reacted import Reacted
from api.redis_answers import LIKE
from connectors.redis_keys import Keys

Pipeline = Callable[[Sequence[Sequence[Any]]], Awaitable[list[Any]]]
"""Sends some commands in one round trip; their answers."""


async def read_reacted(
    pipeline: Pipeline, keys: Keys, user_id: str, below: tuple[int, str], limit: int
) -> list[Reacted]:
    """The newest reactions below a place (time in ms, post id), at most so many: two round trips.
    O(limit, and the reactions of that one time)."""
    at, post_id = below
    key = keys.reacted(user_id)
    tied, older = await pipeline(
        [
            ("ZREVRANGEBYSCORE", key, at, at, "WITHSCORES"),
            ("ZREVRANGEBYSCORE", key, f"({at}", "-inf", "WITHSCORES", "LIMIT", 0, limit),
        ]
    )
    names = (raw.decode() for raw in tied[::2])
    places = [(at, name) for name in names if name < post_id]
    pairs = zip(older[::2], older[1::2], strict=True)
    places += [(int(float(score)), raw.decode()) for raw, score in pairs]
    if not places:
        return []
    posts = [name for _, name in places[:limit]]
    (kinds,) = await pipeline([("HMGET", keys.kinds(user_id), *posts)])
    return [
        Reacted(*place, LIKE if kind is None else kind.decode())
        for place, kind in zip(places, kinds, strict=False)
    ]
