"""The transport's slots: how fetches become batches, and that one is in flight at a time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from aiokafka import ConsumerRecord
from faust.types import TP

from connectors import transport
from connectors.transport import Batch, Consumer, PositionError, _Slot, broker_url
from tests.unit.folds import record

PLACE = TP("posts", 2)


def _fetch(start: int, count: int, size: int = 10) -> list[ConsumerRecord]:
    return [record(b"x" * size, offset=start + n, key=b"k") for n in range(count)]


def _slot(*counts: int, size: int = 10) -> _Slot:
    slot = _Slot(0)
    start = 0
    for count in counts:
        slot.add(_fetch(start, count, size))
        start += count
    return slot


@pytest.mark.parametrize(
    ("fetches", "batches"),
    [
        pytest.param([3], [3], id="a fetch is a batch"),
        pytest.param([3, 4], [7], id="fetches that wait are one batch"),
        pytest.param([6, 4], [10], id="up to the limit"),
        pytest.param([6, 5], [6, 5], id="never cut a fetch"),
        pytest.param([25, 1], [25, 1], id="a fetch above the limit goes alone"),
        pytest.param([1, 25], [1, 25], id="and does not join what is before it"),
        pytest.param([4, 4, 4, 4, 4], [8, 8, 4], id="many"),
    ],
)
def test_batches(monkeypatch: pytest.MonkeyPatch, fetches: list[int], batches: list[int]) -> None:
    monkeypatch.setattr(transport, "BATCH_RECORDS", 10)
    slot = _slot(*fetches)
    taken = []
    while not slot.is_idle:
        taken.append(slot.take())
    assert [len(records) for records in taken] == batches
    offsets = [each.offset for records in taken for each in records]
    assert offsets == list(range(sum(fetches)))


def test_a_slot_is_full_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PENDING_BYTES", 1_000)
    slot = _slot(9, size=100)
    assert not slot.is_full
    slot.add(_fetch(9, 1, 100))
    assert slot.is_full
    slot.take()
    assert not slot.is_full


def test_the_bytes_of_what_waits_stay_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PENDING_BYTES", 1_000)
    monkeypatch.setattr(transport, "BATCH_RECORDS", 5)
    slot = _slot(5, 10, size=100)
    slot.take()
    assert slot.is_full
    slot.clear()
    assert not slot.is_full
    assert slot.is_idle


def test_a_slot_in_flight_is_not_idle() -> None:
    slot = _Slot(0)
    assert slot.is_idle
    slot.in_flight = True
    assert not slot.is_idle


class Bench:
    """A consumer without a broker: its slots, and what it delivered."""

    def __init__(self) -> None:
        self.delivered: list[Batch] = []
        self.committed: list[dict[TP, int]] = []
        self.fetched: dict[TP, int] = {}
        consumer: Any = object.__new__(Consumer)
        consumer._slots = {PLACE: _Slot(7)}
        consumer._opening = {}
        consumer._owned = {PLACE}
        consumer._group_offsets = {}
        consumer._generation = 1
        consumer._is_assigned = True
        consumer._wake = asyncio.Event()
        consumer._landed = asyncio.Event()
        consumer._unacked_messages = set()
        consumer.app = mock.Mock(consumer_generation_id=1)
        consumer.highwater = mock.Mock(return_value=99)
        consumer.callback = self._deliver
        consumer._thread = SimpleNamespace(fetch_position=self.fetched.get, commit=self._commit)
        self.consumer = consumer
        self.slot: _Slot = consumer._slots[PLACE]

    async def _deliver(self, message: Any) -> None:
        self.delivered.append(message.value)

    async def _commit(self, offsets: dict[TP, int]) -> bool:
        self.committed.append(dict(offsets))
        return True

    async def fetch(self, start: int, count: int) -> None:
        self.slot.add(_fetch(start, count))
        await self.consumer._deliver(PLACE, self.slot)


def test_one_batch_is_in_flight_and_the_next_waits() -> None:
    async def run() -> None:
        bench = Bench()
        await bench.fetch(10, 3)
        await bench.fetch(13, 2)
        await bench.fetch(20, 2)
        assert [[r.offset for r in batch.records] for batch in bench.delivered] == [[10, 11, 12]]
        assert bench.delivered[0].next_offset == 13
        assert bench.slot.position == 7
        await bench.consumer.done(bench.delivered[0])
        assert bench.slot.position == 13
        assert [r.offset for r in bench.delivered[1].records] == [13, 14, 20, 21]
        assert bench.delivered[1].next_offset == 22
        await bench.consumer.done(bench.delivered[1])
        assert len(bench.delivered) == 2
        assert bench.slot.is_idle
        assert bench.slot.position == 22

    asyncio.run(run())


def test_a_batch_of_a_partition_that_is_gone_ends_quietly() -> None:
    async def run() -> None:
        bench = Bench()
        await bench.fetch(10, 3)
        bench.consumer._slots.clear()
        await bench.consumer.done(bench.delivered[0])
        assert bench.consumer.positions() == {}

    asyncio.run(run())


def test_the_group_is_told_positions_and_markers_only_when_idle() -> None:
    async def run() -> None:
        bench = Bench()
        await bench.fetch(10, 3)
        bench.fetched[PLACE] = 15
        await bench.consumer.commit()
        assert bench.committed == [{PLACE: 7}], "in flight: where the state stands"
        await bench.consumer.done(bench.delivered[0])
        bench.consumer._note_reached()
        await bench.consumer.commit()
        assert bench.committed[1:] == [{PLACE: 15}], "idle: behind the commit marker"
        await bench.consumer.commit()
        assert len(bench.committed) == 2, "nothing new, nothing told"

    asyncio.run(run())


def test_a_rebalance_waits_for_what_is_in_flight() -> None:
    async def run() -> None:
        bench = Bench()
        await bench.fetch(10, 3)
        await bench.fetch(13, 3)
        waiting = asyncio.create_task(bench.consumer.wait_empty())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await bench.consumer.done(bench.delivered[0])
        await asyncio.wait_for(waiting, 1)
        assert len(bench.delivered) == 1, "what only waited is let go"
        assert bench.committed[-1] == {PLACE: 13}

    asyncio.run(run())


def test_an_acknowledgement_of_faust_moves_nothing() -> None:
    async def run() -> None:
        bench = Bench()
        await bench.fetch(10, 3)
        assert bench.consumer.ack(mock.Mock(acked=False)) is True
        assert bench.slot.position == 7
        assert bench.slot.in_flight

    asyncio.run(run())


def test_ready_is_assigned_opened_and_read() -> None:
    async def run() -> None:
        consumer = Bench().consumer
        assert consumer.is_ready
        consumer._opening[PLACE] = mock.Mock()
        assert not consumer.is_ready
        consumer._opening.clear()
        consumer._slots.clear()
        assert not consumer.is_ready
        consumer._owned.clear()
        assert consumer.is_ready, "nothing is assigned to this worker"
        consumer._is_assigned = False
        assert not consumer.is_ready

    asyncio.run(run())


@pytest.mark.parametrize(
    ("brokers", "url"),
    [
        ("a:1", "batch://a:1"),
        ("a:1,b:2", "batch://a:1;batch://b:2"),
        ("a:1, b:2", "batch://a:1;batch://b:2"),
    ],
)
def test_broker_urls(brokers: str, url: str) -> None:
    assert broker_url(brokers) == url


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
    assert asyncio.run(_log_of_10_to_20()._within_log(PLACE, position)) == start


def test_a_log_that_ends_before_the_position_is_another() -> None:
    with pytest.raises(PositionError, match="posts/2 ends at 20, and 21 was processed"):
        asyncio.run(_log_of_10_to_20()._within_log(PLACE, 21))


@pytest.mark.parametrize(("position", "start"), [(12, 12), (None, 10)])
def test_a_partition_is_read_from_where_its_owner_stands(position: int | None, start: int) -> None:
    """And not from where the group's offsets stand."""

    async def run() -> None:
        consumer: Any = Bench().consumer
        consumer._slots = {}
        sought: list[dict[TP, int]] = []
        consumer._thread = _log_of_10_to_20()._thread

        async def seek(positions: dict[TP, int]) -> None:
            sought.append(positions)

        async def commit(_offsets: dict[TP, int]) -> bool:
            return True

        consumer._thread.seek_wait, consumer._thread.commit = seek, commit
        owner = mock.Mock(open=mock.AsyncMock(return_value=position))
        consumer.app.owners = {"posts": owner}
        await consumer._open(PLACE, 1)
        owner.open.assert_awaited_once_with(2)
        assert sought == [{PLACE: start}]
        assert consumer.positions() == {PLACE: start}

    asyncio.run(run())


def _log_of_10_to_20() -> Consumer:
    async def oldest(tp: TP) -> dict[TP, int]:
        return {tp: 10}

    async def end(tp: TP) -> dict[TP, int]:
        return {tp: 20}

    consumer: Any = object.__new__(Consumer)
    consumer._thread = SimpleNamespace(earliest_offsets=oldest, highwaters=end)
    return consumer
