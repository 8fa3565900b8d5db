"""Readers: whose timelines are kept. Redis has those of who read within a day; to who has not read
within 30 days nothing is brought at all."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from schemas.topics import Topic
from streams.engine.outbox import Outbox
from streams.engine.owners import of_sub
from streams.engine.state import GroupTable, State
from streams.facts import Dormant, Refill
from streams.relations import UserRelation

REOPENED_HOURS = 7 * 24
"""A timeline that is read all the time is opened anew so often, so that what opens it is in the log
from which a Redis that lost everything is filled."""


HOURS_A_DAY = 24


class Reading(Struct, frozen=True, array_like=True, gc=False):
    """When a user was there last, and when the timeline was opened, in hours since 1970 by the
    clock of the log; whether it is open."""

    hour: int
    opened: int = 0
    is_open: bool = False


class Reader(Struct, frozen=True, array_like=True, gc=False):
    """A user read in an hour, or was there last on a day."""


class Readers:
    """The readers of one partition of users.

    A read costs O(1) rows, one that opens the timeline O(follows of the user); closing costs O(1).
    Who reads no longer becomes *dormant* in the end, which costs O(follows) once: the sources
    followed push nothing until the timeline is opened again, and they answer with what they hold.
    """

    def __init__(
        self,
        state: State,
        outbox: Outbox,
        relations: GroupTable[UserRelation],
        note_sleep: Callable[[str, bool], None],
    ) -> None:
        self._readings = state.table("reading", Reading)
        self._in_hour = state.group_table("read_in_hour", Reader, of_sub)
        self._last_day = state.group_table("last_day", Reader, of_sub)
        self._relations = relations
        self._outbox = outbox
        self._note_sleep = note_sleep

    def read(self, user_id: str, hour: int, epoch: str) -> None:
        """A user reads; `epoch` names the opening of the timeline, if it is to be opened."""
        before = self._readings.get(user_id)
        if before is None or before.hour != hour or not before.is_open:
            self._in_hour.put(str(hour), user_id, Reader())
        after = Reading(hour)
        if before is not None:  # an hour before the log's first tick is not known
            after = replace(before, hour=hour, opened=before.opened or hour)
        if not after.is_open or hour - after.opened >= REOPENED_HOURS:
            self._open(user_id, epoch)
            after = Reading(hour, hour, is_open=True)
        if after != before:
            self._readings.put(user_id, after)
            self._move(user_id, before, after)

    def follow(self, user_id: str, hour: int) -> None:
        """A user follows, and so is awake for 30 days, if nothing was known."""
        if self._readings.get(user_id) is None:
            reading = Reading(hour)
            self._readings.put(user_id, reading)
            self._move(user_id, None, reading)

    def erase(self, user_id: str) -> None:
        """A user is deleted."""
        reading = self._readings.get(user_id)
        if reading is not None:
            self._readings.delete(user_id)
            self._last_day.delete(_day(reading), user_id)
            self._close(user_id, reading)

    def sweep(self, hour: int, limit: int) -> int:
        """Close the timelines of who has not read since an hour, at most `limit`; how many were
        looked at."""
        readers = [user_id for user_id, _ in islice(self._in_hour.scan(str(hour)), limit)]
        for user_id in readers:
            self._in_hour.delete(str(hour), user_id)
            reading = self._readings.get(user_id)
            if reading is not None and reading.hour == hour:
                self._readings.put(user_id, replace(reading, is_open=False))
                self._close(user_id, reading)
        return len(readers)

    def put_to_sleep(self, day: int, limit: int) -> int:
        """Who was there last on a day (since 1970) is dormant from now on; at most some `limit`
        follows are told. How many users and follows that were."""
        done = 0
        for user_id, _ in list(islice(self._last_day.scan(str(day)), limit)):
            if done >= limit:
                break
            self._last_day.delete(str(day), user_id)
            self._readings.delete(user_id)
            followed = self._followed(user_id)
            for source in followed:
                self._outbox.tell(Topic.BY_SOURCE, source, Dormant(source, user_id))
            if followed:
                self._note_sleep(user_id, True)
            done += 1 + len(followed)
        return done

    def _move(self, user_id: str, before: Reading | None, after: Reading) -> None:
        """Keep by the day who was there last then."""
        if before is None or _day(before) != _day(after):
            self._last_day.put(_day(after), user_id, Reader())
            if before is not None:
                self._last_day.delete(_day(before), user_id)

    def _close(self, user_id: str, reading: Reading) -> None:
        if reading.is_open:
            self._outbox.close_timeline(user_id)

    def _followed(self, user_id: str) -> list[str]:
        relations = self._relations.scan(user_id)
        return sorted(source for source, row in relations if row.is_following)

    def _open(self, user_id: str, epoch: str) -> None:
        sources = [f"u:{user_id}", *self._followed(user_id)]
        self._outbox.open_timeline(user_id, epoch, len(sources))
        self._note_sleep(user_id, False)
        for source in sources:
            self._outbox.tell(Topic.BY_SOURCE, source, Refill(source, user_id, epoch))


def _day(reading: Reading) -> str:
    return str(reading.hour // HOURS_A_DAY)
