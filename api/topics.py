"""Topics: what hashtags name, following and muting them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, status
from pydantic import AfterValidator, BaseModel, Field

from api.auth import Anyone, Writing
from api.ids import Id, is_id
from api.models import Accepted, Count, problems
from api.state import Shared
from api.users import relate
from api.views import Needs
from api.write_route import WriteRoute

TOPIC = "t:"

router = APIRouter(prefix="/api/v1/topics", tags=["topics"], route_class=WriteRoute)


def _common(value: str) -> str:
    """A topic as hashtags are folded."""
    topic = value.removeprefix("#").casefold()
    if not topic or not is_id(f"{TOPIC}{topic}"):
        raise ValueError("a topic has 1 to 254 bytes")
    return topic


TopicName = Annotated[Id, AfterValidator(_common)]
Topic = Annotated[
    TopicName,
    Path(description="A hashtag, with the # before it or without; case does not matter."),
]


class TopicOut(BaseModel):
    """A topic."""

    topic: str = Field(description="In its common form.", examples=["rust"])
    followers: Count
    posts: Count = Field(description="Public posts about it.")
    is_following: bool = Field(description="Whether the caller follows it.")
    is_muted: bool = Field(description="Whether the caller mutes it, as far as is known now.")


_PROBLEMS = problems(
    _401="No valid token.",
    _403="The token lacks the scope `write`.",
    _422="The topic is not valid.",
    _503="Kafka did not acknowledge in time.",
)


@router.get(
    "/{topic:path}",
    summary="Read a topic",
    responses=problems(
        _401="The token is not valid.",
        _403="The token lacks the scope `read`.",
        _422="The topic is not valid.",
        _503="The stores cannot be reached.",
    ),
)
async def read_topic(topic: Topic, services: Shared, caller: Anyone) -> TopicOut:
    """How many follow a topic, and how many posts are about it; any word is a topic."""
    reader, source = services.reader(caller), f"{TOPIC}{topic}"
    follows = [(reader.viewer, source)] if reader.viewer else []
    await reader.load(Needs(sources=[source], follows=follows, blocks=[source]))
    reader.certain("sources", source)
    found = reader.known.sources.get(source)
    return TopicOut(
        topic=topic,
        followers=found.followers if found else 0,
        posts=found.posts if found else 0,
        is_following=reader.follows(reader.viewer or "", source),
        is_muted=reader.is_muted(source),
    )


@router.post(
    "/{topic:path}/follow",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Follow a topic",
    responses=_PROBLEMS,
)
async def follow_topic(topic: Topic, services: Shared, caller: Writing) -> Accepted:
    """Public posts about it come onto the caller's timeline."""
    return await relate(services, caller, "follow", f"{TOPIC}{topic}")


@router.delete(
    "/{topic:path}/follow",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Unfollow a topic",
    responses=_PROBLEMS,
)
async def unfollow_topic(topic: Topic, services: Shared, caller: Writing) -> Accepted:
    """What only the topic brought leaves the caller's timeline."""
    return await relate(services, caller, "unfollow", f"{TOPIC}{topic}")


@router.post(
    "/{topic:path}/mute",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Mute a topic",
    responses=_PROBLEMS,
)
async def mute_topic(topic: Topic, services: Shared, caller: Writing) -> Accepted:
    """What only the topic brings is left out of the caller's timeline, and the topic of what is
    trending."""
    return await relate(services, caller, "mute", f"{TOPIC}{topic}")


@router.delete(
    "/{topic:path}/mute",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Mute a topic no longer",
    responses=_PROBLEMS,
)
async def unmute_topic(topic: Topic, services: Shared, caller: Writing) -> Accepted:
    """What was left out is there again."""
    return await relate(services, caller, "unmute", f"{TOPIC}{topic}")
