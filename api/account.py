"""The caller's own account: the profile, notifications, and standing."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, status
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.auth import Caller, Reading, Writing
from api.bodies import Body, Url
from api.errors import ProblemError, invalid, not_found
from api.ids import is_id
from api.models import Accepted, Count, problems
from api.state import Services, Shared
from api.views import Needs, Reader
from api.write_route import WriteRoute
from schemas.changes import PREFERENCE
from schemas.events import User, UserAction
from schemas.names import name_key
from schemas.views import NoticeKind, UserView

router = APIRouter(prefix="/api/v1/users/me", tags=["users"], route_class=WriteRoute)

Switch = Literal["on", "off"]
SILENT = "notify."
"""What the preferences begin with that turn kinds of notifications off."""


def _fits(value: str) -> str:
    if not is_id(value):
        raise ValueError("a user name has at most 256 bytes")
    return value


Username = Annotated[
    str,
    Field(
        pattern=r"^\w([\w.:-]{0,48}\w)?$",
        max_length=50,
        description="As posts mention it: letters, digits, `_`, and within it `.`, `:` and `-`.",
        examples=["john_doe"],
    ),
    AfterValidator(_fits),
]


class Account(BaseModel):
    """What the caller alone may know of the account, beside the profile."""

    user_id: str = Field(examples=["user_789"])
    username: str | None = Field(description="If it is the caller's.", examples=["john_doe"])
    display_name: str | None = Field(examples=["John Doe"])
    bio: str | None
    avatar: str | None = Field(examples=["https://cdn.example.com/avatar.jpg"])
    is_verified: bool
    following: Count
    status: str = Field(description="`active`, `deactivated` or `deleted`.", examples=["active"])
    notifications: dict[NoticeKind, Switch] = Field(description="Of each kind.")


class AccountPatch(Body):
    """What changes of the profile; what is left out stays as it is, null takes it away."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"display_name": "John Doe"}]})

    username: Username | None = None
    display_name: Annotated[str, Field(max_length=100)] | None = None
    bio: Annotated[str, Field(max_length=2_000)] | None = None
    avatar: Url | None = None
    notifications: dict[NoticeKind, Switch] = Field(
        default_factory=dict, description="Kinds that are turned on or off; others stay."
    )


_STANDING = problems(
    _401="No valid token.",
    _403="The token lacks the scope `write`.",
    _422="The token names nobody.",
    _503="Kafka did not acknowledge in time.",
)


@router.get(
    "",
    summary="Read one's account",
    responses=problems(
        _401="No valid token.",
        _403="The token lacks the scope `read`.",
        _422="The token names nobody.",
        _503="The stores cannot be reached.",
    ),
)
async def read_account(services: Shared, caller: Reading) -> Account:
    """The caller's profile, also while it is deactivated, and what is notified."""
    user = await _own(services.reader(caller))
    return Account(
        user_id=caller.user_id,
        username=user.username,
        display_name=user.display_name,
        bio=user.bio,
        avatar=user.avatar,
        is_verified=user.is_verified,
        following=user.following,
        status=user.status,
        notifications={
            kind: "off" if kind in user.silenced else "on" for kind in get_args(NoticeKind)
        },
    )


@router.patch(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Edit one's profile",
    responses=problems(
        _400="The body is not JSON.",
        _401="No valid token.",
        _403="The token lacks the scope `write`.",
        _404="The account is deleted.",
        _409="The user name is another's.",
        _413="The body is over 256 KiB.",
        _422="A field is not valid.",
        _503="Kafka did not acknowledge in time, or the stores cannot be reached.",
    ),
)
async def edit_account(body: AccountPatch, services: Shared, caller: Writing) -> Accepted:
    """Change the caller's profile and what is notified. Of each field, and of each kind of
    notifications, the newest edit counts, whatever is done to the others meanwhile. A user name
    that is free now may become another's first."""
    reader = services.reader(caller)
    user = await _own(reader)
    if user.status == "deleted":
        raise not_found("user")
    fields = _edited(body)
    if not fields["changes"]:
        raise invalid("body", "nothing to change")
    if body.username is not None:
        holder = await reader.holder(name_key(body.username))
        if holder not in (None, caller.user_id):
            raise ProblemError(409, "name-taken", "The user name is another's.")
    return await _publish(services, caller, "profile", **fields)


@router.post(
    "/deactivate",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Deactivate one's account",
    responses=_STANDING,
)
async def deactivate(services: Shared, caller: Writing) -> Accepted:
    """Nobody sees the caller's profile, posts and comments, until the account is reactivated."""
    return await _publish(services, caller, "deactivated")


@router.post(
    "/reactivate",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Reactivate one's account",
    responses=_STANDING,
)
async def reactivate(services: Shared, caller: Writing) -> Accepted:
    """All is as before. Who is deleted stays so."""
    return await _publish(services, caller, "reactivated")


async def _own(reader: Reader) -> UserView:
    """The viewer's profile as it is known now.

    Raises:
        ProblemError: 503, when the store that knows is down.
    """
    user_id = reader.viewer or ""
    await reader.load(Needs(users=[user_id]))
    reader.certain("users", user_id)
    return reader.user(user_id)


def _edited(body: AccountPatch) -> dict[str, Any]:
    """What changes of the profile, as an event says it."""
    given = {name: getattr(body, name) for name in body.model_fields_set - {"notifications"}}
    switches = {f"{SILENT}{kind}": on for kind, on in body.notifications.items()}
    return {
        **given,
        "preferences": {name: "off" for name, on in switches.items() if on == "off"},
        "changes": (*sorted(given), *sorted(f"{PREFERENCE}{name}" for name in switches)),
    }


async def _publish(
    services: Services, caller: Caller, action: UserAction, **fields: Any
) -> Accepted:
    at = services.clock()
    event_id = services.events.new_id(at)
    await services.events.publish(
        User(event_id=event_id, action=action, user_id=caller.user_id, at=at, **fields)
    )
    return Accepted(event_id=event_id)
