"""The bodies that the API takes and gives, as its OpenAPI page shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from api.ids import Id
from api.stores import Degraded
from schemas.events import ModerationAction, Visibility

MAX_TEXT_BYTES = 64 * 1024
MAX_MEDIA = 64
MAX_AUDIENCE = 10_000
MAX_PIXELS = 1_000_000

POST_ID = "01JZ8B0V3QKX4M5T7N9R2C6DHE"
TIME = "2026-01-01T12:00:00.000Z"


def _fits(value: str) -> str:
    if len(value.encode()) > MAX_TEXT_BYTES:
        raise ValueError("at most 64 KiB of UTF-8")
    return value


def _is_web_address(value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise ValueError("an http or https address")
    return value


Text = Annotated[str, AfterValidator(_fits)]
Url = Annotated[
    str,
    Field(max_length=2048, examples=["https://cdn.example.com/image.jpg"]),
    AfterValidator(_is_web_address),
]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=[TIME])]
Pixels = Annotated[int, Field(ge=1, le=MAX_PIXELS)]
Count = Annotated[int, Field(ge=0, examples=[150])]


class Problem(BaseModel):
    """Why a request failed (RFC 9457)."""

    type: str = Field(description="A stable name.", examples=["urn:headrace:problem:not-found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no such post."])
    errors: list[FieldError] | None = Field(None, description="The fields that are not valid.")


class FieldError(BaseModel):
    """What is wrong with a field of the request."""

    field: str = Field(examples=["body.content"])
    detail: str = Field(examples=["at most 64 KiB of UTF-8"])


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
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] | None = None
    location: Annotated[str, Field(max_length=200)] | None = None

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
    kind: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,32}$", examples=["love"])] | None = Field(
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


class Accepted(BaseModel):
    """The event is on disk in Kafka; the views follow."""

    event_id: str = Field(examples=[POST_ID])


class PostAccepted(Accepted):
    """The post's event is on disk in Kafka; the views follow."""

    post_id: str = Field(examples=[POST_ID])


class EngagementAccepted(PostAccepted):
    """The engagement's event is on disk in Kafka; the views follow."""

    comment_id: str | None = Field(None, description="For `comment`: the comment's id.")


class VerdictIn(Body):
    """A moderator's verdict on a post."""

    verdict: ModerationAction = Field(
        description="`hidden`: for its author alone; `cleared`: as if nobody had reported it yet."
    )


class MediaOut(BaseModel):
    """A picture, video or link; sizes in pixels."""

    url: str = Field(examples=["https://cdn.example.com/image.jpg"])
    kind: str = Field("image", examples=["image"])
    width: int | None = None
    height: int | None = None
    alt: str | None = None


class Author(BaseModel):
    """Who wrote a post."""

    user_id: str = Field(examples=["user_789"])
    username: str | None = Field(None, examples=["john_doe"])
    display_name: str | None = Field(None, examples=["John Doe"])
    avatar: str | None = Field(None, examples=["https://cdn.example.com/avatar.jpg"])
    is_verified: bool = False


class Counts(BaseModel):
    """A post's counts; `reactions` by kind."""

    reactions: dict[str, int] = Field(examples=[{"like": 150, "love": 3}])
    comments: Count
    shares: Count
    views: Count = Field(description="Distinct users.")


class PostOut(BaseModel):
    """A post as its reader sees it."""

    post_id: str = Field(examples=[POST_ID])
    user: Author
    content: str = Field(examples=["Hello world! #first"])
    media: list[MediaOut]
    media_urls: list[str] = Field(description="The addresses in `media`.")
    created_at: Time
    edited_at: Time | None = None
    visibility: Visibility
    reply_to: str | None = None
    quote_of: str | None = None
    language: str | None = None
    hashtags: list[str] = Field(examples=[["first"]])
    mentions: list[str]
    like_count: Count
    comment_count: Count
    share_count: Count
    view_count: Count
    counts: Counts
    is_liked: bool = Field(description="Whether the caller likes it.")
    my_reaction: str | None = Field(
        description="The kind of the caller's reaction, `like` among them.", examples=["love"]
    )
    is_shared: bool = Field(description="Whether the caller shared it.")
    is_hidden: bool = Field(
        description="Whether reports or a moderator hide it from all but its author."
    )


class ReportedPost(BaseModel):
    """A post that awaits a moderator."""

    post: PostOut
    reports: Count = Field(description="Users who reported it, at whatever time.")


class ReportedPosts(BaseModel):
    """Posts that await a moderator, oldest first."""

    posts: list[ReportedPost]


class CommentOut(BaseModel):
    """A comment on a post."""

    comment_id: str = Field(examples=[POST_ID])
    user: Author
    text: str = Field(examples=["Well said."])
    parent: str | None = Field(description="The comment that it answers.")
    created_at: Time
    like_count: Count
    reply_count: Count = Field(description="The comments that answer it.")


class CommentPage(BaseModel):
    """A page of a post's comments, newest first."""

    comments: list[CommentOut]
    next_cursor: str | None = Field(description="For the next page; null at the end.")
    has_more: bool


class FeedPost(PostOut):
    """A post on a timeline."""

    reasons: list[str] = Field(
        description="What brought it: `u:<author>`, `t:<topic>`, or `s:<user>` who shared it.",
        examples=[["s:user_12", "u:user_789"]],
    )
    entry_at: Time = Field(description="The time of its newest entry: where it stands.")


class FeedPage(BaseModel):
    """A page of a timeline, newest first."""

    posts: list[FeedPost]
    next_cursor: str | None = Field(description="For the next page; null at the end.")
    has_more: bool
    degraded: list[Degraded] = Field(
        description="The stores that were needed and could not be reached: posts may be missing."
    )
    is_opening: bool = Field(
        default=False,
        description="Whether the timeline is being opened, after 30 days or more without a read: "
        "until it is, it has the posts of users who are followed, and may lack shares and topics.",
    )


class Profile(BaseModel):
    """A user."""

    user_id: str = Field(examples=["user_789"])
    username: str | None = Field(examples=["john_doe"])
    display_name: str | None = Field(examples=["John Doe"])
    bio: str | None
    avatar: str | None = Field(examples=["https://cdn.example.com/avatar.jpg"])
    is_verified: bool
    followers: Count
    following: Count
    is_following: bool = Field(description="Whether the caller follows the user.")


class Person(Author):
    """A user in a list."""

    is_following: bool = Field(description="Whether the caller follows the user.")


class People(BaseModel):
    """A page of users, in the order of their ids."""

    users: list[Person]
    next_cursor: str | None = Field(description="For the next page; null at the end.")
    has_more: bool


class Health(BaseModel):
    """Whether the process runs."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether the API can serve, and what it can reach."""

    status: Literal["ready", "degraded", "unavailable"]
    checks: dict[str, str] = Field(
        examples=[{"redis": "ok", "cassandra": "ok", "kafka": "TimeoutError"}]
    )


Responses = dict[int | str, dict[str, Any]]


def problems(**why: str) -> Responses:
    """The problems of a route for its documentation: `_404="..."`."""
    return {
        int(status[1:]): {"model": Problem, "description": text} for status, text in why.items()
    }
