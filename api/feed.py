"""GET /api/v1/feed: the timeline of the caller, `latest`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.auth import Reading
from api.conditional import IfNoneMatch, respond
from api.cursors import decode_place, encode_place
from api.errors import invalid
from api.feed_filter import SHARED, FeedFilter, Filtered
from api.held import Candidate, Position
from api.models import FeedPage, FeedPost, problems
from api.newer import newer_than
from api.render import feed_post
from api.state import Shared
from api.timeline import Timeline
from api.views import Needs, Reader

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MIN_BATCH = 20
MAX_EXAMINED = 1_000
"""Candidates that one request looks at: a page may come out short, but never without end."""

OLDEST: Position = (0, "")
"""Below every place."""

router = APIRouter(prefix="/api/v1", tags=["feed"])

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Posts on the page.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
Before = Annotated[str | None, Query(description="The same as `cursor`.", deprecated=True)]
Since = Annotated[
    str | None,
    Query(description="`newer_cursor` of a page: posts that are newer, the oldest of them first."),
]


@router.get(
    "/feed",
    summary="Read the caller's timeline",
    response_model=FeedPage,
    responses={
        304: {"description": "The page is as the one that `If-None-Match` names."},
        **problems(
            _400="The cursor is not valid, or more than 5,000 posts are newer.",
            _401="No valid token.",
            _403="The token lacks the scope `read`.",
            _422="A parameter is not valid, or there are both `since` and `cursor`.",
            _503="Neither Redis nor Cassandra can be reached.",
        ),
    },
)
async def read_feed(
    services: Shared,
    caller: Reading,
    wanted: Filtered,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    before: Before = None,
    since: Since = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Posts of those the caller follows and the caller's own, newest first.

    A post stands once, where its newest entry does, with all its reasons. The feed goes back
    30 days. When a store is down, `degraded` says which. A first read, or one after a day without,
    comes from the archive, one after 30 days from the authors; those after it from the cache.
    A filter leaves out what is not asked for: of up to 1,000 posts a page is made, which may be
    short. `since` reads upwards, page by page, without gaps; entries that came late, and stand
    below, are not among them.
    """
    text = cursor if cursor is not None else before
    if since is not None and text is not None:
        raise invalid("query.since", "not with a cursor")
    after = None if text is None else decode_place(text)
    from_place = None if since is None else decode_place(since)
    reader = services.reader(caller)
    timeline = Timeline(reader, caller.user_id, after, services.clock())
    if from_place is None:
        page = await _page(reader, timeline, limit, wanted)
    else:
        page = await _newer_page(reader, timeline, from_place, limit, wanted)
    services.presence.note(caller.user_id, has_feed=timeline.has_feed)
    return respond(page, if_none_match)


async def _page(reader: Reader, timeline: Timeline, limit: int, wanted: FeedFilter) -> FeedPage:
    """Take candidates until one more than `limit` is visible, or there are no more."""
    shown: list[FeedPost] = []
    newest: Position | None = None
    last: Position | None = None
    examined = 0
    has_more = False
    while not has_more:
        batch = await timeline.take(max(limit + 1 - len(shown), MIN_BATCH))
        if not batch:
            has_more = timeline.is_cut
            break
        newest = newest or batch[0].position
        await _hydrate(reader, batch)
        for candidate in batch:
            post = _shown(reader, candidate, wanted)
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
        newer_cursor=encode_place(newest or timeline.after or OLDEST),
        degraded=reader.degraded,
        is_opening=timeline.is_opening,
    )


async def _newer_page(
    reader: Reader, timeline: Timeline, since: Position, limit: int, wanted: FeedFilter
) -> FeedPage:
    """Take candidates above a place, upwards, until `limit` are visible, or there are no more."""
    newer = await newer_than(timeline, since)
    shown: list[FeedPost] = []
    reached = 0
    while reached < min(len(newer), MAX_EXAMINED) and len(shown) < limit:
        batch = newer[reached : reached + MIN_BATCH]
        await _hydrate(reader, batch)
        for candidate in batch:
            if len(shown) == limit:
                break
            post = _shown(reader, candidate, wanted)
            if post is not None:
                shown.append(post)
            reached += 1
    return FeedPage(
        posts=shown,
        next_cursor=None,
        has_more=reached < len(newer),
        newer_cursor=encode_place(newer[reached - 1].position if reached else since),
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


def _shown(reader: Reader, candidate: Candidate, wanted: FeedFilter) -> FeedPost | None:
    """A candidate as its reader sees it; None when it is not to be seen, or not asked for."""
    post = reader.post(candidate.post_id)
    if post is None or post.post_id in reader.known.hidden:
        return None
    if not reader.may_see(post) or reader.is_muted(f"u:{post.author_id}"):
        return None
    if not wanted.takes(post):
        return None
    reasons = [
        reason
        for reason in wanted.reasons(candidate.reasons)
        if not reader.is_blocked(_source_of(reason)) and not reader.is_muted(_source_of(reason))
    ]
    if not reader.joins(post):
        reasons = [reason for reason in reasons if reason.startswith(SHARED)]
    if not reasons:
        return None
    return feed_post(reader, post, reasons, candidate.at)
