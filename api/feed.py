"""GET /api/v1/feed: the timeline of the caller, `latest` or `ranked`."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from api.auth import Reading
from api.conditional import IfNoneMatch, respond
from api.cursors import decode_place, decode_rank, is_rank
from api.errors import invalid
from api.feed_filter import FilterQuery
from api.latest import latest_page, newer_page
from api.models import FeedPage, problems
from api.query_route import QueryRoute
from api.ranked import first_page, next_page
from api.state import Shared
from api.timeline import Timeline

DEFAULT_LIMIT = 20
MAX_LIMIT = 100

router = APIRouter(prefix="/api/v1", tags=["feed"], route_class=QueryRoute)


class FeedQuery(FilterQuery):
    """The parameters of a page of a feed."""

    mode: Literal["latest", "ranked"] = Field(
        "latest", description="Newest first, or what is likely to be of interest first."
    )
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Posts on the page.")
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")
    before: str | None = Field(
        None, description="The same as `cursor`.", json_schema_extra={"deprecated": True}
    )
    since: str | None = Field(
        None,
        description="`newer_cursor` of a page: posts that are newer, the oldest of them first.",
    )
    explain: bool = Field(
        False,
        description="Whether each post says how it came to its place. Of a ranked feed, from the "
        "first page on.",
    )


@router.get(
    "/feed",
    summary="Read the caller's timeline",
    response_model=FeedPage,
    responses={
        304: {"description": "The page is as the one that `If-None-Match` names."},
        **problems(
            _400="The cursor is not valid, or of the other mode; or over 5,000 posts are newer.",
            _401="No valid token.",
            _403="The token lacks the scope `read`.",
            _410="The ranked feed that the cursor is of is kept no longer: read it from the top.",
            _422="A parameter is not valid; there is `since` with `cursor` or `mode=ranked`; or "
            "the first page was not explained.",
            _503="Neither Redis nor Cassandra can be reached.",
        ),
    },
)
async def read_feed(
    services: Shared,
    caller: Reading,
    query: Annotated[FeedQuery, Query()],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Posts of those the caller follows and the caller's own.

    `latest`: newest first. A post stands once, where its newest entry does, with all its reasons.
    The feed goes back 30 days. A first read, or one after a day without, comes from the archive,
    one after 30 days from the authors; those after it from the cache. `since` reads upwards, page
    by page, without gaps; entries that came late, and stand below, are not among them.

    `ranked`: of the newest 500 and of what is viral, the 200 that fit the caller best, by what
    others and the caller have done; at most 2 in a row by one author. What was viewed lately stands
    lower. The order is kept for the caller for 10 minutes after its last page was read, so that
    pages neither repeat nor miss anything; whether a post may be seen is asked for each page anew.

    A filter leaves out what is not asked for: of up to 1,000 posts a page is made, which may be
    short. A ranked feed is filtered as its first page was asked for.

    When a store is down, `degraded` says which. While Redis is, or when the ranker fails, a ranked
    feed has the newest first; its cursor then goes on with these.
    """
    text = query.cursor if query.cursor is not None else query.before
    is_ranked = query.mode == "ranked"
    if query.since is not None and (text is not None or is_ranked):
        raise invalid("query.since", "not with a cursor, and not of a ranked feed")
    reader, wanted = services.reader(caller), query.filter()
    limit, explain = query.limit, query.explain
    if is_ranked and text is None:
        page = await first_page(services, reader, limit, wanted, explain=explain)
        return respond(page, if_none_match)
    if is_ranked and text is not None and is_rank(text):
        place = decode_rank(text)
        page = await next_page(services, reader, place, limit, wanted, explain=explain)
        return respond(page, if_none_match)
    after = None if text is None else decode_place(text)
    since = None if query.since is None else decode_place(query.since)
    timeline = Timeline(reader, caller.user_id, after, services.clock())
    if since is None:
        page = await latest_page(reader, timeline, limit, wanted, explain=explain)
    else:
        page = await newer_page(reader, timeline, since, limit, wanted, explain=explain)
    services.presence.note(caller.user_id, has_feed=timeline.has_feed)
    return respond(page, if_none_match)
