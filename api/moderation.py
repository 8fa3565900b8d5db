"""Moderation: the reported posts that await a verdict, and the verdicts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, status

from api.audit import audit
from api.auth import Moderating
from api.bodies import VerdictIn
from api.errors import not_found, unavailable
from api.ids import Id
from api.models import PostAccepted, ReportedPost, ReportedPosts, problems
from api.render import post_out
from api.state import Shared
from api.stores import StoreDownError
from api.views import Needs
from api.write_route import WriteRoute
from schemas.events import Moderation

DEFAULT_LIMIT = 20
MAX_LIMIT = 100

router = APIRouter(prefix="/api/v1/moderation", tags=["moderation"], route_class=WriteRoute)

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Posts at most.")]


@router.get(
    "/queue",
    summary="List posts that await a verdict",
    responses=problems(
        _401="No valid token.",
        _403="The token lacks the scope `moderate`.",
        _422="The limit is not valid.",
        _503="The stores cannot be reached.",
    ),
)
async def read_queue(
    services: Shared, caller: Moderating, limit: Limit = DEFAULT_LIMIT
) -> ReportedPosts:
    """The oldest posts that so many users reported that they are hidden, whoever may see them. A
    verdict takes a post off the list."""
    try:
        awaiting = await services.stores.cache.awaiting(limit)
    except StoreDownError as error:
        raise unavailable("The stores cannot be reached now.") from error
    reader = services.reader(caller)
    await reader.load(Needs(posts=awaiting, counters=awaiting, mine=awaiting))
    posts = [post for post_id in awaiting if (post := reader.post(post_id)) is not None]
    await reader.load_rights(posts)
    reported = [
        ReportedPost(post=post_out(reader, post), reports=reader.counters(post.post_id).reports)
        for post in posts
        if not post.is_deleted
    ]
    return ReportedPosts(posts=reported)


@router.put(
    "/posts/{post_id:path}",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Judge a post",
    responses=problems(
        _400="The body is not JSON.",
        _401="No valid token.",
        _403="The token lacks the scope `moderate`.",
        _404="There is no such post.",
        _422="A field is not valid.",
        _503="Kafka did not acknowledge in time, or the stores cannot be reached.",
    ),
)
async def judge(post_id: Id, body: VerdictIn, services: Shared, caller: Moderating) -> PostAccepted:
    """Hide a post from all but its author, or clear it of the reports so far."""
    reader = services.reader(caller)
    await reader.load(Needs(posts=[post_id]))
    reader.certain("posts", post_id)
    post = reader.post(post_id)
    if post is None or post.is_deleted:
        raise not_found("post")
    at = services.clock()
    event_id = services.events.new_id(at)
    await services.events.publish(
        Moderation(
            event_id=event_id,
            action=body.verdict,
            post_id=post_id,
            moderator_id=caller.user_id,
            at=at,
        )
    )
    audit("post judged", user_id=caller.user_id, post_id=post_id, verdict=body.verdict)
    return PostAccepted(event_id=event_id, post_id=post_id)
