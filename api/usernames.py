"""User names: whose one is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.auth import Anyone
from api.errors import not_found
from api.ids import Id
from api.models import problems
from api.state import Shared
from api.user_models import Profile
from api.users import profile
from schemas.names import name_key

router = APIRouter(prefix="/api/v1/usernames", tags=["users"])

Name = Annotated[Id, Path(description="With or without the @ before it; case does not matter.")]


@router.get(
    "/{username:path}",
    summary="Read the profile of a user name",
    responses=problems(
        _401="The token is not valid.",
        _403="The token lacks the scope `read`.",
        _404="It is nobody's name, or the account is deactivated.",
        _422="The name is not valid.",
        _503="The stores cannot be reached.",
    ),
)
async def read_username(username: Name, services: Shared, caller: Anyone) -> Profile:
    """The public profile of the one user whose name this is."""
    reader = services.reader(caller)
    user_id = await reader.holder(name_key(username.removeprefix("@")))
    if user_id is None:
        raise not_found("user")
    return await profile(reader, user_id)
