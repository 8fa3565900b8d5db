"""Views that are kept, at the moments at which what changes is told of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from api.kept_views import KeptViews, Lookup, Question
from api.redis_link import Link, Told
from schemas.views import UserView
from tests.unit.redis_fakes import FakeLink

Event = Callable[[], None]


class Server:
    """Holds one profile; something may happen to it once before or behind the next answer."""

    def __init__(self) -> None:
        self.name = "one"
        self.before: Event | None = None
        self.behind: Event | None = None
        self.reads = 0
        self._told: Told = print

    def views(self) -> KeptViews:
        """What keeps it."""

        async def open_link(told: Told, _protocol: int) -> Link:
            self._told = told
            return FakeLink(told, self._ask)

        return KeptViews(open_link)

    def rename(self, name: str) -> None:
        """It changes, and that is told."""
        self.name = name
        self._told([b"user:bo"])

    async def _ask(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        await asyncio.sleep(0)
        before, self.before = self.before, None
        if before is not None:
            before()
        raw = msgspec.msgpack.encode(UserView("bo", self.name))
        self.reads += sum(each[0] == "MGET" for each in commands)
        answers: list[Any] = [[raw] if each[0] == "MGET" else b"PONG" for each in commands]
        behind, self.behind = self.behind, None
        if behind is not None:
            behind()
        return answers


async def name_in(views: KeptViews) -> str | None:
    found: dict[str, UserView] = {}
    decoder = msgspec.msgpack.Decoder(UserView)
    lookup = Lookup(["bo"], ["user:bo"], decoder, found)
    answers = await views.read([lookup], Question(commands=[("GET", "x")]))
    assert answers == [b"PONG"]
    return found["bo"].username


def test_what_changes_behind_the_answer_is_not_kept() -> None:
    async def run() -> None:
        server = Server()
        views = server.views()
        server.behind = lambda: server.rename("two")
        assert await name_in(views) == "one"
        assert await name_in(views) == "two"
        assert await name_in(views) == "two"
        assert server.reads == 2

    asyncio.run(run())


def test_what_was_kept_and_changes_before_the_answer_is_read_anew() -> None:
    async def run() -> None:
        server = Server()
        views = server.views()
        assert await name_in(views) == "one"
        server.before = lambda: server.rename("two")
        assert await name_in(views) == "two"
        assert await name_in(views) == "two"
        assert server.reads == 2

    asyncio.run(run())


def test_of_two_who_ask_at_once_both_have_what_is_there() -> None:
    async def run() -> None:
        server = Server()
        views = server.views()
        assert await asyncio.gather(name_in(views), name_in(views)) == ["one", "one"]
        server.rename("two")
        assert await asyncio.gather(name_in(views), name_in(views)) == ["two", "two"]

    asyncio.run(run())


def test_who_no_longer_waits_leaves_nothing_behind() -> None:
    async def run() -> None:
        views = Server().views()
        asked: dict[str, object] = vars(views)["_asked"]
        reading = asyncio.create_task(name_in(views))
        for _ in range(10):
            await asyncio.sleep(0)
            if asked:
                break
        assert asked
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert reading.cancelled()
        assert not asked

    asyncio.run(run())
