"""What a view is in Cassandra: the rows that hold it, and those that must not be there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import asdict

from schemas.topics import Topic
from schemas.views import (
    AffinityView,
    CommentCountsView,
    CommentView,
    HeavySource,
    InterestView,
    MineView,
    NameView,
    PostView,
    RecentActivity,
    RelationView,
    UserView,
)

MIN_SCORE = 1e-9

_json = msgspec.json.encode


class Upsert(NamedTuple):
    """A row of a table, with all its values."""

    table: str
    values: dict[str, Any]


class Drop(NamedTuple):
    """A row of a table that goes, by its key."""

    table: str
    key: dict[str, Any]


Row = Upsert | Drop


def _kept(is_there: bool, table: str, key: dict[str, Any], **values: Any) -> Row:
    return Upsert(table, key | values) if is_there else Drop(table, key)


def _posts(view: PostView) -> Iterator[Row]:
    values = asdict(view)
    del values["former_places"]
    values["media"] = _json(view.media).decode()
    for name in ("audience", "hashtags", "mentions"):
        values[name] = list(values[name])
    yield Upsert("posts", values)
    for author_id, at in view.former_places:
        key = {"author_id": author_id, "at": at, "post_id": view.post_id}
        yield Drop("posts_by_author", key)
    place = {"author_id": view.author_id, "at": view.at, "post_id": view.post_id}
    yield _kept(not view.is_deleted, "posts_by_author", place)


def _comments(view: CommentView) -> Iterator[Row]:
    key = {"post_id": view.post_id, "comment_id": view.comment_id}
    place = {"post_id": view.post_id, "at": view.at, "comment_id": view.comment_id}
    for at in view.former_times:
        yield Drop("comments_by_time", place | {"at": at})
    yield _kept(
        not view.is_deleted,
        "comments",
        key,
        user_id=view.user_id,
        at=view.at,
        text=view.text,
        parent=view.parent,
    )
    yield _kept(not view.is_deleted, "comments_by_time", place)


def _comment_counts(view: CommentCountsView) -> Iterator[Row]:
    key = {"post_id": view.post_id, "comment_id": view.comment_id}
    counts = {"likes": view.likes, "replies": view.replies}
    yield _kept(not view.is_deleted, "comment_counts", key, **counts)


def _users(view: UserView) -> Iterator[Row]:
    yield Upsert("users", asdict(view) | {"silenced": list(view.silenced)})


def _mine(view: MineView) -> Iterator[Row]:
    if view.reaction is None and not view.is_shared and not view.hidden_at:
        yield Drop("mine", {"user_id": view.user_id, "post_id": view.post_id})
    else:
        values = asdict(view)
        del values["is_again"]
        yield Upsert("mine", values)


def _relations(view: RelationView) -> Iterator[Row]:
    """Where there was never a mute or a block, nothing is deleted: most relations are follows."""
    own = {"user_id": view.user_id, "target": view.target}
    followers = {"source": view.target, "user_id": view.user_id}
    is_there, at = view.is_following, view.followed_at
    yield _kept(is_there, "following", own, followed_at=at, is_favourite=view.is_favourite)
    yield _kept(is_there, "followers", followers, followed_at=at)
    if view.is_muting is not None:
        yield _kept(view.is_muting, "muted", own)
    if view.is_blocking or view.has_blocked:
        yield _kept(view.is_blocking, "blocked", own)


def _affinity(view: AffinityView) -> Iterator[Row]:
    key = {"user_id": view.user_id, "target_id": view.target_id}
    yield _fading("affinity", key, view)


def _interests(view: InterestView) -> Iterator[Row]:
    yield _fading("interests", {"user_id": view.user_id, "subject": view.subject}, view)


def _fading(table: str, key: dict[str, Any], view: AffinityView | InterestView) -> Row:
    return _kept(
        view.score > MIN_SCORE or view.aversion > MIN_SCORE,
        table,
        key,
        score=view.score,
        at=view.at,
        aversion=view.aversion,
        averse_at=view.averse_at,
    )


def _names(view: NameView) -> Iterator[Row]:
    yield _kept(bool(view.user_id), "names", {"name": view.name}, user_id=view.user_id)


def _recents(view: HeavySource | RecentActivity) -> Iterator[Row]:
    match view:
        case HeavySource(source, is_heavy):
            yield _kept(is_heavy, "heavy", {"source": source})
        case RecentActivity(source, post_id, reason, at, is_held):
            key = {"source": source, "post_id": post_id, "reason": reason}
            yield _kept(is_held, "recents", key, at=at)


def _whole(table: str) -> Callable[[Any], Iterator[Row]]:
    """A view that is one row, whatever it says."""

    def rows(view: Any) -> Iterator[Row]:
        yield Upsert(table, asdict(view))

    return rows


ROWS_OF: dict[Topic, Callable[[Any], Iterator[Row]]] = {
    Topic.VIEW_POSTS: _posts,
    Topic.VIEW_COUNTERS: _whole("counters"),
    Topic.VIEW_COMMENTS: _comments,
    Topic.VIEW_COMMENT_COUNTS: _comment_counts,
    Topic.VIEW_MINE: _mine,
    Topic.VIEW_USERS: _users,
    Topic.VIEW_NAMES: _names,
    Topic.VIEW_RELATIONS: _relations,
    Topic.VIEW_AFFINITY: _affinity,
    Topic.VIEW_INTERESTS: _interests,
    Topic.VIEW_SOURCES: _whole("sources"),
    Topic.VIEW_RECENTS: _recents,
}
"""By view topic, the rows of one view."""
