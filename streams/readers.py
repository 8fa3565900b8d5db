"""Readers: whose timelines Redis keeps, from when they read until they have not for a day."""

from __future__ import annotations

from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from schemas.topics import Topic
from streams.engine.outbox import Outbox
from streams.engine.state import GroupTable, State
from streams.facts import Refill
from streams.relations import UserRelation

REOPENED_HOURS = 7 * 24
"""A timeline that is read all the time is opened anew so often, so that what opens it is in the log
from which a Redis that lost everything is filled."""


class Reading(Struct, frozen=True, array_like=True, gc=False):
    """When a user read last, and when the timeline was opened, in hours since 1970 by the clock of
    the log; whether it is open."""

    hour: int
    opened: int = 0
    is_open: bool = False


class Reader(Struct, frozen=True, array_like=True, gc=False):
    """A user read in an hour."""


class Readers:
    """The readers of one partition of users.

    A read costs O(1) rows, one that opens the timeline O(follows of the user); closing costs O(1).
    """

    def __init__(self, state: State, outbox: Outbox, relations: GroupTable[UserRelation]) -> None:
        self._readings = state.table("reading", Reading)
        self._in_hour = state.group_table("read_in_hour", Reader)
        self._relations = relations
        self._outbox = outbox

    def read(self, user_id: str, hour: int, epoch: str) -> None:
        """A user reads; `epoch` names the opening of the timeline, if it is to be opened."""
        before = self._readings.get(user_id)
        if before is None or before.hour != hour:
            self._in_hour.put(str(hour), user_id, Reader())
        after = Reading(hour)
        if before is not None:  # an hour before the log's first tick is not known
            after = replace(before, hour=hour, opened=before.opened or hour)
        if not after.is_open or hour - after.opened >= REOPENED_HOURS:
            self._open(user_id, epoch)
            after = Reading(hour, hour, is_open=True)
        if after != before:
            self._readings.put(user_id, after)

    def close(self, user_id: str) -> None:
        """A user reads no longer."""
        if self._readings.get(user_id) is not None:
            self._readings.delete(user_id)
            self._outbox.close_timeline(user_id)

    def sweep(self, hour: int, limit: int) -> int:
        """Close the timelines of who has not read since an hour, at most `limit`; how many were
        looked at."""
        readers = [user_id for user_id, _ in islice(self._in_hour.scan(str(hour)), limit)]
        for user_id in readers:
            self._in_hour.delete(str(hour), user_id)
            reading = self._readings.get(user_id)
            if reading is not None and reading.hour == hour:
                self.close(user_id)
        return len(readers)

    def _open(self, user_id: str, epoch: str) -> None:
        followed = [source for source, row in self._relations.scan(user_id) if row.is_following]
        sources = [f"u:{user_id}", *sorted(followed)]
        self._outbox.open_timeline(user_id, epoch, len(sources))
        for source in sources:
            self._outbox.tell(Topic.BY_SOURCE, source, Refill(source, user_id, epoch))
