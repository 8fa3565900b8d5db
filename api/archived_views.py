"""Rows of Cassandra as the views that they hold."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.events import Media
from schemas.views import (
    CommentCountsView,
    CommentView,
    CountersView,
    PostView,
    SourceView,
    UserView,
)

_MEDIA = msgspec.json.Decoder(tuple[Media, ...])


def post_of(row: Any) -> PostView:
    """A post."""
    return PostView(
        post_id=row.post_id,
        author_id=row.author_id or "",
        at=row.at or 0,
        content=row.content or "",
        media=_MEDIA.decode(row.media) if row.media else (),
        visibility=row.visibility or "private",
        audience=tuple(row.audience or ()),
        reply_to=row.reply_to,
        quote_of=row.quote_of,
        language=row.language,
        location=row.location,
        hashtags=tuple(row.hashtags or ()),
        mentions=tuple(row.mentions or ()),
        edited_at=row.edited_at,
        is_deleted=bool(row.is_deleted),
        hidden_by=row.hidden_by,
    )


def counters_of(row: Any) -> CountersView:
    """A post's counts."""
    return CountersView(
        post_id=row.post_id,
        reactions=dict(row.reactions or {}),
        comments=row.comments or 0,
        shares=row.shares or 0,
        views=row.views or 0,
        clicks=row.clicks or 0,
        hides=row.hides or 0,
        reports=row.reports or 0,
    )


def comment_of(row: Any) -> CommentView:
    """A comment."""
    return CommentView(
        post_id=row.post_id,
        comment_id=row.comment_id,
        user_id=row.user_id or "",
        at=row.at or 0,
        text=row.text or "",
        parent=row.parent,
    )


def comment_counts_of(row: Any) -> CommentCountsView:
    """A comment's counts."""
    return CommentCountsView(row.post_id, row.comment_id, row.likes or 0, row.replies or 0)


def user_of(row: Any) -> UserView:
    """A profile."""
    return UserView(
        user_id=row.user_id,
        username=row.username,
        display_name=row.display_name,
        bio=row.bio,
        avatar=row.avatar,
        is_verified=bool(row.is_verified),
        following=row.following or 0,
        status=row.status or "active",
        is_dormant=bool(row.is_dormant),
        silenced=tuple(row.silenced or ()),
    )


def source_of(row: Any) -> SourceView:
    """A source's audience."""
    return SourceView(source=row.source, followers=row.followers or 0, posts=row.posts or 0)
