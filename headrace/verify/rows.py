"""The normal form in which rows of the views are compared, whatever store they come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from schemas.views import CountersView, MineView, PostView, UserView

Row = dict[str, object]
Trend = tuple[int, list[tuple[str, float, int, int, bool]]]
"""The time that a list of what is trending states, and its entries: key, score, users, velocity,
whether it is viral."""


def post_row(view: PostView) -> Row | None:
    """A post; of a deleted one only what must be there and what must not."""
    row: Row = {"author_id": view.author_id, "at": view.at, "is_deleted": view.is_deleted}
    content: Row = {
        "content": view.content,
        "media": view.media,
        "visibility": view.visibility,
        "audience": tuple(view.audience),
        "reply_to": view.reply_to,
        "quote_of": view.quote_of,
        "language": view.language,
        "location": view.location,
        "hashtags": tuple(view.hashtags),
        "mentions": tuple(view.mentions),
        "edited_at": view.edited_at,
        "hidden_by": view.hidden_by,
    }
    if not view.is_deleted:
        return row | content
    if not view.author_id:
        return None  # deleted before it was created: equals no row
    left = ("content", "media", "hashtags", "mentions", "location")
    return row | {name: content[name] for name in left if content[name]}


def counters_row(view: CountersView) -> Row | None:
    """A post's counts, kinds with none left out; all nought equals no row."""
    row: Row = {
        "reactions": {kind: count for kind, count in view.reactions.items() if count},
        "comments": view.comments,
        "shares": view.shares,
        "views": view.views,
        "clicks": view.clicks,
        "hides": view.hides,
        "reports": view.reports,
    }
    return row if any(row.values()) else None


def mine_row(view: MineView) -> Row | None:
    """What a user did with a post; a time counts only with what is in force."""
    if view.reaction is None and not view.is_shared and not view.hidden_at:
        return None
    return {
        "reaction": view.reaction,
        "reacted_at": view.reacted_at if view.reaction is not None else 0,
        "is_shared": view.is_shared,
        "shared_at": view.shared_at if view.is_shared else 0,
        "hidden_at": view.hidden_at or 0,
    }


def user_row(view: UserView) -> Row | None:
    """A user's profile; that of a user of whom nothing is known equals no row."""
    row: Row = {
        "username": view.username,
        "display_name": view.display_name,
        "bio": view.bio,
        "avatar": view.avatar,
        "is_verified": view.is_verified,
        "following": view.following,
        "status": view.status,
        "is_dormant": view.is_dormant,
        "silenced": tuple(view.silenced),
    }
    unknown = user_unknown()
    return None if row == unknown else row


def user_unknown() -> Row:
    """The row of a user of whom nothing is known."""
    view = UserView(user_id="")
    return {name: getattr(view, name) for name in view.__struct_fields__ if name != "user_id"}


def present(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """The rows that are there, by key."""
    return {key: row for key, row in pairs if row is not None}
