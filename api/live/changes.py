"""Changes: what a record of a log says to those who are online; all else is dropped unread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from api.live.places import Log
from schemas.events import Visibility
from schemas.topics import Topic
from schemas.views import (
    CountersView,
    FillTimeline,
    HeavySource,
    NotificationView,
    PushEntry,
    RefillTimeline,
    RelationView,
    RemoveEntry,
    RemoveSource,
    decode_view,
)

EVERYONE = ""
"""The name under which a change is found that concerns all streams."""


class Added(Struct, frozen=True):
    """An entry came onto the timeline; `at` is its time in ms."""

    post_id: str
    reason: str
    at: int


class Removed(Struct, frozen=True):
    """An entry went off the timeline; `visibility` says who may have seen it."""

    post_id: str
    reason: str
    visibility: Visibility


class SourceRemoved(Struct, frozen=True):
    """All entries with one of the reasons went."""

    reasons: tuple[str, ...]


class Hidden(Struct, frozen=True):
    """The user has hidden a post."""

    post_id: str


class HiddenForOthers(Struct, frozen=True):
    """A post is for its author alone now, by reports or by a moderator."""

    post_id: str
    author_id: str


class Refilled(Struct, frozen=True):
    """A source has put onto the timeline what it holds."""


Change = (
    Added
    | Removed
    | SourceRemoved
    | Hidden
    | HiddenForOthers
    | Refilled
    | RelationView
    | NotificationView
    | CountersView
    | HeavySource
)


class Found(NamedTuple):
    """What a record says, with the names (users, sources, posts) that it says it to; `at` is the
    record's time in ms."""

    log: Log
    offset: int
    at: int
    changes: list[tuple[str, Change]]


class Names(NamedTuple):
    """Who and what is wanted: users, sources with many followers, posts. Only keys count."""

    users: dict[str, Any]
    sources: dict[str, Any]
    posts: dict[str, Any]


Selection = Callable[[Names, bytes, bytes], Iterator[tuple[str, Change]]]


def select(
    topic: Topic, key: bytes | None, value: bytes | None, names: Names
) -> list[tuple[str, Change]]:
    """The changes in a record for whom it concerns, in the order of the record.

    Of a record of `timeline-writes` each owner costs a look into a hash table; one of a view is not
    decoded unless its key names somebody.
    """
    if value is None:
        return []
    try:
        return list(_SELECTIONS[topic](names, key or b"", value))
    except msgspec.DecodeError:  # the sink has made a dead letter of it
        return []


def _timelines(names: Names, _key: bytes, value: bytes) -> Iterator[tuple[str, Change]]:
    users = names.users
    for operation in decode_view(Topic.TIMELINE_WRITES, value):
        match operation:
            case PushEntry(post_id, reason, at, owners):
                for owner in users.keys() & owners:
                    yield owner, Added(post_id, reason, at)
            case RemoveEntry(post_id, reason, _, owners, visibility):
                if visibility == "custom":  # these are who it was for
                    visibility = "followers"
                for owner in users.keys() & owners:
                    yield owner, Removed(post_id, reason, visibility)
            case FillTimeline(owner, entries) if owner in users:
                for post_id, reason, at in entries:
                    yield owner, Added(post_id, reason, at)
            case RemoveSource(owner, reasons) if owner in users:
                yield owner, SourceRemoved(tuple(reasons))
            case RefillTimeline(owner) if owner in users:
                yield owner, Refilled()


def _of_users(topic: Topic) -> Selection:
    def selection(names: Names, key: bytes, value: bytes) -> Iterator[tuple[str, Change]]:
        user_id = key.partition(b"\0")[0].decode()
        if user_id in names.users:
            view = decode_view(topic, value)
            if isinstance(view, RelationView | NotificationView):
                yield user_id, view

    return selection


def _mine(names: Names, key: bytes, value: bytes) -> Iterator[tuple[str, Change]]:
    user_id = key.partition(b"\0")[0].decode()
    if user_id in names.users and (view := decode_view(Topic.VIEW_MINE, value)).hidden_at:
        yield user_id, Hidden(view.post_id)


def _recents(names: Names, key: bytes, value: bytes) -> Iterator[tuple[str, Change]]:
    source, is_activity, _ = key.partition(b"\0")
    if not is_activity:
        yield EVERYONE, decode_view(Topic.VIEW_RECENTS, value)
    elif (name := source.decode()) in names.sources:
        view = decode_view(Topic.VIEW_RECENTS, value)
        if view.is_news and view.is_held:
            yield name, Added(view.post_id, view.reason, view.at)
        elif view.is_news:
            yield name, Removed(view.post_id, view.reason, view.visibility)


def _counters(names: Names, key: bytes, value: bytes) -> Iterator[tuple[str, Change]]:
    if (post_id := key.decode()) in names.posts:
        yield post_id, decode_view(Topic.VIEW_COUNTERS, value)


def _posts(names: Names, key: bytes, value: bytes) -> Iterator[tuple[str, Change]]:
    if (post_id := key.decode()) in names.posts:
        view = decode_view(Topic.VIEW_POSTS, value)
        if view.hidden_by is not None:
            yield post_id, HiddenForOthers(post_id, view.author_id)


_SELECTIONS: dict[Topic, Selection] = {
    Topic.TIMELINE_WRITES: _timelines,
    Topic.VIEW_RELATIONS: _of_users(Topic.VIEW_RELATIONS),
    Topic.VIEW_NOTIFICATIONS: _of_users(Topic.VIEW_NOTIFICATIONS),
    Topic.VIEW_MINE: _mine,
    Topic.VIEW_RECENTS: _recents,
    Topic.VIEW_COUNTERS: _counters,
    Topic.VIEW_POSTS: _posts,
}
