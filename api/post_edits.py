"""PATCH /api/v1/posts/{post_id}: edit a post."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, status
from pydantic import ConfigDict, Field

from api.auth import Writing
from api.bodies import (
    MAX_AUDIENCE,
    MAX_MEDIA,
    Body,
    Language,
    Location,
    MediaIn,
    Text,
    Url,
)
from api.errors import ProblemError, invalid, not_found
from api.ids import Id
from api.models import PostAccepted, problems
from api.state import Shared
from api.write_route import WriteRoute
from schemas.events import Media, Post, Visibility
from schemas.views import PostView

router = APIRouter(prefix="/api/v1/posts", tags=["posts"], route_class=WriteRoute)


class PostPatch(Body):
    """What changes of a post; what is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"content": "Hello world! #again"}]})

    content: Text = Field(default_factory=str, description="At most 64 KiB of UTF-8.")
    media: list[MediaIn] = Field(
        default_factory=list,
        max_length=MAX_MEDIA,
        description="In place of all media, also of those in `media_urls`.",
    )
    media_urls: list[Url] = Field(
        default_factory=list,
        max_length=MAX_MEDIA,
        description="Pictures without more about them, behind those in `media`.",
    )
    visibility: Visibility = Field(
        default_factory=lambda: "public", description="One other than `custom` ends the audience."
    )
    audience: list[Id] = Field(
        default_factory=list,
        max_length=MAX_AUDIENCE,
        description="User ids; with the visibility `custom` only.",
    )
    language: Annotated[Language | None, Field(description="None with null.")] = None
    location: Annotated[Location | None, Field(description="None with null.")] = None


@router.patch(
    "/{post_id:path}",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Edit a post",
    responses=problems(
        _400="The body is not JSON.",
        _401="No valid token.",
        _403="The token lacks the scope `write`, or the post is by another user.",
        _404="There is no such post, or the caller may not see it.",
        _413="The body is over 256 KiB.",
        _422="A field is not valid, nothing would be left of the post, or media are from a host "
        "that is not allowed; or the text is taken for spam (`spam`).",
        _503="Kafka did not acknowledge in time, or the stores cannot be reached.",
    ),
)
async def edit_post(
    post_id: Id, body: PostPatch, services: Shared, caller: Writing
) -> PostAccepted:
    """Change a post by the caller: its content, media, who may see it, language or location. What
    it answers and quotes stays. The newest edit counts; of two within a second, the later one may
    not know of the earlier, and undo it."""
    post = await services.reader(caller).visible_post(post_id)
    if post is None:
        raise not_found("post")
    if post.author_id != caller.user_id:
        raise ProblemError(403, "not-author", "Only its author may edit a post.")
    if not body.model_fields_set:
        raise invalid("body", "nothing to change")
    services.content.check_post(body)
    at = services.clock()
    event_id = services.events.new_id(at)
    await services.events.publish(
        Post(
            event_id=event_id,
            action="edited",
            post_id=post_id,
            at=at,
            author_id=caller.user_id,
            reply_to=post.reply_to,
            quote_of=post.quote_of,
            **_edited(post, body),
        )
    )
    return PostAccepted(event_id=event_id, post_id=post_id)


def _edited(post: PostView, body: PostPatch) -> dict[str, Any]:
    """What the post says after the change.

    Raises:
        ProblemError: 422, when it would say nothing, or be for nobody.
    """
    given = body.model_fields_set
    media = post.media
    if given & {"media", "media_urls"}:
        pictures = (Media(url=url) for url in body.media_urls)
        media = (*(Media(**each.model_dump()) for each in body.media), *pictures)
    content = body.content if "content" in given else post.content
    visibility = body.visibility if "visibility" in given else post.visibility
    audience = tuple(dict.fromkeys(body.audience)) if "audience" in given else post.audience
    if "audience" not in given and visibility != "custom":
        audience = ()
    if not (content or media or post.quote_of):
        raise invalid("body", "a post has content, media or a quote")
    if len(media) > MAX_MEDIA:
        raise invalid("body", f"at most {MAX_MEDIA} media")
    if bool(audience) != (visibility == "custom"):
        raise invalid("body", "the visibility custom has an audience, and no other has one")
    return {
        "content": content,
        "media": media,
        "visibility": visibility,
        "audience": audience,
        "language": body.language if "language" in given else post.language,
        "location": body.location if "location" in given else post.location,
    }
