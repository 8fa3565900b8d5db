"""Close friends: those who follow each other and do most with each other."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import Reading
from api.circle import MAX_AFFINITY
from api.circles import read_circle
from api.models import problems
from api.render import person, rfc3339
from api.state import Shared
from api.user_models import CloseFriend, CloseFriends
from api.views import Needs, Reader
from api.visibility import GONE

CLOSEST = 100
"""How many of the closest are looked at (003, "Affinity Scoring System")."""
LEAST_AFFINITY = 10.0
"""As a message of now."""
MAX_LIMIT = 100

router = APIRouter(prefix="/api/v1/users", tags=["users"])


@router.get(
    "/me/close-friends",
    summary="List close friends",
    responses=problems(
        _401="No valid token.",
        _403="The token lacks the scope `read`.",
        _422="The limit is not valid.",
        _503="The stores cannot be reached.",
    ),
)
async def read_close_friends(
    services: Shared,
    caller: Reading,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Users at most.")] = 20,
) -> CloseFriends:
    """Of the 100 users to whom the caller is closest, those with an affinity of 10 or more who
    follow the caller and are followed, closest first; not who is muted. Two round trips."""
    reader, now = services.reader(caller), services.clock()
    circle = await read_circle(reader, now)
    close = {
        user_id: min(score, MAX_AFFINITY)
        for user_id, score in list(circle.affinities.items())[:CLOSEST]
        if score >= LEAST_AFFINITY
    }
    mine, sources = f"u:{caller.user_id}", [f"u:{user_id}" for user_id in close]
    both_ways = [(caller.user_id, source) for source in sources]
    both_ways += [(user_id, mine) for user_id in close]
    await reader.load(Needs(users=close, follows=both_ways, blocks=sources))
    return CloseFriends(
        users=[
            CloseFriend(**person(reader, user_id).model_dump(), affinity=score)
            for user_id, score in close.items()
            if _is_friend(reader, user_id)
        ][:limit],
        as_of=rfc3339(now),
        degraded=reader.degraded,
    )


def _is_friend(reader: Reader, user_id: str) -> bool:
    viewer = reader.viewer or ""
    return (
        reader.follows(viewer, f"u:{user_id}")
        and reader.follows(user_id, f"u:{viewer}")
        and not reader.is_muted(f"u:{user_id}")
        and reader.user(user_id).status not in GONE
    )
