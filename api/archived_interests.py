"""What a user likes and not, as Cassandra has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from api.stores import NEGLIGIBLE, USER, Inclinations
from schemas.topics import DAY_MS
from schemas.views import AVERSION_PER_DAY, CLOSENESS_PER_DAY

LISTED = 5_000

QUERIES = {
    "interests": "SELECT * FROM {k}.interests WHERE user_id = ? LIMIT ?",
    "near": "SELECT * FROM {k}.affinity WHERE user_id = ? LIMIT ?",
}


async def read_interests(
    read: Callable[..., Awaitable[list[Any]]], user_id: str, limit: int, now: int
) -> Inclinations:
    """What a user likes and not at a time (ms), of 5,000 subjects and 5,000 users; `read` answers
    a prepared query."""
    rows = [
        *((row.subject, row) for row in await read("interests", user_id, LISTED)),
        *((f"{USER}{row.target_id}", row) for row in await read("near", user_id, LISTED)),
    ]
    near = ((subject, row.score, row.at) for subject, row in rows)
    far = ((subject, row.aversion, row.averse_at) for subject, row in rows)
    return Inclinations(
        _strongest(near, now, CLOSENESS_PER_DAY)[:limit],
        _strongest(far, now, AVERSION_PER_DAY)[:limit],
    )


def _strongest(
    found: Iterable[tuple[str, float | None, int | None]], now: int, per_day: float
) -> list[tuple[str, float]]:
    """Subjects and their scores of now, but negligible ones, strongest first."""
    scores = (
        (subject, score * per_day ** ((now - (at or 0)) / DAY_MS))
        for subject, score, at in found
        if score
    )
    return sorted((each for each in scores if each[1] >= NEGLIGIBLE), key=lambda each: -each[1])
