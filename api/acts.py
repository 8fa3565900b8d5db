"""What users do with posts, a path for each: likes, reactions, shares and comments."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, status
from pydantic import Field

from api.auth import Writing
from api.bodies import Body, EngagementIn, Kind, Text
from api.engagements import engage
from api.ids import Id
from api.models import EngagementAccepted, Responses, problems
from api.state import Shared
from api.write_route import WriteRoute

router = APIRouter(prefix="/api/v1/posts", tags=["engagements"], route_class=WriteRoute)


class ReactionIn(Body):
    """A reaction to a post."""

    kind: Kind = Field(description="The kind of reaction; `like` is one.")


class CommentIn(Body):
    """A comment on a post."""

    text: Annotated[Text, Field(min_length=1, examples=["Well said."])]
    parent: Id | None = Field(
        None,
        description="The comment that it answers; any id is taken, as the one that it names need "
        "not be in the views yet.",
    )
    comment_id: Id | None = Field(None, description="Made when left out.")


def _problems(forbidden: str = "The token lacks the scope `write`.") -> Responses:
    return problems(
        _400="The body is not JSON.",
        _401="No valid token.",
        _403=forbidden,
        _404="There is no such post, or the caller may not see it; or no such comment.",
        _413="The body is over 256 KiB.",
        _422="A field is not valid, or the post may not be shared.",
        _503="Kafka did not acknowledge in time, or the stores cannot be reached.",
    )


_PROBLEMS = _problems()


@router.post(
    "/{post_id:path}/like",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Like a post",
    responses=_PROBLEMS,
)
async def like(post_id: Id, services: Shared, caller: Writing) -> EngagementAccepted:
    """Like a post, in place of any other reaction to it. Again changes nothing."""
    return await engage(post_id, EngagementIn(action="like"), services, caller)


@router.delete(
    "/{post_id:path}/like",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Like a post no longer",
    responses=_PROBLEMS,
)
async def unlike(post_id: Id, services: Shared, caller: Writing) -> EngagementAccepted:
    """Take one's like, or other reaction, back."""
    return await engage(post_id, EngagementIn(action="unlike"), services, caller)


@router.put(
    "/{post_id:path}/reaction",
    status_code=status.HTTP_202_ACCEPTED,
    summary="React to a post",
    responses=_PROBLEMS,
)
async def react(
    post_id: Id, body: ReactionIn, services: Shared, caller: Writing
) -> EngagementAccepted:
    """React to a post, in place of any other reaction to it."""
    return await engage(post_id, EngagementIn(action="react", kind=body.kind), services, caller)


@router.delete(
    "/{post_id:path}/reaction",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Take a reaction back",
    responses=_PROBLEMS,
)
async def unreact(post_id: Id, services: Shared, caller: Writing) -> EngagementAccepted:
    """Take one's reaction back, whatever its kind."""
    return await engage(post_id, EngagementIn(action="unlike"), services, caller)


@router.post(
    "/{post_id:path}/share",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Share a post",
    responses=_PROBLEMS,
)
async def share(post_id: Id, services: Shared, caller: Writing) -> EngagementAccepted:
    """Share a public post with one's followers. Again, it stands anew on their timelines."""
    return await engage(post_id, EngagementIn(action="share"), services, caller)


@router.delete(
    "/{post_id:path}/share",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Share a post no longer",
    responses=_PROBLEMS,
)
async def unshare(post_id: Id, services: Shared, caller: Writing) -> EngagementAccepted:
    """Take one's share back: it leaves the timelines to which it brought the post."""
    return await engage(post_id, EngagementIn(action="unshare"), services, caller)


@router.post(
    "/{post_id:path}/comments",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Comment on a post",
    responses=_PROBLEMS,
)
async def comment(
    post_id: Id, body: CommentIn, services: Shared, caller: Writing
) -> EngagementAccepted:
    """Comment on a post that the caller may see."""
    return await engage(
        post_id, EngagementIn(action="comment", **body.model_dump()), services, caller
    )


@router.delete(
    "/{post_id:path}/comments/{comment_id:path}",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Delete a comment",
    responses=_problems("The token lacks the scope `write`, or both post and comment are others'."),
)
async def delete_comment(
    post_id: Id, comment_id: Id, services: Shared, caller: Writing
) -> EngagementAccepted:
    """Delete a comment by the caller, or on a post by the caller, for ever."""
    body = EngagementIn(action="comment_deleted", comment_id=comment_id)
    return await engage(post_id, body, services, caller)
