"""Whom and what the caller mutes, and whom the caller blocks: for the caller alone."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter

from api.auth import Reading
from api.cursors import encode_id
from api.models import problems
from api.people import DEFAULT_LIMIT, Cursor, Judged, Limit, is_there, load_people, page_of
from api.render import person
from api.state import Shared
from api.stores import USER
from api.topics import TOPIC
from api.user_models import Muted, People

router = APIRouter(prefix="/api/v1/users", tags=["users"])

_PROBLEMS = problems(
    _400="The cursor is not valid.",
    _401="No valid token.",
    _403="The token lacks the scope `read`.",
    _422="The limit is not valid, or the token names nobody.",
    _503="The stores cannot be reached.",
)


@router.get("/me/mutes", summary="List whom and what one mutes", responses=_PROBLEMS)
async def read_mutes(
    services: Shared, caller: Reading, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Muted:
    """The topics that the caller mutes, in the order of their names, and then the users, in the
    order of their ids; `limit` is of both together. Users who are deleted or deactivated are left
    out."""
    reader = services.reader(caller)
    take = partial(reader.stores.archive.muted, caller.user_id)

    async def judge(sources: list[str]) -> Judged:
        await load_people(reader, _users(sources))
        return lambda source: (
            not source.startswith(USER) or is_there(reader, source.removeprefix(USER))
        )

    shown, last = await page_of(take, judge, limit, cursor)
    return Muted(
        topics=[source.removeprefix(TOPIC) for source in shown if source.startswith(TOPIC)],
        users=[person(reader, user_id) for user_id in _users(shown)],
        next_cursor=None if last is None else encode_id(last),
        has_more=last is not None,
    )


@router.get("/me/blocks", summary="List whom one blocks", responses=_PROBLEMS)
async def read_blocks(
    services: Shared, caller: Reading, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> People:
    """The users whom the caller blocks, in the order of their ids; not those who block the caller.
    Users who are deleted or deactivated are left out."""
    reader = services.reader(caller)
    take = partial(reader.stores.archive.blocked, caller.user_id)

    async def judge(users: list[str]) -> Judged:
        await load_people(reader, users)
        return partial(is_there, reader)

    shown, last = await page_of(take, judge, limit, cursor)
    return People(
        users=[person(reader, user_id) for user_id in shown],
        next_cursor=None if last is None else encode_id(last),
        has_more=last is not None,
    )


def _users(sources: list[str]) -> list[str]:
    return [source.removeprefix(USER) for source in sources if source.startswith(USER)]
