"""Who follows a user, whom a user follows, and which of the followers the caller follows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import Anyone, Caller, Reading
from api.cursors import decode_id, encode_id
from api.errors import not_found, unavailable
from api.ids import Id
from api.models import problems
from api.render import person
from api.state import Services, Shared
from api.stores import StoreDownError
from api.user_models import People
from api.views import Needs, Reader
from api.visibility import GONE

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_EXAMINED = 1_000
"""Users that one request looks at: a page may come out short, but never without end."""

router = APIRouter(prefix="/api/v1/users", tags=["users"])

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Users on the page.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
Take = Callable[[str, int], Awaitable[list[str]]]
"""The ids behind one, at most so many, in order; fewer only when there are no more."""
Judged = Callable[[str], bool]
"""Whether an id is shown."""
Judge = Callable[[list[str]], Awaitable[Judged]]
"""Learns what decides that for some ids."""

_PROBLEMS = problems(
    _400="The cursor is not valid.",
    _401="The token is not valid, or there is none and one is needed.",
    _403="The token lacks the scope `read`.",
    _404="There is no such user, or the account is deleted or deactivated.",
    _422="The id or the limit is not valid.",
    _503="The stores cannot be reached.",
)


@router.get("/{user_id:path}/followers", summary="List followers", responses=_PROBLEMS)
async def read_followers(
    user_id: Id,
    services: Shared,
    caller: Anyone,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> People:
    """Who follows a user, in the order of their ids."""
    reader = await _reader_about(user_id, services, caller)
    take = partial(reader.stores.archive.followers, f"u:{user_id}")
    return await _page(reader, take, limit, cursor)


@router.get("/{user_id:path}/following", summary="List the followed", responses=_PROBLEMS)
async def read_following(
    user_id: Id,
    services: Shared,
    caller: Anyone,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> People:
    """The users whom a user follows, in the order of their ids."""
    reader = await _reader_about(user_id, services, caller)
    take = partial(reader.stores.archive.followed, user_id)
    return await _page(reader, take, limit, cursor)


@router.get("/{user_id:path}/mutuals", summary="List followers one knows", responses=_PROBLEMS)
async def list_mutuals(
    user_id: Id,
    services: Shared,
    caller: Reading,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> People:
    """The followers of a user whom the caller follows too, in the order of their ids. Looks through
    up to 1,000 of those whom the caller follows for a page."""
    reader = await _reader_about(user_id, services, caller)
    archive = reader.stores.archive
    take = partial(archive.followed, caller.user_id)

    async def are_followers(users: list[str]) -> set[str]:
        return set(await archive.followers_among(f"u:{user_id}", users))

    return await _page(reader, take, limit, cursor, are_followers)


async def _reader_about(user_id: str, services: Services, caller: Caller | None) -> Reader:
    reader = services.reader(caller)
    if not await reader.is_known(user_id) or reader.user(user_id).status in GONE:
        raise not_found("user")
    return reader


async def _page(
    reader: Reader,
    take: Take,
    limit: int,
    cursor: str | None,
    are_wanted: Callable[[list[str]], Awaitable[set[str]]] | None = None,
) -> People:
    """A page of those users who are wanted, or all, and neither gone nor blocked either way."""

    async def judge(users: list[str]) -> Judged:
        wanted = set(users) if are_wanted is None else await are_wanted(users)
        await load_people(reader, [user_id for user_id in users if user_id in wanted])
        return lambda user_id: user_id in wanted and _is_shown(reader, user_id)

    shown, last = await page_of(take, judge, limit, cursor)
    return People(
        users=[person(reader, user_id) for user_id in shown],
        next_cursor=None if last is None else encode_id(last),
        has_more=last is not None,
    )


async def page_of(
    take: Take, judge: Judge, limit: int, cursor: str | None
) -> tuple[list[str], str | None]:
    """Take ids until `limit` may be shown, and one more is there, or there are no more: those, and
    behind which the next page begins, None at the end.

    Raises:
        ProblemError: 400, when the cursor is none; 503, when the stores are down.
    """
    last = "" if cursor is None else decode_id(cursor)
    shown: list[str] = []
    examined = 0
    has_more = True
    try:
        while has_more and examined < MAX_EXAMINED:
            batch = await take(last, MAX_LIMIT + 1)
            has_more = len(batch) > MAX_LIMIT
            is_shown = await judge(batch)
            for name in batch[:MAX_LIMIT]:
                if is_shown(name):
                    if len(shown) == limit:
                        return shown, last
                    shown.append(name)
                last = name
            examined += MAX_LIMIT
    except StoreDownError as error:
        raise unavailable("The stores cannot be reached now.") from error
    return shown, last if has_more else None


async def load_people(reader: Reader, users: list[str]) -> None:
    """Know what lists say of users, and what decides whether they are shown."""
    sources = [f"u:{user_id}" for user_id in users]
    follows = [(reader.viewer or "", source) for source in sources]
    await reader.load(Needs(users=users, blocks=sources, follows=follows))


def is_there(reader: Reader, user_id: str) -> bool:
    """Whether a user is neither deleted nor deactivated.

    Raises:
        ProblemError: 503, when the store that knows is down.
    """
    reader.certain("users", user_id)
    return reader.user(user_id).status not in GONE


def _is_shown(reader: Reader, user_id: str) -> bool:
    return is_there(reader, user_id) and not reader.is_blocked(f"u:{user_id}")
