"""What users do with posts: reactions, comments, shares, views and the like."""

from __future__ import annotations

import structlog
from fastapi import APIRouter, status

from api.auth import Writing
from api.bodies import EngagementIn
from api.comments import is_shown, load_writers
from api.errors import ProblemError, invalid, not_found, unavailable
from api.ids import Id
from api.models import EngagementAccepted, problems
from api.state import Shared
from api.stores import REDIS, StoreDownError
from api.views import Needs, Reader
from api.visibility import GONE
from api.write_route import WriteRoute
from schemas.events import Engagement, Surface
from schemas.views import PostView

SEEN_BY = ("view", "click")
"""What says that a post was seen. That it was on a page that was served does not."""

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/api/v1/posts", tags=["engagements"], route_class=WriteRoute)


@router.post(
    "/{post_id:path}/engagements",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Engage with a post",
    responses=problems(
        _400="The body is not JSON.",
        _401="No valid token.",
        _403="The token lacks the scope `write`, or the comment is by another user.",
        _404="There is no such post, or the caller may not see it; or no such comment.",
        _413="The body is over 256 KiB.",
        _422="A field is not valid, the post may not be shared, or the text is taken for spam "
        "(`spam`).",
        _503="Kafka did not acknowledge in time, or the stores cannot be reached.",
    ),
)
async def engage(
    post_id: Id, body: EngagementIn, services: Shared, caller: Writing
) -> EngagementAccepted:
    """Do something with a post that the caller may see. The views follow within a second."""
    services.content.check_text("body.text", body.text)
    reader = services.reader(caller)
    post = await reader.visible_post(post_id, Needs(users=[caller.user_id]))
    if post is None:
        raise not_found("post")
    if body.action == "share" and post.visibility != "public":
        raise invalid("body.action", "only public posts can be shared")
    if body.action != "comment" and body.comment_id is not None:
        await _check_comment(reader, post, body.comment_id, body.action)
    at = services.clock()
    event_id = services.events.new_id(at)
    comment_id, share_id = body.comment_id, body.share_id
    if body.action == "comment" and comment_id is None:
        comment_id = services.events.new_id(at)
    if body.action == "share" and share_id is None:
        share_id = services.events.new_id(at)
    await services.events.publish(
        Engagement(
            event_id=event_id,
            action=body.action,
            user_id=caller.user_id,
            at=at,
            post_id=post_id,
            kind=body.kind,
            comment_id=comment_id,
            text=body.text,
            parent=body.parent,
            share_id=share_id,
            dwell_ms=body.dwell_ms,
            surface=Surface(**body.surface.model_dump()) if body.surface else None,
        )
    )
    if body.action in SEEN_BY and reader.user(caller.user_id).status not in GONE:
        await _note_seen(reader, caller.user_id, post_id)
    return EngagementAccepted(event_id=event_id, post_id=post_id, comment_id=comment_id)


async def _note_seen(reader: Reader, user_id: str, post_id: str) -> None:
    """Note that a user has seen a post; one that cannot be noted is ranked as if unseen."""
    if reader.is_down(REDIS):
        return
    try:
        await reader.stores.rankings.see(user_id, post_id)
    except StoreDownError as error:
        log.warning("seen not noted", reason=error.reason)


async def _check_comment(reader: Reader, post: PostView, comment_id: str, action: str) -> None:
    """A comment must be there, and may be deleted by who wrote it and by the post's author."""
    try:
        comment = await reader.stores.archive.comment(post.post_id, comment_id)
    except StoreDownError as error:
        raise unavailable("The stores cannot be reached now.") from error
    if comment is None:
        raise not_found("comment")
    if action == "comment_deleted":
        if reader.viewer not in (comment.user_id, post.author_id):
            raise ProblemError(403, "not-author", "Only its author may delete a comment.")
        return
    await load_writers(reader, [comment])
    if not is_shown(reader, post, comment):
        raise not_found("comment")
