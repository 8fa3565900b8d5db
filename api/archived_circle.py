"""Whom a user follows and is close to, from Cassandra, where rows are in the order of ids."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from api.circle import FOLLOWS_OF_EACH, MAX_CLOSE, MAX_FOLLOWS, Circle, Follows
from connectors.redis_keys import DAY_MS
from schemas.views import CLOSENESS_PER_DAY

QUERIES = {
    "circle": "SELECT target, followed_at FROM {k}.following WHERE user_id = ? LIMIT ?",
    "follows_of": "SELECT user_id, target FROM {k}.following WHERE user_id IN ? "
    "PER PARTITION LIMIT ?",
}

NEGLIGIBLE = 1e-9
"""What is left of facts that were all taken back; Redis has no such scores."""

Rows = Callable[..., Awaitable[list[Any]]]
"""Given the name of a query and its values: the rows that it answers with."""


async def read_circle(rows: Rows, user_id: str, now: int) -> Circle:
    """The follows of a user, the newest of 5,000, and who of 5,000 is closest at a time (ms)."""
    followed = await rows("circle", user_id, MAX_FOLLOWS)
    newest = sorted(((row.followed_at, row.target) for row in followed), reverse=True)
    scores = {
        row.target_id: row.score * CLOSENESS_PER_DAY ** ((now - row.at) / DAY_MS)
        for row in await rows("near", user_id, MAX_FOLLOWS)
        if (row.score or 0) > NEGLIGIBLE
    }
    closest = sorted(scores.items(), key=lambda each: (-each[1], each[0]))
    return Circle([target for _, target in newest], dict(closest[:MAX_CLOSE]))


async def read_follows_of(rows: Rows, users: list[str]) -> dict[str, Follows]:
    """The first 100 sources that each of some users follows, and how many in all."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for row in await rows("follows_of", users, FOLLOWS_OF_EACH):
        found[row.user_id].append(row.target)
    counts = {row.user_id: row.following or 0 for row in await rows("users", users)}
    return {
        user_id: Follows(found[user_id], max(counts.get(user_id, 0), len(found[user_id])))
        for user_id in users
    }
