"""Blocking and muting users."""

from __future__ import annotations

from fastapi import APIRouter, status

from api.auth import Caller, Writing
from api.errors import invalid, not_found
from api.ids import Id
from api.models import Accepted, problems
from api.state import Services, Shared
from api.users import relate
from api.write_route import WriteRoute
from schemas.events import FollowAction

router = APIRouter(prefix="/api/v1/users", tags=["users"], route_class=WriteRoute)

_PROBLEMS = problems(
    _401="No valid token.",
    _403="The token lacks the scope `write`.",
    _404="There is no such user.",
    _422="The id is not valid, or is the caller's own.",
    _503="Kafka did not acknowledge in time, or the stores cannot be reached.",
)


@router.post(
    "/{user_id:path}/block",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Block a user",
    responses=_PROBLEMS,
)
async def block(user_id: Id, services: Shared, caller: Writing) -> Accepted:
    """Neither sees the other's posts and comments any more, and both follow each other no
    longer."""
    return await _relate(services, caller, "block", user_id)


@router.delete(
    "/{user_id:path}/block",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Block a user no longer",
    responses=_PROBLEMS,
)
async def unblock(user_id: Id, services: Shared, caller: Writing) -> Accepted:
    """The follows that the block ended do not come back. If the other blocks the caller, that
    stays."""
    return await _relate(services, caller, "unblock", user_id)


@router.post(
    "/{user_id:path}/mute",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Mute a user",
    responses=_PROBLEMS,
)
async def mute(user_id: Id, services: Shared, caller: Writing) -> Accepted:
    """What the user posts, shares and comments is left out of what the caller reads; the user is
    not told."""
    return await _relate(services, caller, "mute", user_id)


@router.delete(
    "/{user_id:path}/mute",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Mute a user no longer",
    responses=_PROBLEMS,
)
async def unmute(user_id: Id, services: Shared, caller: Writing) -> Accepted:
    """What was left out is there again."""
    return await _relate(services, caller, "unmute", user_id)


async def _relate(
    services: Services, caller: Caller, action: FollowAction, user_id: str
) -> Accepted:
    """Also to who is gone: whoever is deactivated may come back."""
    if user_id == caller.user_id:
        raise invalid("path.user_id", f"users cannot {action} themselves")
    if not await services.reader(caller).is_known(user_id):
        raise not_found("user")
    return await relate(services, caller, action, f"u:{user_id}")
