"""Where logs begin and end: what is read from where, in few requests."""

from __future__ import annotations

import asyncio

import pytest
from faust.types import TP

from connectors.log_bounds import Bounds, LogBounds, PositionError

PLACE = TP("posts", 2)


class KafkaLog:
    """Stands in for a consumer's thread: all partitions have the records 10 to 19."""

    def __init__(self) -> None:
        self.asked: list[list[TP]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.fault: Exception | None = None

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        """10, when it may be said."""
        self.asked.append(sorted(partitions))
        await self.may_answer.wait()
        if self.fault is not None:
            raise self.fault
        return dict.fromkeys(partitions, 10)

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        """20."""
        return dict.fromkeys(partitions, 20)


@pytest.mark.parametrize(
    ("position", "start"),
    [
        pytest.param(None, 10, id="new"),
        pytest.param(10, 10, id="at the oldest"),
        pytest.param(15, 15, id="between"),
        pytest.param(20, 20, id="at the end"),
        pytest.param(9, 10, id="what was deleted cannot be read"),
    ],
)
def test_where_a_log_is_read_from(position: int | None, start: int) -> None:
    assert asyncio.run(LogBounds(KafkaLog()).within(PLACE, position)) == Bounds(start, 20)


def test_a_log_that_ends_before_the_position_is_another() -> None:
    with pytest.raises(PositionError, match="posts/2 ends at 20, and 21 was processed"):
        asyncio.run(LogBounds(KafkaLog()).within(PLACE, 21))


def test_what_is_wanted_while_a_request_is_under_way_comes_with_the_next() -> None:
    """Also what that request is about: it may have been answered before."""

    async def run() -> None:
        kafka = KafkaLog()
        bounds = LogBounds(kafka)
        kafka.may_answer.clear()
        wanted = [TP("posts", number) for number in range(8)]
        first = [asyncio.create_task(bounds.of(tp)) for tp in wanted[:2]]
        await asyncio.sleep(0.01)
        rest = [asyncio.create_task(bounds.of(tp)) for tp in wanted[1:]]
        await asyncio.sleep(0.01)
        kafka.may_answer.set()
        assert set(await asyncio.gather(*first, *rest)) == {Bounds(10, 20)}
        assert kafka.asked == [wanted[:2], wanted[1:]]

    asyncio.run(run())


def test_who_gives_up_takes_the_answer_from_nobody() -> None:
    async def run() -> None:
        kafka = KafkaLog()
        bounds = LogBounds(kafka)
        kafka.may_answer.clear()
        leaver, other = (asyncio.create_task(bounds.of(PLACE)) for _ in range(2))
        await asyncio.sleep(0.01)
        leaver.cancel()
        await asyncio.sleep(0.01)
        kafka.may_answer.set()
        assert await other == Bounds(10, 20)

    asyncio.run(run())


def test_a_fault_is_told_to_all_who_asked_and_ends_with_them() -> None:
    async def run() -> None:
        kafka = KafkaLog()
        bounds = LogBounds(kafka)
        kafka.fault = ConnectionError("no broker")
        asked = await asyncio.gather(bounds.of(PLACE), bounds.of(PLACE), return_exceptions=True)
        assert asked == [kafka.fault] * 2
        kafka.fault = None
        assert await bounds.of(PLACE) == Bounds(10, 20)

    asyncio.run(run())
