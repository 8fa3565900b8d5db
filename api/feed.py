"""GET /api/v1/feed: the timeline of the caller, `latest`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.auth import Reading
from api.conditional import IfNoneMatch, respond
from api.cursors import decode_place
from api.errors import invalid
from api.feed_filter import Filtered
from api.latest import latest_page, newer_page
from api.models import FeedPage, problems
from api.state import Shared
from api.timeline import Timeline

DEFAULT_LIMIT = 20
MAX_LIMIT = 100

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
        page = await latest_page(reader, timeline, limit, wanted)
    else:
        page = await newer_page(reader, timeline, from_place, limit, wanted)
    services.presence.note(caller.user_id, has_feed=timeline.has_feed)
    return respond(page, if_none_match)
