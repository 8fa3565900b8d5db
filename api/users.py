"""Users: profiles, following them, and erasing one's own."""

from __future__ import annotations

from fastapi import APIRouter, status

from api.audit import audit
from api.auth import Anyone, Caller, Writing
from api.bodies import FollowIn
from api.errors import ProblemError, invalid, not_found
from api.ids import Id
from api.influence import influence
from api.models import Accepted, problems
from api.state import Services, Shared
from api.user_models import Profile
from api.views import Needs, Reader
from api.visibility import GONE
from api.write_route import WriteRoute
from schemas.events import Follow, FollowAction, User

router = APIRouter(prefix="/api/v1/users", tags=["users"], route_class=WriteRoute)


@router.get(
    "/{user_id:path}",
    summary="Read a profile",
    responses=problems(
        _401="The token is not valid.",
        _403="The token lacks the scope `read`.",
        _404="There is no such user, or the account is deleted or deactivated.",
        _422="The id is not valid.",
        _503="The stores cannot be reached.",
    ),
)
async def read_user(user_id: Id, services: Shared, caller: Anyone) -> Profile:
    """A user's public profile; a user who is followed or has posts may be without one."""
    return await profile(services.reader(caller), user_id)


async def profile(reader: Reader, user_id: str) -> Profile:
    """A user's profile as a reader sees it.

    Raises:
        ProblemError: 404, for who is not there; 503, when that cannot be known now.
    """
    source, viewer = f"u:{user_id}", reader.viewer
    follows = [(viewer, source)] if viewer else []
    await reader.load(
        Needs(users=[user_id], sources=[source], follows=follows, favourites=[source])
    )
    if not await reader.is_known(user_id):
        raise not_found("user")
    user = reader.user(user_id)
    if user.status in GONE:
        raise not_found("user")
    audience = reader.known.sources.get(source)
    followers = audience.followers if audience else 0
    return Profile(
        user_id=user_id,
        username=user.username,
        display_name=user.display_name,
        bio=user.bio,
        avatar=user.avatar,
        is_verified=user.is_verified,
        followers=followers,
        following=user.following,
        posts=audience.posts if audience else 0,
        influence=influence(followers, user.following),
        is_following=viewer is not None and reader.follows(viewer, source),
        is_favourite=reader.is_favourite(source),
    )


_FOLLOW_PROBLEMS = problems(
    _401="No valid token.",
    _403="The token lacks the scope `write`, or there is a block between the two.",
    _404="There is no such user.",
    _422="The id or the body is not valid, or the id is the caller's own.",
    _503="Kafka did not acknowledge in time, or the stores cannot be reached.",
)


@router.post(
    "/{user_id:path}/follow",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Follow a user",
    responses=_FOLLOW_PROBLEMS,
)
async def follow(
    user_id: Id, services: Shared, caller: Writing, body: FollowIn | None = None
) -> Accepted:
    """Follow a user: their posts come onto the caller's timeline. To follow again says anew whether
    the user is a favourite, of whose posts the caller is told."""
    _check_other(user_id, caller)
    reader = services.reader(caller)
    source = f"u:{user_id}"
    await reader.load(Needs(users=[user_id], sources=[source], blocks=[source]))
    if not await reader.is_known(user_id) or reader.user(user_id).status in GONE:
        raise not_found("user")
    if reader.is_blocked(source):
        raise ProblemError(403, "blocked", "There is a block between you and this user.")
    is_favourite = body is not None and body.is_favourite
    return await relate(services, caller, "follow", source, is_favourite=is_favourite)


@router.delete(
    "/{user_id:path}/follow",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Unfollow a user",
    responses=_FOLLOW_PROBLEMS,
)
async def unfollow(user_id: Id, services: Shared, caller: Writing) -> Accepted:
    """Follow a user no more: what they brought leaves the caller's timeline."""
    _check_other(user_id, caller)
    if not await services.reader(caller).is_known(user_id):
        raise not_found("user")
    return await relate(services, caller, "unfollow", f"u:{user_id}")


@router.delete(
    "/{user_id:path}",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Erase one's account",
    responses=problems(
        _401="No valid token.",
        _403="The token lacks the scope `write`, or the account is another's and it lacks `admin`.",
        _422="The id is not valid.",
        _503="Kafka did not acknowledge in time.",
    ),
)
async def erase(user_id: Id, services: Shared, caller: Writing) -> Accepted:
    """Erase the caller for ever: profile, posts, engagements, relations and timeline; or whomever,
    with the scope `admin` besides."""
    if user_id != caller.user_id and "admin" not in caller.scopes:
        raise ProblemError(403, "not-owner", "Nobody may erase another's account.")
    at = services.clock()
    event_id = services.events.new_id(at)
    await services.events.publish(User(event_id=event_id, action="deleted", user_id=user_id, at=at))
    audit("account erased", user_id=caller.user_id, account=user_id)
    return Accepted(event_id=event_id)


def _check_other(user_id: str, caller: Caller) -> None:
    if user_id == caller.user_id:
        raise invalid("path.user_id", "users cannot follow themselves")


async def relate(
    services: Services,
    caller: Caller,
    action: FollowAction,
    target: str,
    *,
    is_favourite: bool = False,
) -> Accepted:
    """Publish that the caller's relation to a source changes."""
    at = services.clock()
    event_id = services.events.new_id(at)
    await services.events.publish(
        Follow(
            event_id=event_id,
            action=action,
            user_id=caller.user_id,
            target=target,
            at=at,
            is_favourite=is_favourite,
        )
    )
    return Accepted(event_id=event_id)
