"""Interests: what the API knows that a user likes and not, and the user's own word on it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, status

from api.auth import Reading, Writing
from api.bodies import FeedbackIn
from api.errors import invalid, unavailable
from api.models import Accepted, Interest, InterestsOut, problems
from api.state import Shared
from api.stores import StoreDownError
from api.write_route import WriteRoute
from schemas.events import Engagement, Feedback

MAX_LIMIT = 100
CAP = 100.0
"""No interest counts for more (003, "Affinity Scoring System")."""

router = APIRouter(prefix="/api/v1", tags=["interests"], route_class=WriteRoute)


@router.get(
    "/users/me/interests",
    summary="Read one's interests",
    responses=problems(
        _401="No valid token.",
        _403="The token lacks the scope `read`.",
        _422="The limit is not valid.",
        _503="The stores cannot be reached.",
    ),
)
async def read_interests(
    services: Shared,
    caller: Reading,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Of each list, at most.")] = 20,
) -> InterestsOut:
    """What the caller likes, and wants to see less of, as of now: users (`u:`), topics (`t:`),
    languages (`l:`) and kinds of media (`m:`)."""
    reader = services.reader(caller)
    now = services.clock()
    for store in (reader.stores.cache, reader.stores.archive):
        try:
            found = await store.interests(caller.user_id, limit, now)
        except StoreDownError as error:
            reader.mark_down(error)
        else:
            return InterestsOut(
                likes=[Interest(subject=s, score=min(score, CAP)) for s, score in found.likes],
                aversions=[Interest(subject=s, score=score) for s, score in found.aversions],
                degraded=reader.degraded,
            )
    raise unavailable("The stores cannot be reached now.")


@router.post(
    "/feedback",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Say what is of interest",
    responses=problems(
        _400="The body is not JSON.",
        _401="No valid token.",
        _403="The token lacks the scope `write`.",
        _422="A field is not valid, or names a post that the caller cannot see.",
        _503="Kafka did not acknowledge in time, or the stores cannot be reached.",
    ),
)
async def give_feedback(body: FeedbackIn, services: Shared, caller: Writing) -> Accepted:
    """Of a subject, the newest word counts. A post that is not of interest is hidden from the
    caller for good, and what it is about is less of interest for two weeks."""
    at = services.clock()
    event_id = services.events.new_id(at)
    if body.subject is not None:
        event: Feedback | Engagement = Feedback(
            event_id=event_id,
            action=body.action,
            user_id=caller.user_id,
            subject=body.subject,
            at=at,
        )
    else:
        if await services.reader(caller).visible_post(body.post_id or "") is None:
            raise invalid("body.post_id", "there is no such post")
        event = Engagement(
            event_id=event_id,
            action="hide",
            user_id=caller.user_id,
            post_id=body.post_id,
            at=at,
        )
    await services.events.publish(event)
    return Accepted(event_id=event_id)
