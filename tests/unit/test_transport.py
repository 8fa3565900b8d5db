"""The transport: one batch of a partition in flight, own positions, and orderly handovers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from faust.types import TP

from connectors import slots, transport
from connectors.batch import Batch
from connectors.deal import Claims
from connectors.log_bounds import LogBounds, PositionError
from connectors.owner import LeavingError
from connectors.records import Record
from connectors.slots import Slot
from connectors.transport import (
    Consumer,
    Progress,
    broker_url,
)
from tests.unit.folds import record
from tests.unit.test_log_bounds import KafkaLog

PLACE = TP("posts", 2)


def _positions(consumer: Consumer) -> dict[TP, int]:
    """Where every open partition stands."""
    return {tp: slot.position for tp, slot in consumer._slots.items()}


def _fetch(start: int, count: int, size: int = 10) -> list[Record]:
    return [record(b"x" * size, offset=start + n, key=b"k") for n in range(count)]


class Bench:
    """A consumer without a broker: its slots, and what it delivered."""

    def __init__(self) -> None:
        self.delivered: list[Batch] = []
        self.committed: list[dict[TP, int]] = []
        self.stopped: list[int] = []
        self.fetched: dict[TP, int] = {}
        consumer: Any = object.__new__(Consumer)
        consumer._slots = {PLACE: Slot(7)}
        consumer._opening = {}
        consumer._owned = {PLACE}
        consumer._followed = set()
        consumer._group_offsets = {}
        consumer._bounds = LogBounds(KafkaLog())
        consumer.generation = 1
        consumer._is_assigned = True
        consumer.leaving = asyncio.Event()
        consumer._wake = asyncio.Event()
        consumer._landed = asyncio.Event()
        consumer._unacked_messages = set()
        consumer.app = mock.Mock(consumer_generation_id=1, in_flight=2)
        consumer.app.pace.rests.return_value = False
        self.work: set[TP] = set()
        consumer._has_work = self.work.__contains__
        consumer.highwater = mock.Mock(return_value=99)
        consumer.callback = self._deliver
        consumer._thread = SimpleNamespace(
            fetch_position=self.fetched.get,
            commit=self._commit,
            stop_fetching=lambda: self.stopped.append(consumer.generation),
        )
        self.consumer = consumer
        self.slot: Slot = consumer._slots[PLACE]

    async def _deliver(self, message: Any) -> None:
        self.delivered.append(message.value)

    async def _commit(self, offsets: dict[TP, int]) -> bool:
        self.committed.append(dict(offsets))
        return True

    async def fetch(self, start: int, count: int) -> None:
        self.slot.add(_fetch(start, count))
        await self.consumer.deliver()


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


def test_work_is_handed_over_without_records_until_it_is_done() -> None:
    """It counts as lag, and should move."""

    async def run() -> None:
        bench = Bench()
        bench.consumer.highwater = mock.Mock(return_value=0)
        bench.work.add(PLACE)
        await bench.fetch(7, 3)
        await bench.consumer.done(bench.delivered[0])
        assert bench.delivered[1] == Batch(PLACE, [], 10)
        await bench.consumer.commit()
        assert bench.consumer.progress() == {PLACE: Progress(10, True, 1)}
        bench.slot.add(_fetch(10, 1))
        await bench.consumer.done(bench.delivered[1])
        assert [r.offset for r in bench.delivered[2].records] == [10], "records come first"
        bench.work.clear()
        await bench.consumer.done(bench.delivered[2])
        assert len(bench.delivered) == 3
        await bench.consumer.commit()
        assert bench.committed == [{PLACE: 9}, {PLACE: 11}]
        assert bench.consumer.progress() == {PLACE: Progress(11, False, 3)}

    asyncio.run(run())


def test_work_that_rests_goes_on_afterwards() -> None:
    async def run() -> None:
        bench = Bench()
        consumer: Any = bench.consumer
        consumer.flow_active = True
        consumer._thread.getmany = mock.AsyncMock(return_value={})
        consumer.app.pace.rests.return_value = True
        bench.slot.has_work = True
        await consumer._drain_once()
        assert bench.delivered == []
        consumer.app.pace.rests.return_value = False
        await consumer._drain_once()
        assert bench.delivered == [Batch(PLACE, [], 7)]

    asyncio.run(run())


def test_partitions_take_turns() -> None:
    """Two batches are in flight; each that ends lets the one follow that has waited longest."""

    async def run() -> None:
        bench = Bench()
        consumer: Any = bench.consumer
        places = [TP("posts", n) for n in (3, 1, 4, 0)]
        for tp in places:
            consumer._slots[tp] = Slot(0)
            consumer._slots[tp].add(_fetch(0, 2))
            await consumer.deliver()
        assert [batch.tp for batch in bench.delivered] == places[:2]
        consumer._slots[places[0]].add(_fetch(2, 1))
        consumer._slots[places[2]].add(_fetch(2, 1))
        for batch in bench.delivered:
            await consumer.done(batch)
        assert [batch.tp for batch in bench.delivered] == [*places, places[0]]
        assert [len(batch.records) for batch in bench.delivered] == [2, 2, 3, 2, 1]

    asyncio.run(run())


def test_a_batch_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        bench = Bench()
        consumer: Any = bench.consumer
        consumer.flow_active = True
        consumer._thread.getmany = mock.AsyncMock(return_value={})
        for n in range(5):
            consumer._slots[TP("posts", n)] = Slot(0)
            consumer._slots[TP("posts", n)].add(_fetch(0, 2))
        await consumer._drain_once()
        assert len(bench.delivered) == 2
        monkeypatch.setattr(slots, "SLOW_SECONDS", -1.0)
        await consumer._drain_once()
        assert len(bench.delivered) == 5, "without an end of those that are in flight"

    asyncio.run(run())


def test_no_turns_of_the_loop_go_into_checks_of_acks() -> None:
    """One for each partition, each 2.5 commits, would hold up what comes meanwhile."""

    async def run() -> None:
        bench = Bench()
        consumer: Any = bench.consumer
        consumer.assignment = mock.Mock(return_value={PLACE})
        checking = consumer.verify_all_partitions_active()
        with pytest.raises(StopIteration):
            checking.send(None)

    asyncio.run(run())


def test_a_batch_of_a_partition_that_is_gone_ends_quietly() -> None:
    async def run() -> None:
        bench = Bench()
        await bench.fetch(10, 3)
        bench.consumer._slots.clear()
        await bench.consumer.done(bench.delivered[0])
        assert _positions(bench.consumer) == {}

    asyncio.run(run())


def test_the_group_is_told_positions_and_markers_only_when_idle() -> None:
    async def run() -> None:
        bench = Bench()
        await bench.fetch(10, 3)
        bench.fetched[PLACE] = 15
        await bench.consumer.commit()
        assert bench.committed == [{PLACE: 7}], "in flight: where the state stands"
        await bench.consumer.done(bench.delivered[0])
        bench.consumer._note_positions()
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


def test_a_fetch_under_way_is_stopped_before_anything_is_sought() -> None:
    """What it would take after that is dropped, and would never be read."""

    async def run() -> None:
        bench = Bench()
        consumer: Any = bench.consumer
        await consumer.wait_empty()
        assert bench.stopped == [2], "in the new generation, so that none begins again"
        consumer._owned.clear()
        consumer.app.owners = {}
        consumer.assignment = set
        consumer.assignor = SimpleNamespace(followed=frozenset())
        await consumer.perform_seek()
        assert bench.stopped == [2, 3]

    asyncio.run(run())


def test_a_batch_that_is_given_up_lets_the_rebalance_go_on() -> None:
    async def run() -> None:
        bench = Bench()
        await bench.fetch(10, 3)
        waiting = asyncio.create_task(bench.consumer.wait_empty())
        await asyncio.wait_for(bench.consumer.leaving.wait(), 1)
        bench.consumer.abandon(bench.delivered[0])
        await asyncio.wait_for(waiting, 1)
        assert bench.committed == [{PLACE: 7}], "it was not done"
        assert len(bench.delivered) == 1

    asyncio.run(run())


def test_a_partition_that_is_given_up_while_it_opens_is_not_read() -> None:
    async def run() -> None:
        bench = Bench()
        consumer: Any = bench.consumer
        consumer._slots.clear()
        consumer._owned.clear()
        consumer.app.owners = {
            PLACE.topic: mock.Mock(open=mock.AsyncMock(side_effect=LeavingError))
        }
        await consumer._open(PLACE, consumer.generation)
        assert consumer._slots == {}
        assert consumer._owned == set()
        consumer.app.fault.assert_not_called()

    asyncio.run(run())


class Owner:
    """A stage that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    async def open(self, partition: int) -> int:
        self.told.append(("open", partition))
        return 15

    async def follow(self, partition: int) -> None:
        self.told.append(("follow", partition))

    async def close(self, partition: int) -> None:
        self.told.append(("close", partition))


@pytest.mark.parametrize(
    ("assigned", "followed", "told"),
    [
        pytest.param({2}, set(), [("open", 2)], id="nothing changes"),
        pytest.param({2}, {4}, [("open", 2)], id="nor does what is followed"),
        pytest.param(set(), {2, 4}, [("follow", 2)], id="lost, and followed"),
        pytest.param(set(), {4}, [("close", 2)], id="lost"),
        pytest.param({2, 4}, set(), [("open", 2), ("open", 4)], id="taken over"),
        pytest.param({2}, {5}, [("close", 4), ("follow", 5), ("open", 2)], id="another's standby"),
        pytest.param({2}, {2, 4}, [("open", 2)], id="owned and followed is owned"),
    ],
)
def test_who_was_owned_or_followed_is_owned_followed_or_neither(
    assigned: set[int], followed: set[int], told: list[tuple[str, int]]
) -> None:
    """What was followed before is closed only when it is neither; partition 4 was followed."""

    async def run() -> None:
        consumer: Any = Bench().consumer
        owner = Owner()
        consumer._followed = {TP("posts", 4)} if followed != set() or 4 in assigned else set()
        consumer.app.owners = consumer.app.stages = {"posts": owner}
        consumer.app.consumer_generation_id = 3
        consumer.assignment = lambda: {TP("posts", number) for number in assigned}
        consumer.assignor = SimpleNamespace(
            followed=frozenset({*(TP("posts", number) for number in followed), TP("other", 1)})
        )
        consumer._thread.seek_wait = mock.AsyncMock()
        await consumer.perform_seek()
        await asyncio.gather(*consumer._opening.values())
        assert sorted(owner.told) == sorted(told)
        claims = consumer._claims()
        assert claims.generation == 3
        assert claims.owned == ({"posts": sorted(assigned)} if assigned else {})
        follows = sorted(followed - assigned)
        assert claims.followed == ({"posts": follows} if follows else {})

    asyncio.run(run())


@pytest.mark.parametrize(
    ("assigned", "followed", "last"),
    [
        pytest.param({2}, set(), ("open", 2), id="assigned again"),
        pytest.param(set(), {2}, ("follow", 2), id="followed then"),
        pytest.param(set(), set(), ("close", 2), id="lost then"),
    ],
)
def test_a_partition_is_opened_by_one_at_a_time(
    assigned: set[int], followed: set[int], last: tuple[str, int]
) -> None:
    """A rebalance comes while a partition is still being opened for the one before."""

    async def run() -> None:
        consumer: Any = Bench().consumer
        consumer._thread.seek_wait = mock.AsyncMock()
        consumer._thread.commit = mock.AsyncMock(return_value=True)
        consumer._owned.clear()
        consumer._slots.clear()
        owner, may_open = Owner(), asyncio.Event()

        async def open_slowly(partition: int) -> int:
            owner.told.append(("begin", partition))
            await may_open.wait()
            return await Owner.open(owner, partition)

        owner.open = open_slowly  # type: ignore[method-assign]
        consumer.app.owners = consumer.app.stages = {"posts": owner}
        consumer.assignor = SimpleNamespace(followed=frozenset())
        consumer.assignment = lambda: {PLACE}
        await consumer.perform_seek()
        await asyncio.sleep(0)
        consumer.assignment = lambda: {TP("posts", number) for number in assigned}
        consumer.assignor.followed = frozenset(TP("posts", number) for number in followed)
        again = asyncio.create_task(consumer.perform_seek())
        await asyncio.sleep(0.01)
        assert owner.told == [("begin", 2)]
        assert consumer.opening == [PLACE]
        may_open.set()
        await again
        await asyncio.gather(*consumer._opening.values())
        assert consumer.opening == []
        assert owner.told[1] == ("open", 2)
        assert owner.told[-1] == last
        assert consumer._owned == {TP("posts", number) for number in assigned}
        assert consumer._followed == {TP("posts", number) for number in followed}
        assert consumer.is_ready
        assert _positions(consumer) == {TP("posts", number): 15 for number in assigned}

    asyncio.run(run())


def test_who_gets_nothing_lets_go_of_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust seeks only where something is assigned."""

    async def run() -> None:
        consumer: Any = Bench().consumer
        owner = Owner()
        consumer.app.owners = consumer.app.stages = {"posts": owner}
        consumer.app.consumer_generation_id = 3
        consumer.assignment = set
        consumer.assignor = SimpleNamespace(followed=frozenset())
        await consumer.on_partitions_assigned(set(), 3)
        assert owner.told == [("close", 2)]
        assert consumer._claims() == Claims(3)

    monkeypatch.setattr(transport.stock.Consumer, "on_partitions_assigned", mock.AsyncMock())
    asyncio.run(run())


def test_the_end_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        bench = Bench()
        consumer: Any = bench.consumer
        owner = mock.Mock(close=mock.AsyncMock())
        consumer.app.owners = {PLACE.topic: owner}
        consumer.transport = mock.Mock()
        await bench.fetch(10, 3)
        await asyncio.wait_for(consumer.finish(), 1)
        assert bench.committed == [{PLACE: 7}]
        await asyncio.wait_for(consumer.on_stop(), 0.04)
        owner.close.assert_awaited_once_with(PLACE.partition)

    monkeypatch.setattr(transport, "FINISH_SECONDS", 0.05)
    monkeypatch.setattr(transport, "log", mock.Mock())
    asyncio.run(run())


@pytest.mark.parametrize(
    ("end", "lag"),
    [
        pytest.param(None, 0, id="an end that is not known"),
        pytest.param(14, 0, id="behind an end that was told before"),
        pytest.param(15, 0, id="at the end"),
        pytest.param(18, 3, id="the log goes on"),
    ],
)
def test_progress(end: int | None, lag: int) -> None:
    bench = Bench()
    bench.slot.reached = 15
    bench.consumer.highwater = mock.Mock(return_value=end)
    assert bench.consumer.progress() == {PLACE: Progress(15, lag > 0, lag=lag)}


def test_progress_of_what_a_rebalance_takes_away_meanwhile_is_left_out() -> None:
    """Whoever asks from another thread must not fail; aiokafka asserts that it is assigned."""
    bench = Bench()
    other = TP("posts", 6)
    bench.consumer._slots[other] = Slot(3)

    def highwater(tp: TP) -> int:
        assert tp == other, "Partition is not assigned"
        return 3

    bench.consumer.highwater = highwater
    assert bench.consumer.progress() == {other: Progress(3, False)}


def test_what_waits_should_move() -> None:
    bench = Bench()
    bench.consumer.highwater = mock.Mock(return_value=0)
    bench.slot.add(_fetch(7, 1))
    assert bench.consumer.progress() == {PLACE: Progress(7, True)}
    bench.slot.take()
    assert bench.consumer.progress() == {PLACE: Progress(7, True)}
    bench.slot.land(8)
    assert bench.consumer.progress() == {PLACE: Progress(8, False, 1)}


def test_a_batch_moves_part_by_part() -> None:
    bench = Bench()
    bench.consumer.highwater = mock.Mock(return_value=0)
    bench.slot.add(_fetch(7, 4))
    bench.slot.take()
    bench.consumer.moved(PLACE, 9)
    assert bench.consumer.progress() == {PLACE: Progress(9, True, 1)}
    bench.consumer.moved(TP("posts", 6), 9)
    assert list(bench.consumer.progress()) == [PLACE], "a partition that is gone"


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


@pytest.mark.parametrize(("position", "start"), [(12, 12), (None, 10)])
def test_a_partition_is_read_from_where_its_owner_stands(position: int | None, start: int) -> None:
    """And not from where the group's offsets stand."""

    async def run() -> None:
        consumer: Any = Bench().consumer
        consumer._slots = {}
        sought: list[dict[TP, int]] = []

        async def seek(positions: dict[TP, int]) -> None:
            sought.append(positions)

        async def commit(_offsets: dict[TP, int]) -> bool:
            return True

        consumer._thread.seek_wait, consumer._thread.commit = seek, commit
        owner = mock.Mock(open=mock.AsyncMock(return_value=position))
        consumer.app.owners = {"posts": owner}
        consumer._has_work = {PLACE}.__contains__
        await consumer._open(PLACE, 1)
        assert consumer._slots[PLACE].has_work, "as its owner has restored it"
        owner.open.assert_awaited_once_with(2)
        assert sought == [{PLACE: start}]
        assert _positions(consumer) == {PLACE: start}

    asyncio.run(run())


# What the transport asks of Kafka


def test_a_partition_is_read_from_where_its_owner_stands_not_from_the_groups_offset() -> None:
    async def run() -> None:
        bench = Bench()
        consumer: Any = bench.consumer
        consumer._slots.clear()
        consumer._group_offsets = {PLACE: 3}
        consumer.app.owners = {PLACE.topic: mock.Mock(open=mock.AsyncMock(return_value=15))}
        sought = mock.AsyncMock()
        consumer._thread = SimpleNamespace(
            seek_wait=sought,
            commit=bench._commit,
        )
        await consumer._open(PLACE, consumer.generation)
        sought.assert_awaited_once_with({PLACE: 15})
        assert _positions(consumer) == {PLACE: 15}
        assert not consumer.has_caught_up(PLACE), "the log ends behind it"
        consumer.moved(PLACE, consumer._slots[PLACE].first_end)
        assert consumer.has_caught_up(PLACE)
        consumer._slots.clear()
        assert not consumer.has_caught_up(PLACE), "it is another's"

    asyncio.run(run())


def test_a_fetch_asks_for_what_the_slots_want(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full slot is left out and its neighbour read; what came is delivered at once."""

    async def run() -> None:
        bench = Bench()
        consumer: Any = bench.consumer
        other = TP("posts", 3)
        consumer._slots[other] = Slot(0)
        consumer.flow_active = True
        consumer.app.owners = {}
        bench.slot.add(_fetch(7, 20))
        bench.slot.take()
        bench.slot.add(_fetch(27, 20))
        getmany = mock.AsyncMock(return_value={other: _fetch(0, 2)})
        consumer._thread.getmany = getmany
        await consumer._drain_once()
        assert getmany.await_args.args == ({other},)
        assert [batch.tp for batch in bench.delivered] == [other]

    monkeypatch.setattr(slots, "PENDING_BYTES", 100)
    asyncio.run(run())


@pytest.mark.parametrize(
    ("position", "is_refused"),
    [
        pytest.param(12, False, id="where the last fetch ended, behind a commit marker"),
        pytest.param(None, False, id="no position, as while partitions are dealt out"),
        pytest.param(13, True, id="a record was dropped"),
        pytest.param(11, True, id="a record would come twice"),
    ],
)
def test_a_fetch_begins_where_the_last_one_ended(position: int | None, is_refused: bool) -> None:
    async def run() -> None:
        bench = Bench()
        consumer: Any = bench.consumer
        consumer.flow_active = True
        bench.fetched[PLACE] = 7

        async def getmany(*_: object, **__: object) -> dict[TP, list[Record]]:
            bench.fetched[PLACE] = 12
            return {PLACE: _fetch(7, 4)}

        consumer._thread.getmany = getmany
        await consumer._drain_once()
        assert len(bench.delivered) == 1
        if position is None:
            del bench.fetched[PLACE]
        else:
            bench.fetched[PLACE] = position
        consumer._thread.getmany = mock.AsyncMock(return_value={})
        if is_refused:
            with pytest.raises(PositionError, match=f"read on from {position}, and was read to 12"):
                await consumer._drain_once()
            consumer._thread.getmany.assert_not_awaited()
        else:
            await consumer._drain_once()
            consumer._thread.getmany.assert_awaited_once()

    asyncio.run(run())
