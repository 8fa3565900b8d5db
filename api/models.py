"""What the API gives, as its OpenAPI page shows it; what it takes is in `api.bodies`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.bodies import TIME
from api.feed_models import Explanation, FeedDegraded
from api.stores import Degraded
from schemas.events import Visibility
from schemas.views import NoticeKind

POST_ID = "01JZ8B0V3QKX4M5T7N9R2C6DHE"

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=[TIME])]
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
    reason: str | None = Field(
        None,
        description="Of spam: `keyword`, `capitals`, `links`, `run` or `repetition`.",
        examples=["keyword"],
    )


class Awaited(BaseModel):
    """The answer to a write, whose view may be waited for."""

    is_visible: bool | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="With `?wait=view` only: whether the views show the write. Null when there is "
        "no view in which the caller could see it, and for a repeated write.",
    )


class Accepted(Awaited):
    """The event is on disk in Kafka; the views follow."""

    event_id: str = Field(examples=[POST_ID])


class PostAccepted(Accepted):
    """The post's event is on disk in Kafka; the views follow."""

    post_id: str = Field(examples=[POST_ID])


class EngagementAccepted(PostAccepted):
    """The engagement's event is on disk in Kafka; the views follow."""

    comment_id: str | None = Field(None, description="For `comment`: the comment's id.")


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


class Posts(BaseModel):
    """Posts in the order in which they were asked for."""

    posts: list[PostOut]
    degraded: list[Degraded] = Field(
        description="The stores that were needed and could not be reached: posts may be missing."
    )


class PostPage(Posts):
    """A page of posts, newest first."""

    next_cursor: str | None = Field(description="For the next page; null at the end.")
    has_more: bool


class LikedPost(PostOut):
    """A post to which the caller reacted."""

    reacted_at: Time


class LikedPage(BaseModel):
    """A page of posts to which the caller reacted, the newest reaction first."""

    posts: list[LikedPost]
    next_cursor: str | None = Field(description="For the next page; null at the end.")
    has_more: bool
    degraded: list[Degraded] = Field(
        description="The stores that were needed and could not be reached: posts may be missing."
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
    parent: str | None = Field(
        description="The comment that it answers, which need not be there, or not be shown."
    )
    created_at: Time
    like_count: Count
    reply_count: Count = Field(description="The comments that answer it.")


class CommentPage(BaseModel):
    """A page of a post's comments."""

    comments: list[CommentOut]
    next_cursor: str | None = Field(description="For the next page; null at the end.")
    has_more: bool


class FeedPost(PostOut):
    """A post on a timeline."""

    reasons: list[str] = Field(
        description="What brought it: `u:<author>`, `t:<topic>`, or `s:<user>` who shared it; in "
        "a ranked feed also `viral`, or `popular` while the timeline cannot be read.",
        examples=[["s:user_12", "u:user_789"]],
    )
    entry_at: Time = Field(description="The time of its newest entry: where it stands.")
    explanation: Explanation | None = Field(None, description="With `explain=true`.")


class FeedPage(BaseModel):
    """A page of a timeline, newest first; with `since`, oldest first; or ranked."""

    posts: list[FeedPost]
    next_cursor: str | None = Field(
        description="For the next page; null at the end, and with `since`."
    )
    has_more: bool = Field(
        description="Whether there may be more: at `next_cursor`, or with `since` at "
        "`newer_cursor`."
    )
    newer_cursor: str | None = Field(
        None, description="For `since`: what is newer than this page; null of a ranked feed."
    )
    degraded: list[FeedDegraded] = Field(
        description="The stores that were needed and could not be reached: posts may be missing. "
        "While `redis` is among them, and when the `ranker` has failed, the newest are first."
    )
    is_opening: bool = Field(
        default=False,
        description="Whether the timeline is being opened, after 30 days or more without a read: "
        "until it is, it has the posts of users who are followed, and may lack shares and topics.",
    )


class Interest(BaseModel):
    """A subject with its score."""

    subject: str = Field(examples=["t:rust"])
    score: float = Field(description="As of now; fades day by day.", examples=[7.4])


class InterestsOut(BaseModel):
    """What a user likes, and wants to see less of, strongest first."""

    likes: list[Interest]
    aversions: list[Interest]
    degraded: list[Degraded]


class NotificationOut(BaseModel):
    """What some did that concerns the caller: "a and 3 others liked your post"."""

    kind: NoticeKind
    post_id: str | None = Field(
        description="The caller's post, or the one that mentions the caller, or with the comment "
        "that was answered; of a favourite the newest that the caller may see; null for a follow."
    )
    actors: list[Author] = Field(
        description="Up to three who did it, newest first; none if it was done by many, and those "
        "who did it last may not be seen."
    )
    count: Count = Field(description="How often it was done.")
    at: Time = Field(description="When it was done last; without actors, when the post was made.")
    is_unread: bool


class NotificationsOut(BaseModel):
    """Notifications, newest first."""

    notifications: list[NotificationOut]
    unread_count: Count = Field(description="Of the newest 100.")
    degraded: list[Degraded] = Field(
        description="The stores that were needed and could not be reached: some may be missing."
    )


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
