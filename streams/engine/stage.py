"""A stage: reads one topic, folds it partition by partition, and checkpoints each batch."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Self

import msgspec
import structlog
from confluent_kafka import Producer
from faust.types import TP
from opentelemetry.trace import SpanKind

from connectors.batch import Batch
from connectors.owner import LeavingError
from connectors.records import Record
from connectors.rocksdb import LocalStateDamagedError, LocalStateError
from connectors.tracing import Tracing
from schemas.codec import UndecodableError
from schemas.dead_letters import CODES, FOLD_FAILED
from schemas.topics import Topic
from streams.engine.checkpoint import checkpoint, transactional_producer
from streams.engine.dead_letters import dead_letter
from streams.engine.hottest import Hottest
from streams.engine.outbox import Output
from streams.engine.pace import Pace
from streams.engine.records import RejectedError
from streams.engine.replica import MakeFold, Replica
from streams.engine.restore import Ends, Progress, restore
from streams.engine.rows import OpenRows, in_memory
from streams.engine.spans import Apply, Spans
from streams.engine.standby import Follower, Following
from streams.engine.translator import Translator

log = structlog.get_logger(__name__)

MAX_DELIVERIES_PER_CHECKPOINT = 20_000
WORK_PER_CHECKPOINT = 5_000
MAX_BACKLOG = 10_000
_ANYONE = nullcontext()

Letter = tuple[str, Output]
"""A dead letter with its code."""


class _FoldFailedError(Exception):
    """A fold raised in the middle of a record: what it had changed must be taken back."""

    def __init__(self, index: int, error: Exception) -> None:
        super().__init__(str(error))
        self.index = index
        self.error = error


class StageStats(msgspec.Struct):
    """What a stage did since the process started; dead letters by their codes."""

    dead_letters: Counter[str]
    records: int = 0
    batches: int = 0
    outputs: int = 0
    deliveries: int = 0
    restored_rows: int = 0
    checkpoint_seconds: float = 0.0

    @classmethod
    def of(cls, codes: Iterable[str]) -> Self:
        """Nothing done yet, and no letter of these codes: a counter that first appears with its
        first letter does not rise in the eyes of Prometheus."""
        return cls(Counter(dict.fromkeys(codes, 0)))


class _Owned:
    """One partition that this process owns: its replica and its producer.

    It is followed until the former owner is fenced; what is left to be restored then is what
    that one committed in the last moments.
    """

    def __init__(self, stage: Stage, partition: int) -> None:
        self._stage = stage
        self.partition = partition
        self.producer: Producer = transactional_producer(
            stage.brokers, stage.app_id, stage.topic, partition, stage.partitions
        )
        self.replica = stage.follower.leave(stage.tp(partition)) or stage.replica(partition)
        self.state = self.replica.state
        self.outbox = self.replica.outbox
        self.fold = self.replica.fold
        self.apply: Apply = self.fold.apply
        self.restore()

    def restore(self) -> None:
        """Bring the state to the end of its changelog."""
        stage = self._stage
        progress = stage.restores[self.partition] = Progress()
        restore(stage.ends, stage.topic, self.partition, self.state, progress)
        stage.stats.restored_rows += progress.rows

    def rebuild(self, why: str) -> None:
        """Discard the state, and restore all of it. Between two transactions only: nobody else
        adds to the changelog, or the next commit is fenced."""
        self.state.rollback()
        self.outbox.clear()
        self.state.discard(why)
        self.restore()


class Stage:
    """Runs a fold over the partitions of one topic that this process owns.

    Folding and committing run in threads of `pool`: one batch of a partition at a time,
    partitions beside each other. With a lock as `turn`, one folds at a time: the interpreter
    lets no more than one run anyway, and rows stay in the processor's cache (4 % faster).

    A batch with many deliveries takes several checkpoints: `moved` is told of each, and none begins
    while `leaving` is set, when partitions may go to another worker. What the fold has put off goes
    on at a `pace`. With a `translator` the ids in records are those of a schema registry. Once
    `tracing` has begun, what comes of a record is part of its trace, but for what is put off.
    """

    def __init__(
        self,
        topic: Topic,
        make_fold: MakeFold,
        *,
        app_id: str,
        brokers: str,
        partitions: int,
        pool: ThreadPoolExecutor,
        open_rows: OpenRows = in_memory,
        turn: AbstractContextManager[Any] = _ANYONE,
        follower: Follower | None = None,
        ends: Ends | None = None,
        leaving: Callable[[], asyncio.Event] = asyncio.Event,
        moved: Callable[[TP, int], None] = lambda *_: None,
        pace: Pace | None = None,
        translator: Translator | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.topic = topic
        self.make_fold = make_fold
        self.app_id = app_id
        self.brokers = brokers
        self.partitions = partitions
        self.open_rows = open_rows
        self._turn = turn
        self.follower = follower or Follower(brokers)
        self.ends = ends or Ends(brokers)
        self._leaving = leaving
        self._moved = moved
        self._pace = pace or Pace(dict)
        self._translator = translator
        self.stats = StageStats.of(CODES)
        self.hottest = Hottest()
        self._spans = Spans(
            tracing or Tracing(),
            f"process {topic}",
            SpanKind.CONSUMER,
            **{"messaging.operation.type": "process", "messaging.destination.name": topic.value},
        )
        self.restores: dict[int, Progress] = {}
        self.queued: set[int] = set()
        self._pool = pool
        self._owned: dict[int, _Owned] = {}

    @property
    def owned(self) -> list[int]:
        """The partitions that this process owns."""
        return sorted(self._owned)

    @property
    def followed(self) -> dict[int, Following]:
        """The partitions that this process is standby of."""
        progress = self.follower.progress()
        return {tp.partition: each for tp, each in progress.items() if tp.topic == self.topic}

    def tp(self, partition: int) -> TP:
        """A partition of the stage's topic."""
        return TP(self.topic.value, partition)

    def replica(self, partition: int) -> Replica:
        """A replica of a partition, with the rows that are there."""
        return Replica(self.open_rows(self.topic, partition), self.make_fold, self.partitions)

    def has_work(self, partition: int) -> bool:
        """Whether the fold of an owned partition has put something off."""
        owned = self._owned.get(partition)
        return owned is not None and owned.fold.backlog > 0

    async def open(self, partition: int) -> int | None:
        """Fence the former owner, restore the state; the position it stands at, if any.

        Raises:
            LeavingError: the partition may be another's before it was this one's.
        """
        owned = self._owned.get(partition)
        if owned is None:
            loop = asyncio.get_running_loop()
            self.queued.add(partition)
            owned = await loop.run_in_executor(self._pool, self._take_over, partition)
            self._owned[partition] = owned
            log.info(
                "partition opened",
                topic=self.topic.value,
                partition=partition,
                position=owned.state.position,
            )
        return owned.state.position

    def _take_over(self, partition: int) -> _Owned:
        self.queued.discard(partition)
        if self._leaving().is_set():  # it waited for a thread, and would fence who has it by now
            raise LeavingError
        return _Owned(self, partition)

    async def follow(self, partition: int) -> None:
        """Be a partition's standby from now on; one that was owned keeps its rows."""
        owned = self._owned.pop(partition, None)
        self.restores.pop(partition, None)
        await self._to_the_end(
            self.follower.follow,
            self.tp(partition),
            partial(self.replica, partition),
            None if owned is None else owned.replica,
        )

    async def close(self, partition: int) -> None:
        """Let a partition go."""
        owned = self._owned.pop(partition, None)
        self.restores.pop(partition, None)
        await self._to_the_end(self._let_go, partition, owned)

    async def _to_the_end(self, function: Callable[..., None], *arguments: Any) -> None:
        """Run in a thread, also when who waits for it no longer does."""
        loop = asyncio.get_running_loop()
        await asyncio.shield(loop.run_in_executor(self._pool, function, *arguments))

    def _let_go(self, partition: int, owned: _Owned | None) -> None:
        replica = self.follower.leave(self.tp(partition)) if owned is None else owned.replica
        if replica is not None:
            replica.state.close()

    async def process(self, batch: Batch) -> None:
        """Fold a batch and checkpoint it; returns when it is durable.

        Raises:
            LeavingError: a part of it is, or nothing, and the partition may be another's now.
        """
        if self._translator is not None:
            translations = await self._translator.of(batch)
            self._owned[batch.tp.partition].fold.translate_by(translations)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, self._process, batch)

    def rows(self) -> dict[str, int]:
        """Rows per table, over the owned partitions."""
        total: dict[str, int] = {}
        for owned in self._owned.values():
            for table, size in owned.state.sizes().items():
                total[table] = total.get(table, 0) + size
        return total

    def _process(self, batch: Batch) -> None:
        owned = self._owned[batch.tp.partition]
        try:
            self._advance(owned, batch)
        except LocalStateDamagedError as damage:
            owned.rebuild(str(damage))
            self._advance(owned, batch)
        self.stats.batches += 1

    def _advance(self, owned: _Owned, batch: Batch) -> None:
        """Fold and checkpoint what of a batch is not below the position yet; a batch without
        records is for what waits. Each checkpoint begins with a piece of that."""
        position = owned.state.position or 0
        records = batch.records
        if records and records[0].offset < position:
            records = [record for record in records if record.offset >= position]
        if not records and (batch.records or not owned.fold.backlog):
            return
        spans = self._spans.of(batch)
        apply = owned.fold.apply
        owned.apply = apply if spans is None else spans.applying(apply, owned.outbox)
        start = 0
        while True:
            with self._turn:
                is_full = owned.fold.backlog > MAX_BACKLOG
                deliveries = self._work(owned, is_full)
                stop = start if is_full else self._fold(owned, records, start)
            next_offset = records[stop].offset if stop < len(records) else batch.next_offset
            self._checkpoint(owned, next_offset)
            if deliveries:
                self._pace.worked(deliveries)
            if stop > start:
                self._pace.met_others()
            if spans is not None:
                spans.durable(next_offset)
            self._moved(batch.tp, next_offset)
            self.stats.records += stop - start
            self.hottest.note_records(records, start, stop)
            if stop == len(records):
                return
            if self._leaving().is_set():
                raise LeavingError
            start = stop

    def _work(self, owned: _Owned, is_full: bool) -> int:
        """Go on with what waits; the deliveries that come of it. While too much waits, no more is
        taken on, and the sinks are not waited for."""
        may_work = owned.fold.backlog and (is_full or not self._pace.rests())
        owned.fold.work(WORK_PER_CHECKPOINT if may_work else 0)
        return owned.outbox.deliveries

    def _checkpoint(self, owned: _Owned, position: int) -> None:
        began = time.perf_counter()
        outputs = list(owned.outbox.outputs())
        checkpoint(owned.producer, self.topic, owned.partition, owned.state, outputs, position)
        self.stats.outputs += len(outputs)
        self.stats.deliveries += owned.outbox.deliveries
        self.hottest.note_deliveries(owned.outbox.operations)
        owned.outbox.clear()
        self.stats.checkpoint_seconds += time.perf_counter() - began

    def _fold(self, owned: _Owned, records: list[Record], start: int) -> int:
        """Fold records from `start` on until all are in or enough deliveries wait; the index
        behind the last. What is refused goes to the dead letters.

        A record whose fold fails ends what is folded together: what was before it is folded once
        more, without it, and it comes first the next time. So no record is folded more than twice.
        """
        letters: dict[int, Letter] = {}
        end = len(records)
        while True:
            try:
                stop = self._fold_until_full(owned, records, start, end, letters)
                break
            except _FoldFailedError as failed:
                owned.state.rollback()
                owned.outbox.clear()
                if len(letters) < failed.index - start:
                    end = failed.index
                else:  # nothing good was before it
                    letters[failed.index] = self._letter(owned, records[failed.index], failed.error)
        for index, (code, letter) in letters.items():
            if index < stop:
                owned.outbox.add(letter)
                self.stats.dead_letters[code] += 1
        return stop

    def _fold_until_full(
        self,
        owned: _Owned,
        records: list[Record],
        start: int,
        end: int,
        letters: dict[int, Letter],
    ) -> int:
        apply = owned.apply
        outbox = owned.outbox
        for index in range(start, end):
            if index in letters:
                continue
            try:
                apply(records[index])
            except (RejectedError, UndecodableError) as refusal:
                letters[index] = self._letter(owned, records[index], refusal)
            except LocalStateError:
                raise
            except Exception as error:
                raise _FoldFailedError(index, error) from error
            if outbox.deliveries >= MAX_DELIVERIES_PER_CHECKPOINT:
                return index + 1
        return end

    def _letter(self, owned: _Owned, record: Record, error: Exception) -> Letter:
        code = error.code if isinstance(error, RejectedError | UndecodableError) else FOLD_FAILED
        tp = TP(self.topic, owned.partition)
        return code, dead_letter(tp, record, code, error, f"{self.app_id}/{self.topic}")
