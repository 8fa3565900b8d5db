"""Pages of a feed as they are sent. `api.models` documents them, and a test holds the two together:
pydantic's models take ten times as long to make and to encode."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from pydantic import BaseModel

from api.feed_models import Explanation, FeedDegraded
from schemas.events import Media, Visibility


class SentAuthor(Struct, frozen=True, gc=False):
    """As `Author`."""

    user_id: str
    username: str | None
    display_name: str | None
    avatar: str | None
    is_verified: bool


class SentCounts(Struct, frozen=True, gc=False):
    """As `Counts`."""

    reactions: dict[str, int]
    comments: int
    shares: int
    views: int


class SentPost(Struct, kw_only=True, frozen=True, gc=False):
    """As `FeedPost`."""

    post_id: str
    user: SentAuthor
    content: str
    media: tuple[Media, ...]
    media_urls: list[str]
    created_at: str
    edited_at: str | None
    visibility: Visibility
    reply_to: str | None
    quote_of: str | None
    language: str | None
    hashtags: tuple[str, ...]
    mentions: tuple[str, ...]
    like_count: int
    comment_count: int
    share_count: int
    view_count: int
    counts: SentCounts
    is_liked: bool
    my_reaction: str | None
    is_shared: bool
    is_hidden: bool
    reasons: Sequence[str]
    entry_at: str
    explanation: Explanation | None = None


Sent = SentPost | msgspec.Raw
"""A post as it is sent, or as it has been encoded."""


class SentPage(Struct, kw_only=True):
    """As `FeedPage`."""

    posts: list[Sent]
    next_cursor: str | None
    has_more: bool
    newer_cursor: str | None = None
    degraded: list[FeedDegraded]
    is_opening: bool = False


def as_json(sent: SentPage | Sent) -> bytes:
    """What is sent, as JSON."""
    return _ENCODER.encode(sent)


def _plain(model: BaseModel) -> object:
    return model.model_dump()


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
