"""Interests and aversions by a plain fold (docs/rules.md, "Interests")."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from schemas.events import Feedback, Post
from tests.oracle.affinity import DAY_MS, DECAY_PER_DAY
from tests.oracle.posts import PostState, Reactions, topics

AVERSION_PER_DAY = 0.72
LIKE, COMMENT, SHARE, AVERSE = 2, 5, 8, 5

Fact = tuple[str, str, float, int]
"""User, subject, weight, time."""


def about(post: Post) -> list[str]:
    """What a post is about, as its oldest event says."""
    found = list(topics(post.content))[:8]
    if re.fullmatch(r"[\w-]{1,35}", post.language or ""):
        found.append("l:" + str(post.language).casefold())
    kinds: list[str] = []
    for media in post.media:
        if re.fullmatch(r"[\w-]{1,35}", media.kind) and f"m:{media.kind}" not in kinds:
            kinds.append(f"m:{media.kind}")
    return found + kinds[:4]


def likings(
    posts: dict[str, PostState], found: Reactions, erased: Collection[str]
) -> Iterator[Fact]:
    """What each act at another's post adds."""
    acts = [(p, u, LIKE, e.at) for (p, u), e in found.reacted.items() if found.reaction_of(e)]
    acts += [(p, u, SHARE, e.at) for (p, u), e in found.shared.items() if e.action == "share"]
    acts += [(str(c.post_id), c.user_id, COMMENT, c.at) for c in found.comments_there()]
    for post_id, user_id, weight, at in acts:
        created = _created(posts, post_id, erased)
        if created is not None and created.author_id != user_id:
            for subject in about(created):
                yield user_id, subject, weight, at


def aversions(
    posts: dict[str, PostState],
    hidden: dict[tuple[str, str], int],
    feedback: Iterable[Feedback],
    erased: Collection[str],
) -> Iterator[Fact]:
    """What each hidden post, and the newest feedback on each subject, takes away."""
    for (post_id, user_id), at in hidden.items():
        created = _created(posts, post_id, erased)
        if created is not None and created.author_id != user_id:
            for subject in (f"u:{created.author_id}", *about(created)):
                yield user_id, subject, AVERSE, at
    newest: dict[tuple[str, str], Feedback] = {}
    for event in feedback:
        subject = event.subject
        if subject[:2] in ("t:", "l:"):
            subject = subject.casefold()
        before = newest.get((event.user_id, subject))
        if before is None or (event.at, event.event_id) > (before.at, before.event_id):
            newest[event.user_id, subject] = event
    for (user_id, subject), event in newest.items():
        is_about_erased = subject.startswith("u:") and subject[2:] in erased
        if event.action == "not_interested" and user_id not in erased and not is_about_erased:
            yield user_id, subject, AVERSE, event.at


def _created(posts: dict[str, PostState], post_id: str, erased: Collection[str]) -> Post | None:
    """What made a post, if it is there and by one who is not erased."""
    state = posts.get(post_id)
    if state is None or state.created is None or state.created.author_id in erased:
        return None
    return state.created


def sums(
    facts: Iterable[Fact], now_ms: int, per_day: float = DECAY_PER_DAY
) -> dict[tuple[str, str], float]:
    """(user, subject) to the sum at a time."""
    found: dict[tuple[str, str], float] = {}
    for user_id, subject, weight, at in facts:
        faded = weight * per_day ** ((now_ms - at) / DAY_MS)
        found[user_id, subject] = found.get((user_id, subject), 0.0) + faded
    return found
