"""What a user reacted to, from Cassandra."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from api.reacted import Reacted

QUERIES = {
    "reacted": "SELECT at, post_id, reaction FROM {k}.reactions_by_time WHERE user_id = ? "
    "AND (at, post_id) < (?, ?) LIMIT ?",
}

Rows = Callable[..., Awaitable[list[Any]]]
"""Given the name of a query and its values: the rows that it answers with."""


async def read_reacted(
    rows: Rows, user_id: str, below: tuple[int, str], limit: int
) -> list[Reacted]:
    """The newest reactions below a place (time in ms, post id), at most so many."""
    found = await rows("reacted", user_id, *below, limit)
    return [Reacted(row.at, row.post_id, row.reaction) for row in found]
