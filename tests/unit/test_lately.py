"""What is the same for all who read is asked for once, and never served when its time is over."""

from __future__ import annotations

import asyncio

import pytest

from api.lately import Lately
from api.stores import REDIS, StoreDownError


class Source:
    """Answers with a number that grows, when it is let."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.is_down = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.lately = Lately(self.ask, 1.0, lambda: self.now)

    async def ask(self) -> int:
        self.asked += 1
        number = self.asked
        await self.gate.wait()
        if self.is_down:
            raise StoreDownError(REDIS, "gone")
        return number

    async def settle(self) -> None:
        """Let what is under way come to its end."""
        for _ in range(5):
            await asyncio.sleep(0)


def test_it_is_asked_for_once_in_half_of_its_time() -> None:
    async def run() -> None:
        source = Source()
        for tenth in range(5):
            source.now = tenth / 10
            assert await source.lately.get() == 1
        await source.settle()
        assert source.asked == 1

    asyncio.run(run())


def test_nobody_waits_while_it_is_asked_for_again() -> None:
    async def run() -> None:
        source = Source()
        await source.lately.get()
        source.gate.clear()
        source.now = 0.6
        for _ in range(10):
            assert await source.lately.get() == 1
            await source.settle()
        assert source.asked == 2
        source.gate.set()
        await source.settle()
        assert await source.lately.get() == 2
        source.now = 1.1  # it is from 0.6
        assert await source.lately.get() == 2

    asyncio.run(run())


def test_nothing_is_served_when_its_time_is_over() -> None:
    async def run() -> None:
        source = Source()
        await source.lately.get()
        source.gate.clear()
        source.now = 0.9
        await source.lately.get()
        await source.settle()
        source.now = 1.01
        waiting = asyncio.create_task(source.lately.get())
        await source.settle()
        assert not waiting.done()
        source.gate.set()
        assert await waiting == 3

    asyncio.run(run())


def test_who_asked_earlier_and_was_slower_is_not_believed() -> None:
    async def run() -> None:
        source = Source()
        await source.lately.get()
        slow = source.gate = asyncio.Event()
        source.now = 0.6
        await source.lately.get()
        await source.settle()
        source.gate = asyncio.Event()
        source.gate.set()
        source.now = 1.01
        assert await source.lately.get() == 3
        slow.set()
        await source.settle()
        assert await source.lately.get() == 3

    asyncio.run(run())


def test_a_store_that_is_down_is_told_of_when_the_time_is_over() -> None:
    async def run() -> None:
        source = Source()
        await source.lately.get()
        source.is_down = True
        source.now = 0.6
        assert await source.lately.get() == 1
        await source.settle()
        source.now = 0.7
        assert await source.lately.get() == 1
        source.now = 1.1
        with pytest.raises(StoreDownError):
            await source.lately.get()
        source.is_down = False
        assert await source.lately.get() == source.asked

    asyncio.run(run())


def test_it_asks_no_more_when_it_is_closed() -> None:
    async def run() -> None:
        source = Source()
        await source.lately.close()
        await source.lately.get()
        source.gate.clear()
        source.now = 0.6
        await source.lately.get()
        await source.settle()
        await source.lately.close()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())
