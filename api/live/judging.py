"""Judges what is about to be sent, by the views as they are: what the caller may see now, and
whether that is certain yet. The Redis sink reads the same logs as streams do, and is a little
behind at times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from api.candidates import hydrate, shown
from api.held import Candidate
from api.live.changes import Added, Removed
from api.live.inbox import Item
from api.live.memory import NoticeState
from api.models import NotificationOut
from api.notifications import visible
from api.sent_page import Sent
from api.state import Services
from api.stores import Degraded, StoreDownError
from api.views import Needs, Reader
from schemas.views import NotificationView

SETTLE_MS = 1_000
"""The views are as old as this at most, while their sink gets on."""


class Judged(NamedTuple):
    """An entry as the caller sees it; without a post it is not to be seen, of which `is_certain`
    says whether it may change in a moment. `author_id` is None if there is no view of the post."""

    item: Item
    post: Sent | None
    is_certain: bool
    author_id: str | None


async def judge_entries(
    services: Services, user_id: str, items: Sequence[Item], related_at: int
) -> tuple[list[Judged], list[Degraded]]:
    """Entries as a user sees them now, and what is down. `related_at` is when the user's relations
    changed last (ms).

    Raises:
        ProblemError: 503, when neither store answers.
    """
    reader = services.reader_for(user_id)
    batch = [_candidate(item) for item in items]
    await hydrate(reader, batch)
    now = services.clock()
    judged = []
    for item, candidate in zip(items, batch, strict=True):
        post = shown(reader, candidate)
        is_certain = post is not None or _is_certain(reader, candidate, item.at, related_at, now)
        view = reader.post(candidate.post_id)
        judged.append(Judged(item, post, is_certain, view.author_id if view else None))
    return judged, reader.degraded


async def may_know_of(services: Services, user_id: str, gone: Removed) -> bool:
    """Whether a user could see what is gone, so that its id tells nothing.

    Raises:
        ProblemError: 503, when neither store answers.
    """
    author = gone.reason.removeprefix("u:")
    if gone.visibility in ("public", "followers") or author == user_id:
        return True
    if gone.visibility != "friends":
        return False
    reader = services.reader_for(user_id)
    ends = [(user_id, f"u:{author}"), (author, f"u:{user_id}")]
    await reader.load(Needs(follows=ends))
    return all(reader.follows(*end) for end in ends)


def _candidate(item: Item) -> Candidate:
    assert isinstance(item.change, Added)
    return Candidate(item.change.post_id, item.change.at, (item.change.reason,))


def _is_certain(
    reader: Reader, candidate: Candidate, said_at: int, related_at: int, now: int
) -> bool:
    """Whether an entry that is not to be seen is not going to be, when its sink gets on."""
    post = reader.post(candidate.post_id)
    if post is None or not reader.is_certain("users", post.author_id):
        return False
    if post.is_deleted or now - said_at >= SETTLE_MS:
        return True
    is_answer_unknown = post.reply_to is not None and reader.post(post.reply_to) is None
    is_public = post.visibility == "public" and not is_answer_unknown
    return is_public and now - related_at >= SETTLE_MS


class JudgedNotice(NamedTuple):
    """A notification as its receiver sees it. `state` is what of it is kept to tell whether it says
    anything new; `is_newest_seen` unless who did it last is not to be seen."""

    key: str
    state: NoticeState
    is_newest_seen: bool
    notice: NotificationOut


async def judge_notices(
    services: Services, user_id: str, views: list[NotificationView]
) -> list[JudgedNotice]:
    """Notifications as their receiver sees them, those with somebody who may be named.

    Raises:
        StoreDownError: Redis, which has how far they were read, does not answer.
        ProblemError: 503, when neither store answers.
    """
    reader = services.reader_for(user_id)
    _, seen_to = await reader.stores.cache.notifications(user_id, 1)
    shown = await visible(reader, [view for view in views if view.count > 0])
    if reader.degraded:
        raise StoreDownError(reader.degraded[0], "what may be shown cannot be known now")
    return [
        JudgedNotice(
            each.group.key,
            (each.count, each.at, each.actors, each.item),
            each.at == each.group.at,
            each.out(reader, seen_to),
        )
        for each in shown
        if each.actors
    ]
