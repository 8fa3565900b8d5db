"""Pages of a timeline in the order of time, downwards and upwards."""

from __future__ import annotations

from api.candidates import hydrate, shown
from api.cursors import encode_place
from api.explaining import explanation_of_time
from api.feed_filter import EVERYTHING, FeedFilter
from api.held import Position
from api.newer import newer_than
from api.sent_page import Sent, SentPage
from api.timeline import Timeline
from api.views import Reader

MIN_BATCH = 20
MAX_EXAMINED = 1_000
"""Candidates that one request looks at: a page may come out short, but never without end."""

OLDEST: Position = (0, "")
"""Below every place."""


async def latest_page(
    reader: Reader,
    timeline: Timeline,
    limit: int,
    wanted: FeedFilter = EVERYTHING,
    *,
    explain: bool = False,
) -> SentPage:
    """Take candidates until one more than `limit` is visible, or there are no more."""
    posts: list[Sent] = []
    newest: Position | None = None
    last: Position | None = None
    examined = 0
    has_more = False
    while not has_more:
        batch = await timeline.take(max(limit + 1 - len(posts), MIN_BATCH))
        if not batch:
            has_more = timeline.is_cut
            break
        newest = newest or batch[0].position
        await hydrate(reader, batch)
        for candidate in batch:
            how = explanation_of_time(candidate.at) if explain else None
            post = shown(reader, candidate, wanted, how)
            if post is not None and len(posts) == limit:
                has_more = True
                break
            if post is not None:
                posts.append(post)
            last = candidate.position
        examined += len(batch)
        if examined >= MAX_EXAMINED and not has_more:
            has_more = timeline.may_have_more
            break
    return SentPage(
        posts=posts,
        next_cursor=encode_place(last or timeline.resume_at) if has_more else None,
        has_more=has_more,
        newer_cursor=encode_place(newest or timeline.after or OLDEST),
        degraded=timeline.degraded,
        is_opening=timeline.is_opening,
    )


async def newer_page(
    reader: Reader,
    timeline: Timeline,
    since: Position,
    limit: int,
    wanted: FeedFilter,
    *,
    explain: bool = False,
) -> SentPage:
    """Take candidates above a place, upwards, until `limit` are visible, or there are no more."""
    newer = await newer_than(timeline, since)
    posts: list[Sent] = []
    reached = 0
    while reached < min(len(newer), MAX_EXAMINED) and len(posts) < limit:
        batch = newer[reached : reached + MIN_BATCH]
        await hydrate(reader, batch)
        for candidate in batch:
            if len(posts) == limit:
                break
            how = explanation_of_time(candidate.at) if explain else None
            post = shown(reader, candidate, wanted, how)
            if post is not None:
                posts.append(post)
            reached += 1
    return SentPage(
        posts=posts,
        next_cursor=None,
        has_more=reached < len(newer),
        newer_cursor=encode_place(newer[reached - 1].position if reached else since),
        degraded=timeline.degraded,
        is_opening=timeline.is_opening,
    )
