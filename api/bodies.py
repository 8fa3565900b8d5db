"""The bodies that the API takes, as its OpenAPI page shows them."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from api.ids import Id
from schemas.events import FeedbackAction, ModerationAction, Visibility

MAX_TEXT_BYTES = 64 * 1024
MAX_MEDIA = 64
MAX_AUDIENCE = 10_000
MAX_PIXELS = 1_000_000

_WEB_ADDRESS = re.compile(
    r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?#][^\x00-\x20\x7f-\U0010ffff\\]*)?"
)
"""Read alike by all: no user before the host, no backslash that browsers take for a slash."""

TIME = "2026-01-01T12:00:00.000Z"


def _fits(value: str) -> str:
    if len(value.encode()) > MAX_TEXT_BYTES:
        raise ValueError("at most 64 KiB of UTF-8")
    return value


def _is_text(value: object) -> object:
    """Pydantic takes numbers for times, too."""
    if not isinstance(value, str):
        raise ValueError("a time as RFC 3339 has it")
    return value


def _is_web_address(value: str) -> str:
    if _WEB_ADDRESS.fullmatch(value) is None:
        raise ValueError("an https address in ASCII, without a user in it")
    return value


Text = Annotated[str, AfterValidator(_fits)]
Url = Annotated[
    str,
    Field(max_length=2048, examples=["https://cdn.example.com/image.jpg"]),
    AfterValidator(_is_web_address),
]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", examples=["en"])]
Location = Annotated[str, Field(max_length=200)]
Kind = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,32}$", examples=["love"])]
Pixels = Annotated[int, Field(ge=1, le=MAX_PIXELS)]


class Body(BaseModel):
    """A request's body: fields that are not known are refused."""

    model_config = ConfigDict(extra="forbid")


class MediaIn(Body):
    """A picture, video or link of a new post; sizes in pixels."""

    url: Url
    kind: Literal["image", "video", "audio", "link"] = "image"
    width: Pixels | None = None
    height: Pixels | None = None
    alt: Annotated[str, Field(max_length=2000)] | None = None


class PostIn(Body):
    """A new post: content, media or a quote."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "content": "Hello world! #first",
                    "media": [{"url": "https://cdn.example.com/image.jpg", "alt": "A cat"}],
                    "visibility": "public",
                }
            ]
        }
    )

    content: Text = Field("", description="At most 64 KiB of UTF-8.")
    media: list[MediaIn] = Field([], max_length=MAX_MEDIA)
    media_urls: list[Url] = Field(
        [], max_length=MAX_MEDIA, description="Pictures without more about them; or use `media`."
    )
    visibility: Visibility = Field("public", description="Judged by the relations of the reader.")
    audience: list[Id] = Field(
        [], max_length=MAX_AUDIENCE, description="User ids; with the visibility `custom` only."
    )
    reply_to: Id | None = Field(None, description="The post that this one answers.")
    quote_of: Id | None = Field(None, description="The post that this one quotes.")
    language: Language | None = None
    location: Location | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not (self.content or self.media or self.media_urls or self.quote_of):
            raise ValueError("a post has content, media or a quote")
        if len(self.media) + len(self.media_urls) > MAX_MEDIA:
            raise ValueError(f"at most {MAX_MEDIA} media")
        if bool(self.audience) != (self.visibility == "custom"):
            raise ValueError("the visibility custom has an audience, and no other has one")
        return self


class SurfaceIn(Body):
    """Where an engagement happened."""

    feed: Annotated[str, Field(min_length=1, max_length=64, examples=["latest"])]
    position: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    experiment: Annotated[str, Field(max_length=64)] | None = None


PostEngagement = Literal[
    "like",
    "unlike",
    "react",
    "comment",
    "comment_deleted",
    "share",
    "unshare",
    "view",
    "click",
    "hide",
    "report",
]


REACTIONS = ("like", "react", "unlike")


class EngagementIn(Body):
    """Something that a user does with a post."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"action": "like"}, {"action": "comment", "text": "Well said."}]
        }
    )

    action: PostEngagement
    kind: Kind | None = Field(
        None, description="For `react`: the kind of reaction. For `report`: the reason."
    )
    comment_id: Id | None = Field(
        None,
        description="For `comment`: made when left out. For `comment_deleted`: needed. For `like`, "
        "`react` and `unlike`: the comment that is liked, not the post.",
    )
    text: Text | None = Field(None, description="For `comment`.")
    parent: Id | None = Field(None, description="For `comment`: the comment that it answers.")
    share_id: Id | None = Field(None, description="For `share`.")
    dwell_ms: Annotated[int, Field(ge=0, le=86_400_000)] | None = None
    surface: SurfaceIn | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        needed = {"react": "kind", "comment": "text", "comment_deleted": "comment_id"}
        field = needed.get(self.action)
        if field is not None and not getattr(self, field):
            raise ValueError(f"{self.action} needs {field}")
        allowed = {
            "kind": ("react", "report"),
            "comment_id": ("comment", "comment_deleted", *REACTIONS),
            "text": ("comment",),
            "parent": ("comment",),
            "share_id": ("share",),
        }
        for name, actions in allowed.items():
            if getattr(self, name) is not None and self.action not in actions:
                raise ValueError(f"{self.action} has no {name}")
        return self


class FeedbackIn(Body):
    """Whether a subject, or a post, is of interest."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"action": "not_interested", "subject": "t:football"}]}
    )

    action: FeedbackAction
    subject: Annotated[Id, Field(pattern=r"^[utlm]:.")] | None = Field(
        None, description="`u:<user id>`, `t:<topic>`, `l:<language>` or `m:<kind of media>`."
    )
    post_id: Id | None = Field(None, description="Instead; only what is not of interest.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.subject is None) == (self.post_id is None):
            raise ValueError("either a subject or a post")
        if self.post_id is not None and self.action == "interested":
            raise ValueError("a post can only be of no interest; like it otherwise")
        return self


class FollowIn(Body):
    """How a user is followed."""

    is_favourite: bool = Field(
        False, description="Whether the caller wants to be told of new posts by this user."
    )


class SeenIn(Body):
    """Up to when notifications have been read."""

    seen_to: Annotated[AwareDatetime, BeforeValidator(_is_text)] | None = Field(
        None, description="Now, if left out.", examples=[TIME]
    )

    @property
    def seen_to_ms(self) -> int:
        """In ms since 1970."""
        return 0 if self.seen_to is None else int(self.seen_to.timestamp() * 1000)


class VerdictIn(Body):
    """A moderator's verdict on a post."""

    verdict: ModerationAction = Field(
        description="`hidden`: for its author alone; `cleared`: as if nobody had reported it yet."
    )
