"""GET /api/v1/posts/{post_id}/comments: what users say of a post."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import Anyone
from api.cursors import decode_place, encode_place
from api.errors import not_found, unavailable
from api.ids import Id
from api.models import CommentPage, problems
from api.render import comment_out
from api.state import Shared
from api.stores import StoreDownError
from api.views import Needs, Reader
from api.visibility import GONE
from schemas.views import CommentView

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_EXAMINED = 500
"""Comments that one request looks at: a page may come out short, but never without end."""

AT_ONCE = 50
Place = tuple[int, str]
NEWEST: Place = (2**63 - 1, "")
"""Above every place."""

router = APIRouter(prefix="/api/v1/posts", tags=["comments"])

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Comments on the page.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]


@router.get(
    "/{post_id:path}/comments",
    summary="Read a post's comments",
    responses=problems(
        _400="The cursor is not valid.",
        _401="The token is not valid.",
        _403="The token lacks the scope `read`.",
        _404="There is no such post, or the caller may not see it.",
        _422="The id or the limit is not valid.",
        _503="The stores cannot be reached.",
    ),
)
async def read_comments(
    post_id: Id,
    services: Shared,
    caller: Anyone,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> CommentPage:
    """The comments on a post that the caller may see, newest first, less those by users who are
    gone, or blocked, or muted by the caller. What answers a comment names it as its `parent`."""
    reader = services.reader(caller)
    if await reader.visible_post(post_id) is None:
        raise not_found("post")
    try:
        return await _page(
            reader, post_id, limit, NEWEST if cursor is None else decode_place(cursor)
        )
    except StoreDownError as error:
        raise unavailable("The stores cannot be reached now.") from error


async def _page(reader: Reader, post_id: str, limit: int, place: Place) -> CommentPage:
    """Take comments until one more than `limit` may be shown, or there are no more."""
    shown: list[CommentView] = []
    examined = 0
    has_more = True
    while has_more and examined < MAX_EXAMINED:
        batch = await reader.stores.archive.comments(post_id, place, AT_ONCE + 1)
        has_more = len(batch) > AT_ONCE
        await _load(reader, batch)
        for comment in batch[:AT_ONCE]:
            if _is_shown(reader, comment):
                if len(shown) == limit:
                    return _out(reader, shown, place)
                shown.append(comment)
            place = (comment.at, comment.comment_id)
        examined += AT_ONCE
    return _out(reader, shown, place if has_more else None)


def _out(reader: Reader, shown: list[CommentView], last: Place | None) -> CommentPage:
    return CommentPage(
        comments=[comment_out(reader, comment) for comment in shown],
        next_cursor=None if last is None else encode_place(last),
        has_more=last is not None,
    )


async def _load(reader: Reader, comments: list[CommentView]) -> None:
    users = [comment.user_id for comment in comments]
    await reader.load(Needs(users=users, blocks=[f"u:{user_id}" for user_id in users]))


def _is_shown(reader: Reader, comment: CommentView) -> bool:
    if comment.user_id == reader.viewer:
        return True
    source = f"u:{comment.user_id}"
    is_gone = reader.user(comment.user_id).status in GONE
    return not (is_gone or reader.is_blocked(source) or reader.is_muted(source))
