"""Favourites: followers who want to be told of a source's new posts.

They have rows of their own, so a post costs O(favouring followers), whatever the audience; of many
it is told piece by piece, as posts are fanned out. A post is told to who has favoured the source
since before its place in the log, and taken back from those who were told. Whoever favours the
source no longer loses all that was told. Receivers get it in this order, as it all comes from the
source's log.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Literal

from msgspec import Struct

from schemas.topics import Topic
from streams.engine.outbox import Outbox
from streams.engine.state import State
from streams.facts import Activity, Notice, NoticesGone, Removal
from streams.fan_out import FanOut, Spread
from streams.relations import Relation
from streams.subjects import USER

KIND: Literal["favourite_post"] = "favourite_post"


class Favourer(Struct, frozen=True, array_like=True, gc=False):
    """A follower who favours a source; `since` is the place in the source's log at which that
    began."""

    since: int


class Favourers(Struct, frozen=True, array_like=True, gc=False):
    """How many favour a source."""

    count: int = 0


class Announced(Struct, frozen=True, array_like=True, gc=False):
    """A post is told, or is being told, to who favoured its author before a place in the log."""

    place: int


class Favourites:
    """Tells of the new posts of one partition's sources. Favouring costs O(1) rows."""

    def __init__(self, state: State, outbox: Outbox) -> None:
        self._favourers = state.group_table("favourer", Favourer)
        self._counts = state.table("favourers", Favourers)
        self._announced = state.group_table("announced", Announced)
        self._fan_out = FanOut(state, self._favourers, self._tell, "favourites_")
        self._outbox = outbox

    @property
    def backlog(self) -> int:
        """The posts that waited to be told, or taken back, at the last checkpoint."""
        return self._fan_out.backlog

    def work(self, limit: int) -> int:
        """A checkpoint begins: go on with what waits, for `limit` receivers."""
        return self._fan_out.work(limit)

    def favour(
        self, source: str, user_id: str, before: Relation, after: Relation, place: int
    ) -> None:
        """A relation has changed, at a place in the source's log."""
        if after.favours and not before.favours:
            self._favourers.put(source, user_id, Favourer(place))
            self._count(source, 1)
        elif before.favours and not after.favours:
            self.drop(source, user_id)

    def drop(self, source: str, user_id: str) -> None:
        """A source is a follower's favourite no longer."""
        self._favourers.delete(source, user_id)
        self._count(source, -1)
        gone = NoticesGone(user_id, KIND, source.removeprefix(USER))
        self._outbox.tell(Topic.BY_USER, user_id, gone)

    def announce(self, activity: Activity, place: int) -> None:
        """A source spreads something: a post of its own that answers none is told."""
        source = activity.source
        size = self._size(source)
        if not size or activity.reason != source or activity.is_reply:
            return
        if activity.visibility != "private":
            self._announced.put(source, activity.post_id, Announced(place))
            self._fan_out.spread(source, _spread(activity, True), place, size)

    def withdraw(self, removal: Removal) -> None:
        """An activity holds no more: if it was told, that is taken back."""
        source = removal.source
        if removal.reason != source:
            return
        told = self._announced.get(source, removal.post_id)
        if told is not None:
            self._announced.delete(source, removal.post_id)
            self._fan_out.spread(source, _spread(removal, False), told.place, self._size(source))

    def erase(self, source: str, limit: int) -> int:
        """A source is being erased: forget what was told, at most `limit` posts; how many."""
        posts = [post_id for post_id, _ in islice(self._announced.scan(source), limit)]
        for post_id in posts:
            self._announced.delete(source, post_id)
        return len(posts)

    def _count(self, source: str, change: int) -> None:
        count = self._size(source) + change
        if count:
            self._counts.put(source, Favourers(count))
        else:
            self._counts.delete(source)

    def _size(self, source: str) -> int:
        return (self._counts.get(source) or Favourers()).count

    def _tell(self, spread: Spread, place: int, favourers: Iterable[tuple[str, Favourer]]) -> None:
        author_id = spread.reason.removeprefix(USER)
        change = 1 if spread.is_push else -1
        for user_id, favourer in favourers:
            if favourer.since < place and spread.is_for(user_id):
                notice = Notice(
                    user_id, KIND, author_id, author_id, spread.at, spread.post_id, change
                )
                self._outbox.deliver(Topic.BY_USER, user_id, notice)


def _spread(what: Activity | Removal, is_push: bool) -> Spread:
    return Spread(is_push, what.post_id, what.reason, what.at, what.visibility, what.audience)
