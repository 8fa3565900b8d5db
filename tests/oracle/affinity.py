"""Affinity: the decayed sum over facts (docs/rules.md, "Affinity of a user to another")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from schemas.events import Engagement
from tests.oracle.posts import PostState, Reactions

DECAY_PER_DAY = 0.9
DAY_MS = 86_400_000
LIKE, COMMENT, SHARE, MESSAGE, PROFILE_VIEW = 2, 5, 8, 10, 1
NEGLIGIBLE = 0.01

Fact = tuple[str, str, int, int]
"""User, the other, weight, time."""


def facts(
    posts: dict[str, PostState], found: Reactions, engagements: Iterable[Engagement]
) -> Iterator[Fact]:
    """Every fact in force."""
    authors = {
        post_id: state.created.author_id or ""
        for post_id, state in posts.items()
        if state.created is not None
    }
    for (post_id, user_id), event in found.reacted.items():
        if found.reaction_of(event) is not None and post_id in authors:
            yield user_id, authors[post_id], LIKE, event.at
    for (post_id, user_id), event in found.shared.items():
        if event.action == "share" and post_id in authors:
            yield user_id, authors[post_id], SHARE, event.at
    for comment in found.comments_there():
        if comment.post_id in authors:
            yield comment.user_id, authors[comment.post_id], COMMENT, comment.at
    yield from _direct(engagements)


def _direct(engagements: Iterable[Engagement]) -> Iterator[Fact]:
    seen: set[tuple[object, ...]] = set()
    for event in engagements:
        if event.action not in ("message", "profile_view") or not event.target:
            continue
        act = (event.user_id, event.event_id, event.action, event.target, event.at)
        if act in seen:
            continue
        seen.add(act)
        weight = MESSAGE if event.action == "message" else PROFILE_VIEW
        yield event.user_id, event.target, weight, event.at


def scores(all_facts: Iterable[Fact], now_ms: int) -> dict[tuple[str, str], float]:
    """(user, the other) to the score at a time."""
    found: dict[tuple[str, str], float] = {}
    for user_id, other, weight, at in all_facts:
        if user_id == other:
            continue
        days = (now_ms - at) / DAY_MS
        score = weight * DECAY_PER_DAY**days
        found[(user_id, other)] = found.get((user_id, other), 0.0) + score
    return found


def decayed(score: float, at: int, now_ms: int, per_day: float = DECAY_PER_DAY) -> float:
    """What a score at `at` is at another time."""
    return float(score * per_day ** ((now_ms - at) / DAY_MS))
