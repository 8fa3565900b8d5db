"""Lists of posts that are no timeline: many by their ids, a user's, and those the caller likes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import Anyone, Reading
from api.cursors import decode_place, encode_place
from api.errors import invalid, not_found, unavailable
from api.ids import Id, is_id
from api.likes import Likes
from api.models import LikedPage, PostPage, Posts, problems
from api.render import liked_post, post_out
from api.state import Shared
from api.stores import StoreDownError
from api.views import Needs, Reader
from api.visibility import GONE
from schemas.views import PostView

MAX_IDS = 100
DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_EXAMINED = 500
"""Posts that one request looks at: a page may come out short, but never without end."""

AT_ONCE = 50
Place = tuple[int, str]
"""(time in ms, post id); lists are ordered by it, descending."""

NEWEST: Place = (2**63 - 1, "")
"""Above every place."""

Take = Callable[[Place, int], Awaitable[list[Place]]]
"""The newest places below one, at most so many; fewer only when there are no more."""

router = APIRouter(prefix="/api/v1", tags=["posts"])

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Posts on the page.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]


@router.get(
    "/posts",
    summary="Read many posts",
    responses=problems(
        _401="The token is not valid.",
        _403="The token lacks the scope `read`.",
        _422="An id is not valid, or there are none or more than 100.",
        _503="The stores cannot be reached.",
    ),
)
async def read_posts(
    services: Shared,
    caller: Anyone,
    ids: Annotated[
        str,
        Query(
            min_length=1,
            description="Post ids, at most 100, with commas between them; a post whose id has a "
            "comma in it is read by itself.",
            examples=["01JZ8B0V3QKX4M5T7N9R2C6DHE,01JZ8B0V3QKX4M5T7N9R2C6DHF"],
        ),
    ],
) -> Posts:
    """The posts that the caller may see, in the order of the ids, each once. What the caller may
    not see is absent, as what does not exist."""
    wanted = list(dict.fromkeys(ids.split(",")))
    if len(wanted) > MAX_IDS:
        raise invalid("query.ids", f"at most {MAX_IDS} ids")
    if not all(map(is_id, wanted)):
        raise invalid("query.ids", "an id has 1 to 256 bytes and no control characters")
    reader = services.reader(caller)
    await _load(reader, wanted)
    posts = [post for name in wanted if (post := _visible(reader, name)) is not None]
    return Posts(posts=[post_out(reader, post) for post in posts], degraded=reader.degraded)


@router.get(
    "/users/me/likes",
    summary="List the posts that one likes",
    responses=problems(
        _400="The cursor is not valid.",
        _401="No valid token.",
        _403="The token lacks the scope `read`.",
        _422="The limit is not valid.",
        _503="The stores cannot be reached.",
    ),
)
async def list_likes(
    services: Shared, caller: Reading, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> LikedPage:
    """The posts to which the caller reacted, in whatever way, the newest reaction first, less those
    that the caller may no longer see. Nobody sees what others like."""
    reader = services.reader(caller)
    likes = Likes(reader, caller.user_id)
    shown, last = await _page(reader, likes.take, limit, cursor)
    if last is None and likes.cut_at is not None:
        last = likes.cut_at
    return LikedPage(
        posts=[liked_post(reader, post, at) for (at, _), post in shown],
        next_cursor=None if last is None else encode_place(last),
        has_more=last is not None,
        degraded=reader.degraded,
    )


@router.get(
    "/users/{user_id:path}/posts",
    summary="List a user's posts",
    responses=problems(
        _400="The cursor is not valid.",
        _401="The token is not valid.",
        _403="The token lacks the scope `read`.",
        _404="There is no such user, or the account is deleted or deactivated.",
        _422="The id or the limit is not valid.",
        _503="The stores cannot be reached.",
    ),
)
async def read_user_posts(
    user_id: Id,
    services: Shared,
    caller: Anyone,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PostPage:
    """The posts of a user that the caller may see, replies among them, newest first; without a
    token, the public ones. Of the user's posts up to 500 are looked at for a page."""
    reader = services.reader(caller)
    if not await reader.is_known(user_id) or reader.user(user_id).status in GONE:
        raise not_found("user")
    try:
        shown, last = await _page(reader, partial(_authored, reader, user_id), limit, cursor)
    except StoreDownError as error:
        raise unavailable("The stores cannot be reached now.") from error
    return PostPage(
        posts=[post_out(reader, post) for (at, _), post in shown if at == post.at],
        next_cursor=None if last is None else encode_place(last),
        has_more=last is not None,
        degraded=reader.degraded,
    )


async def _authored(reader: Reader, user_id: str, below: Place, limit: int) -> list[Place]:
    rows = await reader.stores.archive.authored([user_id], (*below, ""), 0, limit)
    return [(row.at, row.post_id) for row in rows]


async def _page(
    reader: Reader, take: Take, limit: int, cursor: str | None
) -> tuple[list[tuple[Place, PostView]], Place | None]:
    """What may be shown, with its places, until there is one more than `limit`; and where the next
    page begins, None at the end."""
    place = NEWEST if cursor is None else decode_place(cursor)
    shown: list[tuple[Place, PostView]] = []
    examined = 0
    has_more = True
    while has_more and examined < MAX_EXAMINED:
        batch = await take(place, AT_ONCE + 1)
        has_more = len(batch) > AT_ONCE
        await _load(reader, [post_id for _, post_id in batch[:AT_ONCE]])
        for at in batch[:AT_ONCE]:
            post = _visible(reader, at[1])
            if post is not None:
                if len(shown) == limit:
                    return shown, place
                shown.append((at, post))
            place = at
        examined += AT_ONCE
    return shown, place if has_more else None


async def _load(reader: Reader, ids: Iterable[str]) -> None:
    """Know what decides which of these posts are shown."""
    names = list(ids)
    await reader.load(Needs(posts=names, counters=names, mine=names))
    await reader.load_rights([post for name in names if (post := reader.post(name)) is not None])


def _visible(reader: Reader, post_id: str) -> PostView | None:
    """A loaded post if the viewer may see it, and that is certain."""
    post = reader.post(post_id)
    if post is None or not reader.is_certain("users", post.author_id):
        return None
    return post if reader.may_see(post) else None
