"""Posts: read, create, delete."""

from __future__ import annotations

from fastapi import APIRouter, status

from api.auth import Anyone, Writing
from api.bodies import PostIn
from api.errors import ProblemError, invalid, not_found
from api.ids import Id
from api.models import PostAccepted, PostOut, problems
from api.render import post_out
from api.state import Shared
from api.views import Needs
from api.write_route import WriteRoute
from schemas.events import Media, Post

router = APIRouter(prefix="/api/v1/posts", tags=["posts"], route_class=WriteRoute)


@router.get(
    "/{post_id:path}",
    summary="Read a post",
    responses=problems(
        _401="The token is not valid.",
        _403="The token lacks the scope `read`.",
        _404="There is no such post, or the caller may not see it.",
        _422="The id is not valid.",
        _503="The stores cannot be reached.",
    ),
)
async def read_post(post_id: Id, services: Shared, caller: Anyone) -> PostOut:
    """A post that the caller may see; without a token, a public one."""
    reader = services.reader(caller)
    post = await reader.visible_post(post_id, Needs(counters=[post_id], mine=[post_id]))
    if post is None:
        raise not_found("post")
    return post_out(reader, post)


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Create a post",
    responses=problems(
        _400="The body is not JSON.",
        _401="No valid token.",
        _403="The token lacks the scope `write`.",
        _413="The body is over 256 KiB.",
        _422="A field is not valid, names a post that the caller cannot see, or media from a host "
        "that is not allowed; or the text is taken for spam (`spam`).",
        _503="Kafka did not acknowledge in time.",
    ),
)
async def create_post(body: PostIn, services: Shared, caller: Writing) -> PostAccepted:
    """Publish a post by the caller. The views follow within a second or so."""
    services.content.check_post(body)
    reader = services.reader(caller)
    for field, named in (("reply_to", body.reply_to), ("quote_of", body.quote_of)):
        if named is not None and await reader.visible_post(named) is None:
            raise invalid(f"body.{field}", "there is no such post")
    at = services.clock()
    post_id, event_id = services.events.new_id(at), services.events.new_id(at)
    pictures = [Media(url=url) for url in body.media_urls]
    await services.events.publish(
        Post(
            event_id=event_id,
            action="created",
            post_id=post_id,
            at=at,
            author_id=caller.user_id,
            content=body.content,
            media=(*(Media(**media.model_dump()) for media in body.media), *pictures),
            visibility=body.visibility,
            audience=tuple(dict.fromkeys(body.audience)),
            reply_to=body.reply_to,
            quote_of=body.quote_of,
            language=body.language,
            location=body.location,
        )
    )
    return PostAccepted(event_id=event_id, post_id=post_id)


@router.delete(
    "/{post_id:path}",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Delete a post",
    responses=problems(
        _401="No valid token.",
        _403="The token lacks the scope `write`, or the post is by another user.",
        _404="There is no such post, or the caller may not see it.",
        _422="The id is not valid.",
        _503="Kafka did not acknowledge in time, or the stores cannot be reached.",
    ),
)
async def delete_post(post_id: Id, services: Shared, caller: Writing) -> PostAccepted:
    """Delete a post by the caller, for ever."""
    post = await services.reader(caller).visible_post(post_id)
    if post is None:
        raise not_found("post")
    if post.author_id != caller.user_id:
        raise ProblemError(403, "not-author", "Only its author may delete a post.")
    at = services.clock()
    event_id = services.events.new_id(at)
    await services.events.publish(
        Post(
            event_id=event_id,
            action="deleted",
            post_id=post_id,
            at=at,
            author_id=caller.user_id,
        )
    )
    return PostAccepted(event_id=event_id, post_id=post_id)
