"""Presence: says who reads, so that Redis keeps the timelines of readers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from api.errors import ProblemError
from api.writes import Events
from schemas.events import User

TOLD_EVERY_MS = 3_600_000
ASKED_EVERY_MS = 60_000
REMEMBERED = 100_000


class Presence:
    """Publishes that a user is active: once an hour at most, once a minute while there is no feed
    in Redis. Nobody waits for it; what cannot be published is published with a later read."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._told: OrderedDict[str, int] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, user_id: str, *, has_feed: bool) -> None:
        """A user reads the timeline; to be called from the event loop."""
        now = self._events.clock()
        told_at = self._told.get(user_id)
        if told_at is not None and now - told_at < (TOLD_EVERY_MS if has_feed else ASKED_EVERY_MS):
            return
        self._told[user_id] = now
        self._told.move_to_end(user_id)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        task = asyncio.create_task(self._tell(user_id, now))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, user_id: str, at: int) -> None:
        event_id = self._events.new_id(at)
        try:
            await self._events.publish(
                User(event_id=event_id, action="active", user_id=user_id, at=at)
            )
        except ProblemError:  # it was logged
            self._told.pop(user_id, None)
