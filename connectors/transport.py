"""A Faust transport whose consumer hands over what it fetched of a partition as one event.

Faust's own consumer makes a task and a wait for each message, which bounds it to some 18,000
messages a second. Here the event of a stream is a `Batch`: all records of one partition that
one fetch brought. The consumer keeps its own positions: at most one batch of a partition is in
flight, an agent acknowledges by `Consumer.done`, and a partition is read from where its owner
says that its state stands, never from the group's offsets. Those only follow, for lag tools.

Register it by the broker URL `batch://host:port` (entry point `faust.transports`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import structlog
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as stock
from faust.types import TP

from connectors.assignor import StandbyAssignor, by_topic
from connectors.batch import Batch, message_of
from connectors.consumer_thread import ConsumerThread
from connectors.deal import Claims
from connectors.kafka import for_aiokafka
from connectors.log_bounds import LogBounds, PositionError
from connectors.owner import LeavingError, PartitionOwner, StatefulOwner
from connectors.records import Record
from connectors.slots import Slot, due, wanted

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.1
FINISH_SECONDS = 5.0  # for the batches in flight when the app stops


class Progress(NamedTuple):
    """Where a partition stands, and whether it should move: a batch is in flight or waits, the
    log goes on, or its owner has work. `steps` counts what became durable; `lag` are the offsets
    between the position and the end of the log, as the last fetch told it."""

    position: int
    is_busy: bool
    steps: int = 0
    lag: int = 0


class Consumer(stock.Consumer):  # type: ignore[misc]
    """Delivers a `Batch` per event and moves on when told that it is done."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.assignor = StandbyAssignor(self._claims, self.stages, self.app.settings.standbys)
        self._bounds = LogBounds(self._thread)
        self._slots: dict[TP, Slot] = {}
        self._opening: dict[TP, asyncio.Task[None]] = {}
        self._owned: set[TP] = set()
        self._followed: set[TP] = set()
        self._group_offsets: dict[TP, int] = {}
        self._wake = asyncio.Event()
        self._landed = asyncio.Event()
        self.generation = 0
        self._is_assigned = False
        self.leaving = asyncio.Event()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def owners(self) -> Mapping[str, PartitionOwner]:
        owners: Mapping[str, PartitionOwner] = self.app.owners
        return owners

    @property
    def stages(self) -> Mapping[str, StatefulOwner]:
        stages: Mapping[str, StatefulOwner] = self.app.stages
        return stages

    def _claims(self) -> Claims:
        generation: int = self.app.consumer_generation_id
        return Claims(generation, by_topic(self._owned), by_topic(self._followed))

    async def done(self, batch: Batch) -> None:
        """The batch's outputs, state and position are durable: the next one may come."""
        slot = self._slots.get(batch.tp)
        if slot is None:
            return
        slot.land(batch.next_offset)
        slot.has_work = self._has_work(batch.tp)
        self._landed.set()
        await self.deliver()
        self._wake.set()

    def moved(self, tp: TP, position: int) -> None:
        """A part of the batch in flight is durable, up to a position."""
        if slot := self._slots.get(tp):
            slot.move(position)

    def has_caught_up(self, tp: TP) -> bool:
        """Whether all of a partition is durable that its log held when it was opened."""
        slot = self._slots.get(tp)
        return slot is not None and slot.has_caught_up

    def abandon(self, batch: Batch) -> None:
        """The batch was given up while `leaving`: whoever gets the partition reads it again."""
        if slot := self._slots.get(batch.tp):
            slot.land(None)
            self._landed.set()

    def ack(self, message: Any) -> bool:
        """A stream acknowledges when its body returns; here that says nothing (see `done`)."""
        self._unacked_messages.discard(message)
        message.acked = True
        return True

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Take over, also when nothing is assigned: then Faust does not call `perform_seek`."""
        await super().on_partitions_assigned(assigned, generation_id)
        if not assigned:
            await self.perform_seek()

    async def perform_seek(self) -> None:
        """Take over what is assigned; each partition is read once its owner has opened it.

        Faust may call it again before an earlier call has ended, or give up waiting for it.
        """
        self._begin_generation()
        self.leaving.clear()
        assigned = {tp for tp in self.assignment() if tp.topic in self.owners}
        followed = {tp for tp in self.assignor.followed if tp.topic in self.stages} - assigned
        for tp in assigned:
            opening = self._open(tp, self.generation, self._opening.get(tp))
            self._opening[tp] = asyncio.create_task(opening)
        self._followed -= assigned
        self._is_assigned = True
        await self._let_go(assigned, followed)

    def _begin_generation(self) -> None:
        """What is fetched under way is dropped: nothing may be taken from the log after a seek of
        the next generation, or it would be skipped."""
        self.generation += 1
        self._thread.stop_fetching()

    async def _let_go(self, assigned: set[TP], followed: set[TP]) -> None:
        """Follow, or close, what was opened and is not assigned; follow what is to be followed."""
        late = [task for tp, task in self._opening.items() if tp not in assigned]
        if late:
            await asyncio.wait(late)
        for tp in (self._owned | self._followed) - assigned - followed:
            await self.owners[tp.topic].close(tp.partition)
            self._owned.discard(tp)
            self._followed.discard(tp)
        for tp in followed - self._followed:
            await self.stages[tp.topic].follow(tp.partition)
            self._owned.discard(tp)
            self._followed.add(tp)

    async def _open(
        self, tp: TP, generation: int, earlier: asyncio.Task[None] | None = None
    ) -> None:
        """Open a partition, once an earlier task that does so has ended."""
        try:
            if earlier is not None:
                await asyncio.wait([earlier])
            position = await self.owners[tp.topic].open(tp.partition)
            self._owned.add(tp)
            start, end = await self._bounds.within(tp, position)
            if generation != self.generation:
                return
            await self._thread.seek_wait({tp: start})
            slot = self._slots[tp] = Slot(start, end, self.app.linger_seconds)
            slot.has_work = self._has_work(tp)
            self._wake.set()
        except LeavingError:
            return
        except Exception as error:
            await self.app.fault(error)
            raise
        finally:
            if self._opening.get(tp) is asyncio.current_task():
                del self._opening[tp]
        if not self._opening:
            await self.commit()

    def _has_work(self, tp: TP) -> bool:
        return self.owners[tp.topic].has_work(tp.partition)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let what is in flight finish, then forget the slots; owners keep what comes back."""
        await self._quiesce()
        self._slots.clear()
        self._group_offsets.clear()
        await super().on_partitions_revoked(revoked)

    async def _quiesce(self) -> None:
        self._begin_generation()
        self._is_assigned = False
        self.leaving.set()
        for task in list(self._opening.values()):
            await asyncio.wait([task])
        for slot in self._slots.values():
            slot.clear()
        while any(slot.in_flight for slot in self._slots.values()):
            self._landed.clear()
            await self._landed.wait()
        await self.commit()

    async def wait_empty(self) -> None:
        """Wait for the batches in flight, and say to the group where they ended."""
        await self._quiesce()

    async def finish(self) -> None:
        """Deliver nothing more, wait for what is in flight, and say to the group where it ended.

        Batches that take longer than `FINISH_SECONDS` are left to who gets their partitions.
        """
        try:
            await asyncio.wait_for(self._quiesce(), FINISH_SECONDS)
        except TimeoutError:
            left = [tp for tp, slot in self._slots.items() if slot.in_flight]
            log.warning("batches did not finish in time", partitions=len(left))
            await self.commit()
        self._slots.clear()

    async def on_stop(self) -> None:
        """Let all partitions go."""
        await self.finish()
        for tp in self._owned | self._followed:
            await self.owners[tp.topic].close(tp.partition)
        self._owned.clear()
        self._followed.clear()
        self.transport._topic_waiters.clear()

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002  (the stock signature)
        """Tell the group where the positions stand: for lag tools, never read back. Work that waits
        is lag: then one record less is said to be done."""
        offsets: dict[TP, int] = {}
        for tp, slot in self._slots.items():
            reached = max(slot.position, slot.reached) if slot.is_idle else slot.position
            if slot.has_work:
                reached = max(0, slot.position - 1)
            if reached != self._group_offsets.get(tp):
                offsets[tp] = reached
        if not offsets or not await self._thread.commit(offsets):
            return False
        self._group_offsets.update(offsets)
        self.app.monitor.on_tp_commit(offsets)
        return True

    def progress(self) -> dict[TP, Progress]:
        """Where every open partition stands; may be called from another thread."""
        found = {}
        for tp, slot in list(self._slots.items()):
            at = max(slot.position, slot.reached)
            try:
                lag = max(0, (self.highwater(tp) or 0) - at)
            except AssertionError:  # aiokafka's: a rebalance has taken it away since
                continue
            found[tp] = Progress(at, lag > 0 or not slot.is_idle, slot.steps, lag)
        return found

    @property
    def opening(self) -> list[TP]:
        """The partitions that are not open yet; may be called from another thread."""
        return list(self._opening)

    @property
    def is_ready(self) -> bool:
        """Whether partitions were assigned and all are restored and being read."""
        return self._is_assigned and not self._opening and self._slots.keys() == self._owned

    async def verify_all_partitions_active(self) -> None:
        """The stock check of liveness looks at acks, which are not used here; it goes through all
        partitions by turns of the event loop, 2.5 commits apart."""

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                await self._drain_once()
        except ConsumerStoppedError:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise

    async def _drain_once(self) -> None:
        await self._fetch()
        await self.deliver()

    async def _fetch(self) -> None:
        to_fetch = wanted(self._slots)
        if not to_fetch or not self.flow_active or not self._is_assigned:
            self._wake.clear()
            await self._wait_for_wake()
            return
        generation = self.generation
        self._check_positions(to_fetch)
        fetched = await self._thread.getmany(to_fetch, timeout=POLL_SECONDS)
        if generation != self.generation:
            return
        for topic_partition, records in (fetched or {}).items():
            tp = TP(topic_partition.topic, topic_partition.partition)
            slot = self._slots.get(tp)
            if slot is None or not records:
                continue
            slot.add(records)
        self._note_positions()

    def _check_positions(self, to_fetch: set[TP]) -> None:
        """Before a fetch: each partition is read on where the last fetch ended, or its seek.

        Raises:
            PositionError: it is not. The records between are read after a restart, or are said to
                be gone.
        """
        for tp in to_fetch:
            position, end = self._thread.fetch_position(tp), self._slots[tp].fetched_to
            if position is not None and position != end:
                raise PositionError(
                    f"{tp.topic}/{tp.partition} would be read on from {position}, and was read to "
                    f"{end}: records between were dropped, or deleted before they were read"
                )

    def _note_positions(self) -> None:
        """After a fetch: where it ended, behind commit markers too."""
        for tp, slot in self._slots.items():
            position = self._thread.fetch_position(tp)
            if position is not None:
                slot.fetched_to = position
                if slot.is_empty:
                    slot.reached = position

    async def _wait_for_wake(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
        except TimeoutError:
            return

    async def deliver(self) -> None:
        """Hand over what is due."""
        app = self.app
        while self._is_assigned and (tp := due(self._slots, app.in_flight, rests=app.pace.rests())):
            slot = self._slots[tp]
            await self._hand_over(tp, slot.take(), slot.position)

    async def _hand_over(self, tp: TP, records: list[Record], position: int) -> None:
        batch = Batch(tp, records, records[-1].offset + 1 if records else position)
        self.app.monitor.track_tp_end_offset(tp, self.highwater(tp) or batch.next_offset)
        await self.callback(message_of(batch, self.app.consumer_generation_id))


class Producer(stock.Producer):  # type: ignore[misc]
    """Faust's own, which it starts; nothing here writes by it."""

    def _settings_auth(self) -> Mapping[str, Any]:
        return for_aiokafka()


class Transport(stock.Transport):  # type: ignore[misc]
    """The `batch://` transport."""

    Consumer = Consumer
    Producer = Producer
    default_port = 9092


def broker_url(brokers: str) -> str:
    """The setting `broker` of a Faust app for brokers as `host:port,host:port`."""
    return ";".join(f"batch://{broker.strip()}" for broker in _split(brokers))


def _split(brokers: str) -> Iterable[str]:
    return brokers.split(",")
