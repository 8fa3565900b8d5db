"""The external events: what producers publish, as typed values.

All times (`at`) are milliseconds since 1970 UTC by the producer's clock. Ids are opaque
strings of 1 to 256 bytes.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

PostAction = Literal["created", "edited", "deleted"]
Visibility = Literal["public", "followers", "friends", "custom", "private"]
FollowAction = Literal["follow", "unfollow", "block", "unblock", "mute", "unmute"]
EngagementAction = Literal[
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
    "profile_view",
    "message",
]
UserAction = Literal["profile", "active", "deactivated", "reactivated", "deleted"]
FeedbackAction = Literal["not_interested", "interested"]
ModerationAction = Literal["hidden", "cleared"]


class Media(Struct, frozen=True, kw_only=True, gc=False):
    """A picture, video or link that a post shows; sizes in pixels."""

    url: str
    kind: str = "image"
    width: int | None = None
    height: int | None = None
    alt: str | None = None


class Post(Struct, frozen=True, kw_only=True, gc=False):
    """A post was created, edited or deleted."""

    event_id: str
    action: PostAction
    post_id: str
    at: int
    author_id: str | None = None
    content: str = ""
    media: tuple[Media, ...] = ()
    visibility: Visibility = "public"
    audience: tuple[str, ...] = ()
    reply_to: str | None = None
    quote_of: str | None = None
    language: str | None = None
    location: str | None = None


class Follow(Struct, frozen=True, kw_only=True, gc=False):
    """A user's relation to a source changed; `target` is `u:<user id>` or `t:<topic>`. One of
    `follow` says whether the user wants to be told of new posts by the other (`is_favourite`)."""

    event_id: str
    action: FollowAction
    user_id: str
    target: str
    at: int
    is_favourite: bool = False


class Surface(Struct, frozen=True, kw_only=True, gc=False):
    """Where an engagement happened: which feed, which position, which experiment."""

    feed: str
    position: int | None = None
    experiment: str | None = None


class Engagement(Struct, frozen=True, kw_only=True, gc=False):
    """A user did something with a post, or with another user (`target`)."""

    event_id: str
    action: EngagementAction
    user_id: str
    at: int
    post_id: str | None = None
    target: str | None = None
    kind: str | None = None
    comment_id: str | None = None
    text: str | None = None
    parent: str | None = None
    share_id: str | None = None
    dwell_ms: int | None = None
    surface: Surface | None = None


class User(Struct, frozen=True, kw_only=True, gc=False):
    """A user's profile or standing changed; a profile event carries the whole profile, or what of
    it `changes` (names of `schemas.changes.CHANGEABLE`), and one of `active` may say up to when
    (`seen_to`, ms) the notifications have been seen."""

    event_id: str
    action: UserAction
    user_id: str
    at: int
    username: str | None = None
    display_name: str | None = None
    bio: str | None = None
    avatar: str | None = None
    verified: bool = False
    preferences: dict[str, str] = {}
    device_tokens: tuple[str, ...] = ()
    seen_to: int | None = None
    changes: tuple[str, ...] | None = None


class Feedback(Struct, frozen=True, kw_only=True, gc=False):
    """A user says whether a subject is of interest: `u:<user id>`, `t:<topic>`, `l:<language>` or
    `m:<kind of media>`."""

    event_id: str
    action: FeedbackAction
    user_id: str
    subject: str
    at: int


class Moderation(Struct, frozen=True, kw_only=True, gc=False):
    """A moderator has judged a post: it is hidden, or cleared of the reports so far."""

    event_id: str
    action: ModerationAction
    post_id: str
    moderator_id: str
    at: int


Event = Post | Follow | Engagement | User | Moderation | Feedback
EVENT_TYPES: tuple[type[Event], ...] = (
    Post,
    Follow,
    Engagement,
    User,
    Moderation,
    Feedback,
)
