"""GET /api/v1/posts/{post_id}/comments: what users say of a post."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api.auth import Anyone
from api.cursors import Measure, decode_place, encode_place
from api.errors import not_found, unavailable
from api.ids import Id
from api.models import CommentPage, problems
from api.render import comment_out
from api.state import Shared
from api.stores import Placed, StoreDownError, Stores
from api.views import Needs, Reader
from api.visibility import GONE
from schemas.views import CommentCountsView, CommentView, PostView

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_EXAMINED = 500
"""Comments that one request looks at: a page may come out short, but never without end."""

MAX_BEST = 1_000
"""Comments that are listed by likes."""

AT_ONCE = 50
Place = tuple[int, str]
FIRST: Place = (2**63 - 1, "")
"""Above every place."""

router = APIRouter(prefix="/api/v1/posts", tags=["comments"])

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Comments on the page.")]
Order = Annotated[
    Literal["newest", "likes"], Query(description="Newest first, or those with most likes.")
]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]


@router.get(
    "/{post_id:path}/comments",
    summary="Read a post's comments",
    responses=problems(
        _400="The cursor is not valid, or of a list in another order.",
        _401="The token is not valid.",
        _403="The token lacks the scope `read`.",
        _404="There is no such post, or the caller may not see it.",
        _422="The id, the limit or the order is not valid.",
        _503="The stores cannot be reached.",
    ),
)
async def read_comments(
    post_id: Id,
    services: Shared,
    caller: Anyone,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    order: Order = "newest",
) -> CommentPage:
    """The comments on a post that the caller may see, less those by users who are gone, or blocked,
    or muted by the caller. What answers a comment names it as its `parent`.

    `newest` lists all. `likes` lists the 1,000 with most likes, those with the greatest ids first
    among equals, and ends there: `newest` has the rest. Of a post with more than 2,000 comments
    some of the 1,000 may be lacking after another 1,000 of the best were deleted or lost likes,
    until they are liked or answered.

    A cursor is a place in the order, not a copy of the list. A comment whose likes stay as they are
    from the first page to the last comes exactly once. One that gains likes meanwhile may pass from
    what is still to come into what is over, and not come; one that loses likes may come again."""
    reader = services.reader(caller)
    post = await reader.visible_post(post_id)
    if post is None:
        raise not_found("post")
    listing = Newest if order == "newest" else MostLiked
    listed = listing(reader.stores, post_id)
    place = FIRST if cursor is None else decode_place(cursor, listed.measure)
    try:
        return await _page(reader, post, limit, listed, place)
    except StoreDownError as error:
        raise unavailable("The stores cannot be reached now.") from error


class Newest:
    """The comments on a post by time."""

    measure: Measure = "time"

    def __init__(self, stores: Stores, post_id: str) -> None:
        self._stores = stores
        self._post_id = post_id

    async def read(self, below: Place, limit: int) -> Placed:
        """The next below a place."""
        return await self._stores.archive.comments(self._post_id, below, limit)


class MostLiked:
    """The comments on a post by likes, as they are when they are first read."""

    measure: Measure = "likes"

    def __init__(self, stores: Stores, post_id: str) -> None:
        self._stores = stores
        self._post_id = post_id
        self._best: list[Place] | None = None

    async def read(self, below: Place, limit: int) -> Placed:
        """The next below a place."""
        if self._best is None:
            self._best = await self._stores.cache.best_comments(self._post_id, MAX_BEST)
        places = [place for place in self._best if place < below][:limit]
        if not places:
            return []
        names = [name for _, name in places]
        found = await self._stores.archive.comments_named(self._post_id, names)
        return [(place, found.get(place[1])) for place in places]


async def _page(
    reader: Reader, post: PostView, limit: int, listed: Newest | MostLiked, place: Place
) -> CommentPage:
    """Take comments until one more than `limit` may be shown, or there are no more."""
    shown: list[CommentView] = []
    examined = 0
    has_more = True
    while has_more and examined < MAX_EXAMINED:
        batch = await listed.read(place, AT_ONCE + 1)
        has_more = len(batch) > AT_ONCE
        await load_writers(reader, [comment for _, comment in batch if comment is not None])
        for at, comment in batch[:AT_ONCE]:
            if comment is not None and is_shown(reader, post, comment):
                if len(shown) == limit:
                    return await _out(reader, post, shown, encode_place(place, listed.measure))
                shown.append(comment)
            place = at
        examined += AT_ONCE
    end = encode_place(place, listed.measure) if has_more else None
    return await _out(reader, post, shown, end)


async def _out(
    reader: Reader, post: PostView, shown: list[CommentView], cursor: str | None
) -> CommentPage:
    names = [comment.comment_id for comment in shown]
    archive = reader.stores.archive
    counts = await archive.comment_counts(post.post_id, names) if names else {}
    nothing = CommentCountsView(post.post_id, "")
    return CommentPage(
        comments=[
            comment_out(reader, comment, counts.get(comment.comment_id, nothing))
            for comment in shown
        ],
        next_cursor=cursor,
        has_more=cursor is not None,
    )


async def load_writers(reader: Reader, comments: list[CommentView]) -> None:
    """Know what decides which of the comments are shown."""
    users = [comment.user_id for comment in comments]
    await reader.load(Needs(users=users, blocks=[f"u:{user_id}" for user_id in users]))


def is_shown(reader: Reader, post: PostView, comment: CommentView) -> bool:
    """Whether a comment, whose writer is loaded, is shown to who may see its post. Where a block
    cannot be known now, only what anybody may read is.

    Raises:
        ProblemError: 503, when it cannot be known now whether the writer is gone.
    """
    writer, viewer = comment.user_id, reader.viewer
    if writer == viewer:
        return True
    reader.certain("users", writer)
    is_blocked = reader.is_blocked(f"u:{writer}")
    if viewer is not None and is_blocked is None:
        is_blocked = post.visibility != "public"
    is_gone = reader.user(writer).status in GONE
    return not (is_gone or is_blocked or reader.is_muted(f"u:{writer}"))
