"""What the stages tell the sinks: absolute values per key, and operations on timelines.

A record of a view topic holds the whole value as it is now, never a difference. Records are
msgpack arrays; a field is only ever added at the end, with a default. Times are milliseconds
since 1970 UTC.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from schemas.events import Media, Visibility
from schemas.topics import Topic

CLOSENESS_PER_DAY = 0.9
"""What is left after a day of how close a user is to another (003, "Affinity Scoring System"), and
of how much a user likes a subject."""
AVERSION_PER_DAY = 0.72
"""What is left after a day of an aversion; after 14 days it is 1 %."""

DELETED = "deleted"
"""The status of a user who is erased."""

HiddenBy = Literal["reports", "moderator"]


class PostView(Struct, frozen=True, array_like=True, gc=False):
    """A post (`view.posts`, key: post id). A deleted post says so and carries no content.

    `former_places` are (author id, at) under which it may have been shown, and is not now. One that
    is hidden is for its author alone.
    """

    post_id: str
    author_id: str
    at: int
    content: str = ""
    media: tuple[Media, ...] = ()
    visibility: Visibility = "public"
    audience: tuple[str, ...] = ()
    reply_to: str | None = None
    quote_of: str | None = None
    language: str | None = None
    location: str | None = None
    hashtags: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    edited_at: int | None = None
    is_deleted: bool = False
    former_places: tuple[tuple[str, int], ...] = ()
    hidden_by: HiddenBy | None = None


class CountersView(Struct, frozen=True, array_like=True, gc=False):
    """A post's counts (`view.counters`, key: post id); `reactions` by kind, a like is `like`.

    Views, clicks, hides and reports count distinct users.
    """

    post_id: str
    reactions: dict[str, int] = {}
    comments: int = 0
    shares: int = 0
    views: int = 0
    clicks: int = 0
    hides: int = 0
    reports: int = 0


class CommentView(Struct, frozen=True, array_like=True, gc=False):
    """A comment (`view.comments`, key: post id NUL comment id; partition of the post).

    `former_times` are those under which it may stand, and does not now.
    """

    post_id: str
    comment_id: str
    user_id: str
    at: int
    text: str = ""
    parent: str | None = None
    is_deleted: bool = False
    former_times: tuple[int, ...] = ()


class CommentCountsView(Struct, frozen=True, array_like=True, gc=False):
    """A comment's counts (`view.comment-counts`, key and partition as of `CommentView`): `likes`
    counts users, `replies` comments."""

    post_id: str
    comment_id: str
    likes: int = 0
    replies: int = 0
    is_deleted: bool = False


class MineView(Struct, frozen=True, array_like=True, gc=False):
    """What a user did with a post (`view.mine`, key: user id NUL post id; partition of the user).

    `reaction` is its kind or None; `reacted_at` and `shared_at` when, 0 for never; `hidden_at` when
    it was hidden, None for never, 0 when that is taken away. `is_again`: there were other
    reactions, of which one may be listed under another time.
    """

    user_id: str
    post_id: str
    reaction: str | None = None
    reacted_at: int = 0
    is_shared: bool = False
    shared_at: int = 0
    hidden_at: int | None = None
    is_again: bool = False


class UserView(Struct, frozen=True, array_like=True, gc=False):
    """A profile with the number of sources followed (`view.users`, key: user id); `username` is one
    that is nobody else's. Nothing is pushed to the timeline of who is dormant; `silenced` are the
    kinds of notifications that the user turned off."""

    user_id: str
    username: str | None = None
    display_name: str | None = None
    bio: str | None = None
    avatar: str | None = None
    is_verified: bool = False
    following: int = 0
    status: str = "active"
    is_dormant: bool = False
    silenced: tuple[str, ...] = ()


class DevicesView(Struct, frozen=True, array_like=True, gc=False):
    """The devices that a user is reached at (`view.devices`, key: user id), as the profile names
    them: whoever has a token can reach the user, so the API shows none."""

    user_id: str
    tokens: tuple[str, ...] = ()


class NameView(Struct, frozen=True, array_like=True, gc=False):
    """Whose a user name is (`view.names`, key: the name in its common form; partition of `@` and
    it); empty for nobody's."""

    name: str
    user_id: str


class RelationView(Struct, frozen=True, array_like=True, gc=False):
    """A user's relation to a source (`view.relations`, key: user id NUL target; partition of
    the user); `followed_at` is the time of the follow in force, and `is_favourite` says whether the
    user is told of new posts; `is_muting` is None when there was never a mute, and `has_blocked`
    False when the user has never blocked the source."""

    user_id: str
    target: str
    is_following: bool
    followed_at: int = 0
    is_blocking: bool = False
    is_blocked: bool = False
    is_muting: bool | None = None
    is_favourite: bool = False
    has_blocked: bool = True


class AffinityView(Struct, frozen=True, array_like=True, gc=False):
    """How close a user is to another (`view.affinity`, key: user id NUL target id; partition of
    the user): `score` as it was at the time `at`; it decays by 0.9 a day from there. `aversion`, as
    it was at `averse_at`, decays by 0.72; None when there never was one."""

    user_id: str
    target_id: str
    score: float
    at: int
    aversion: float = 0.0
    averse_at: int | None = None


class InterestView(Struct, frozen=True, array_like=True, gc=False):
    """How much a user likes to see a topic (`t:`), language (`l:`) or kind of media (`m:`)
    (`view.interests`, key: user id NUL subject; partition of the user): as `AffinityView`."""

    user_id: str
    subject: str
    score: float
    at: int
    aversion: float = 0.0
    averse_at: int | None = None


NoticeKind = Literal[
    "follow", "like", "comment", "share", "reply", "mention", "favourite_post", "comment_reply"
]


class NotificationView(Struct, frozen=True, array_like=True, tag="group", gc=False):
    """What others did that concerns a user, `count` times (`view.notifications`, key: user id NUL
    kind NUL subject; partition of the user): to one post, the subject, or to none; of
    `favourite_post` the subject is the author. `named` are (time in ms, user id, comment or post
    id, or the name in a mention) of the newest, newest first."""

    user_id: str
    kind: NoticeKind
    subject: str
    count: int
    named: tuple[tuple[int, str, str], ...] = ()

    @property
    def key(self) -> str:
        """Its key among the user's: kind NUL subject."""
        return f"{self.kind}\0{self.subject}"

    @property
    def at(self) -> int:
        """The time of the newest that is known, in ms."""
        return self.named[0][0] if self.named else 0


class NotificationsSeen(Struct, frozen=True, array_like=True, tag="seen", gc=False):
    """Up to when a user has seen the notifications (`view.notifications`, key: user id)."""

    user_id: str
    at: int


Notification = NotificationView | NotificationsSeen
"""A record of `view.notifications`."""


class SourceView(Struct, frozen=True, array_like=True, gc=False):
    """A source's audience, and its public posts: by a user, or about a topic (`view.sources`, key:
    source)."""

    source: str
    followers: int
    posts: int = 0


class HeavySource(Struct, frozen=True, array_like=True, tag="heavy", gc=False):
    """Whether a source is heavy (`view.recents`, key: source)."""

    source: str
    is_heavy: bool


class RecentActivity(Struct, frozen=True, array_like=True, tag="recent", gc=False):
    """Whether a heavy source holds an activity among its newest (`view.recents`, key: source NUL
    post id NUL reason; partition of the source). It is news when the activity was just spread, or
    removed; none when only how it is read has changed. Who may see it is for who is told that it
    was removed."""

    source: str
    post_id: str
    reason: str
    at: int
    is_held: bool
    is_news: bool = False
    visibility: Visibility = "public"


Recent = HeavySource | RecentActivity
"""A record of `view.recents`."""


class ModerationView(Struct, frozen=True, array_like=True, gc=False):
    """Whether a post that reports hide awaits a moderator (`view.moderation`, key: post id); `at`
    is when it was made."""

    post_id: str
    at: int
    is_awaiting: bool


TrendingKind = Literal["posts", "topics"]
TrendingWindow = Literal["1h", "24h"]


class TrendingEntry(Struct, frozen=True, array_like=True, gc=False):
    """A post, or a topic as a source, that is on the rise: by how many standard deviations, and
    the distinct users who act upon it in the window, and in the last hour."""

    key: str
    score: float
    users: int
    velocity: int
    is_viral: bool = False


class TrendingView(Struct, frozen=True, array_like=True, gc=False):
    """What of one partition is on the rise as of a time, the first 50 by score (`view.trending`,
    key: kind/window/language; partition of what it lists). The language `""` stands for all."""

    kind: TrendingKind
    window: TrendingWindow
    language: str
    partition: int
    at: int
    entries: tuple[TrendingEntry, ...] = ()


class PushEntry(Struct, frozen=True, array_like=True, tag="push", gc=False):
    """One entry onto the timelines of `owners`."""

    post_id: str
    reason: str
    at: int
    owners: list[str]


class RemoveEntry(Struct, frozen=True, array_like=True, tag="remove", gc=False):
    """One entry off the timelines of `owners`, who were meant by its visibility."""

    post_id: str
    reason: str
    at: int
    owners: list[str]
    visibility: Visibility = "public"


class FillTimeline(Struct, frozen=True, array_like=True, tag="fill", gc=False):
    """Entries (post id, reason, at) of a newly followed source onto one timeline."""

    owner: str
    entries: list[tuple[str, str, int]]


class RemoveSource(Struct, frozen=True, array_like=True, tag="remove_source", gc=False):
    """Every entry with one of `reasons` off one timeline."""

    owner: str
    reasons: list[str]


class OpenTimeline(Struct, frozen=True, array_like=True, tag="open", gc=False):
    """From here on Redis keeps a timeline; it is there once so many `answers` of the same `epoch`
    have come, one of each source that brings entries."""

    owner: str
    epoch: str
    answers: int


class RefillTimeline(Struct, frozen=True, array_like=True, tag="refill", gc=False):
    """An answer: what a source holds of one timeline. Of what it spread at or before `floor` (ms)
    something may be missing."""

    owner: str
    epoch: str
    floor: int
    entries: list[tuple[str, str, int]]


class CloseTimeline(Struct, frozen=True, array_like=True, tag="close", gc=False):
    """Redis keeps a timeline no longer."""

    owner: str


TimelineOp = (
    PushEntry
    | RemoveEntry
    | FillTimeline
    | RemoveSource
    | OpenTimeline
    | RefillTimeline
    | CloseTimeline
)
"""A record of `timeline-writes` is a list of these, in order."""

_TYPES: dict[Topic, Any] = {
    Topic.TIMELINE_WRITES: list[TimelineOp],
    Topic.VIEW_POSTS: PostView,
    Topic.VIEW_COUNTERS: CountersView,
    Topic.VIEW_COMMENTS: CommentView,
    Topic.VIEW_COMMENT_COUNTS: CommentCountsView,
    Topic.VIEW_MINE: MineView,
    Topic.VIEW_USERS: UserView,
    Topic.VIEW_RELATIONS: RelationView,
    Topic.VIEW_AFFINITY: AffinityView,
    Topic.VIEW_SOURCES: SourceView,
    Topic.VIEW_RECENTS: Recent,
    Topic.VIEW_MODERATION: ModerationView,
    Topic.VIEW_NAMES: NameView,
    Topic.VIEW_DEVICES: DevicesView,
    Topic.VIEW_INTERESTS: InterestView,
    Topic.VIEW_NOTIFICATIONS: Notification,
    Topic.VIEW_TRENDING: TrendingView,
}
_decoders = {topic: msgspec.msgpack.Decoder(kind).decode for topic, kind in _TYPES.items()}


def decode_view(topic: Topic, value: bytes) -> Any:
    """What a record of a view topic or of `timeline-writes` says.

    Raises:
        msgspec.DecodeError: nothing that this version can read.
    """
    return _decoders[topic](value)
