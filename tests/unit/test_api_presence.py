"""Presence: who is said to be active, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from api.presence import ASKED_EVERY_MS, TOLD_EVERY_MS, Presence
from api.stores import KAFKA, StoreDownError
from api.writes import Events
from schemas.events import Event, User
from tests.unit.api_fakes import NOW, FakeWriter, World


class Reading:
    """A presence with a clock of its own, and what it publishes."""

    def __init__(self) -> None:
        self.now = NOW
        self.writer = FakeWriter()
        self.presence = Presence(Events(self.writer, lambda: self.now))

    def read(self, user_id: str, after_ms: int = 0, *, has_feed: bool = True) -> list[str]:
        """Whom a read has said to be active."""
        self.now += after_ms
        self.writer.events.clear()

        async def note() -> None:
            self.presence.note(user_id, has_feed=has_feed)
            await asyncio.gather(*self.presence._tasks)

        asyncio.run(note())
        assert all(isinstance(e, User) and e.action == "active" for e in self.writer.events)
        return [e.user_id for e in self.writer.events if isinstance(e, User)]


def test_a_reader_is_active_once_an_hour() -> None:
    reading = Reading()
    assert reading.read("al") == ["al"]
    assert reading.read("al", TOLD_EVERY_MS - 1) == []
    assert reading.read("bob") == ["bob"]
    assert reading.read("al", 1) == ["al"]


def test_once_a_minute_while_there_is_no_feed() -> None:
    reading = Reading()
    assert reading.read("al", has_feed=False) == ["al"]
    assert reading.read("al", ASKED_EVERY_MS - 1, has_feed=False) == []
    assert reading.read("al", 1, has_feed=False) == ["al"]
    assert reading.read("al", ASKED_EVERY_MS, has_feed=True) == []


def test_what_cannot_be_published_is_with_the_next_read() -> None:
    reading = Reading()
    publish = reading.writer.publish

    async def fail(_events: Iterable[Event]) -> None:
        raise StoreDownError(KAFKA, "down")

    reading.writer.publish = fail  # type: ignore[method-assign]
    assert reading.read("al") == []
    reading.writer.publish = publish  # type: ignore[method-assign]
    assert reading.read("al", 1) == ["al"]


def test_reading_the_feed_says_so() -> None:
    world = World()
    world.feed("al")
    world.feed("al")
    assert [e.user_id for e in world.writer.events if isinstance(e, User)] == ["al"]
