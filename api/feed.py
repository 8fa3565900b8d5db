"""GET /api/v1/feed: the timeline of the caller, `latest`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import Reading
from api.cursors import decode_place, encode_place
from api.held import Candidate, Position
from api.models import FeedPage, FeedPost, problems
from api.render import feed_post
from api.state import Shared
from api.timeline import Timeline
from api.views import Needs, Reader

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MIN_BATCH = 20
MAX_EXAMINED = 1_000
"""Candidates that one request looks at: a page may come out short, but never without end."""

SHARED = "s:"

router = APIRouter(prefix="/api/v1", tags=["feed"])

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Posts on the page.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
Before = Annotated[str | None, Query(description="The same as `cursor`.", deprecated=True)]


@router.get(
    "/feed",
    summary="Read the caller's timeline",
    responses=problems(
        _400="The cursor is not valid.",
        _401="No valid token.",
        _403="The token lacks the scope `read`.",
        _422="The limit is not valid.",
        _503="Neither Redis nor Cassandra can be reached.",
    ),
)
async def read_feed(
    services: Shared,
    caller: Reading,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    before: Before = None,
) -> FeedPage:
    """Posts of those the caller follows and the caller's own, newest first.

    A post stands once, where its newest entry does, with all its reasons. The feed goes back
    30 days. When a store is down, `degraded` says which. A first read, or one after a day without,
    comes from the archive, one after 30 days from the authors; those after it from the cache.
    """
    text = cursor if cursor is not None else before
    after = None if text is None else decode_place(text)
    reader = services.reader(caller)
    timeline = Timeline(reader, caller.user_id, after, services.clock())
    page = await _page(reader, timeline, limit)
    services.presence.note(caller.user_id, has_feed=timeline.has_feed)
    return page


async def _page(reader: Reader, timeline: Timeline, limit: int) -> FeedPage:
    """Take candidates until one more than `limit` is visible, or there are no more."""
    shown: list[FeedPost] = []
    last: Position | None = None
    examined = 0
    has_more = False
    while not has_more:
        batch = await timeline.take(max(limit + 1 - len(shown), MIN_BATCH))
        if not batch:
            has_more = timeline.is_cut
            break
        await _hydrate(reader, batch)
        for candidate in batch:
            post = _shown(reader, candidate)
            if post is not None and len(shown) == limit:
                has_more = True
                break
            if post is not None:
                shown.append(post)
            last = candidate.position
        examined += len(batch)
        if examined >= MAX_EXAMINED and not has_more:
            has_more = timeline.may_have_more
            break
    return FeedPage(
        posts=shown,
        next_cursor=encode_place(last or timeline.resume_at) if has_more else None,
        has_more=has_more,
        degraded=reader.degraded,
        is_opening=timeline.is_opening,
    )


async def _hydrate(reader: Reader, batch: list[Candidate]) -> None:
    """Load a batch: in one round trip when the reasons name the authors, in one more when they do
    not, and one more for what replies answer."""
    ids = [candidate.post_id for candidate in batch]
    reasons = {reason for candidate in batch for reason in candidate.reasons}
    authors = [reason for reason in reasons if reason.startswith("u:")]
    sources = set(map(_source_of, reasons))
    await reader.load(
        Needs(
            posts=ids,
            counters=ids,
            mine=ids,
            users=[author[2:] for author in authors],
            blocks=sources,
            follows=[(reader.viewer or "", author) for author in authors],
        )
    )
    posts = [post for name in ids if (post := reader.post(name)) is not None]
    await reader.load(Needs(posts=[post.reply_to for post in posts if post.reply_to]))
    await reader.load_rights(posts)


def _source_of(reason: str) -> str:
    """The source that brought an entry: its author, its sharer or a topic."""
    return f"u:{reason.removeprefix(SHARED)}" if reason.startswith(SHARED) else reason


def _shown(reader: Reader, candidate: Candidate) -> FeedPost | None:
    """A candidate as its reader sees it; None when it is not to be seen."""
    post = reader.post(candidate.post_id)
    if post is None or post.post_id in reader.known.hidden:
        return None
    if not reader.may_see(post) or reader.is_muted(f"u:{post.author_id}"):
        return None
    reasons = [
        reason
        for reason in candidate.reasons
        if not reader.is_blocked(_source_of(reason)) and not reader.is_muted(_source_of(reason))
    ]
    if not reader.joins(post):
        reasons = [reason for reason in reasons if reason.startswith(SHARED)]
    if not reasons:
        return None
    return feed_post(reader, post, reasons, candidate.at)
