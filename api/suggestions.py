"""Whom the caller may want to follow: friends of friends, found when they are asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import Reading
from api.circle import Candidate, Follows, candidates
from api.circles import read_circle
from api.influence import influence
from api.models import problems
from api.render import person, rfc3339
from api.state import Shared
from api.stores import REDIS, StoreDownError
from api.user_models import Suggestion, Suggestions
from api.views import Needs, Reader
from api.visibility import GONE

DEFAULT_LIMIT = 20
MAX_LIMIT = 50

router = APIRouter(prefix="/api/v1/users", tags=["users"])


@router.get(
    "/me/suggestions",
    summary="Suggest users to follow",
    responses=problems(
        _401="No valid token.",
        _403="The token lacks the scope `read`.",
        _422="The limit is not valid.",
        _503="The stores cannot be reached.",
    ),
)
async def read_suggestions(
    services: Shared,
    caller: Reading,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Users.")] = DEFAULT_LIMIT,
) -> Suggestions:
    """Users whom those follow whom the caller follows, the most fitting first.

    Looks at the 50 users followed last and the 50 closest of those followed, at the newest 100
    sources that each of them follows, and at the 200 best users among these. Takes four round trips
    to Redis, whatever the numbers, and reads Cassandra once for profiles that are not there.
    While Redis cannot be reached, the first 100 sources of each in the order of ids are taken, and
    blocks and mutes are not known.
    """
    reader, now = services.reader(caller), services.clock()
    circle = await read_circle(reader, now)
    friends = circle.friends()
    await reader.load(Needs(users=friends))
    friends = [user_id for user_id in friends if _is_there(reader, user_id)]
    follows = await _follows_of(reader, friends) if friends else {}
    shown = await _shown(reader, candidates(caller.user_id, circle, follows))
    return Suggestions(
        users=[_suggestion(reader, each) for each in shown[:limit]],
        as_of=rfc3339(now),
        degraded=reader.degraded,
    )


async def _follows_of(reader: Reader, users: list[str]) -> dict[str, Follows]:
    if not reader.is_down(REDIS):
        try:
            return await reader.stores.cache.follows_of(users)
        except StoreDownError as error:
            reader.mark_down(error)
    try:
        return await reader.stores.archive.follows_of(users)
    except StoreDownError as error:
        reader.mark_down(error)
        raise


async def _shown(reader: Reader, found: list[Candidate]) -> list[Candidate]:
    """Those who may be shown, by score, influence and id."""
    users = [each.user_id for each in found]
    sources = [f"u:{user_id}" for user_id in users]
    follows = [(reader.viewer or "", source) for source in sources]
    await reader.load(Needs(users=users, sources=sources, blocks=sources, follows=follows))
    shown = [each for each in found if _may_be_suggested(reader, each.user_id)]
    return sorted(
        shown, key=lambda each: (-each.score, -_influence(reader, each.user_id), each.user_id)
    )


def _may_be_suggested(reader: Reader, user_id: str) -> bool:
    source = f"u:{user_id}"
    return _is_there(reader, user_id) and not (
        reader.follows(reader.viewer or "", source)
        or reader.is_blocked(source)
        or reader.is_muted(source)
    )


def _is_there(reader: Reader, user_id: str) -> bool:
    return reader.is_certain("users", user_id) and reader.user(user_id).status not in GONE


def _influence(reader: Reader, user_id: str) -> float:
    audience = reader.known.sources.get(f"u:{user_id}")
    return influence(audience.followers if audience else 0, reader.user(user_id).following)


def _suggestion(reader: Reader, found: Candidate) -> Suggestion:
    return Suggestion(
        **person(reader, found.user_id).model_dump(),
        score=found.score,
        influence=_influence(reader, found.user_id),
        via=found.via,
    )
