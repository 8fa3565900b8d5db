"""A sink: writes one topic into a store, at least once, in log order.

The store keeps, beside what is written, the position that it stands at. A sink resumes from
there, not from the group's offsets: a store that lost writes gets them again, an empty one is
filled from the beginning. Nothing is written before it is committed in Kafka.

A store that cannot be reached is waited for: the part of a batch that is in flight is tried again
until it is written, and its partition's slot holds back what comes after the batch. A store that no
longer has what it confirmed is found out by the next write, or within `CHECK_SECONDS`.

Who reads a store that is being filled must not take what is not there yet for what does not exist:
so a store is told of each partition, within `FILL_SECONDS`, when all is written that the log held
when the partition was opened.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
import structlog
from faust.types import TP
from opentelemetry.trace import SpanKind

from connectors.batch import Batch
from connectors.failpoints import reach
from connectors.owner import LeavingError
from connectors.tracing import Tracing
from schemas.dead_letters import NOT_DECODABLE
from schemas.topics import Topic
from schemas.views import decode_view
from streams.engine.ages import Ages
from streams.engine.dead_letters import Mailer, dead_letter
from streams.engine.hottest import Hottest
from streams.engine.outage import Outage, Place, pause_before
from streams.engine.restore import Progress
from streams.engine.spans import Spans
from streams.engine.stage import StageStats

log = structlog.get_logger(__name__)

CHECK_SECONDS = 2.0
FILL_SECONDS = 0.2

Result = TypeVar("Result")


class Write(NamedTuple):
    """A record for a store, with what its value says; a None value is a deletion, which says
    nothing."""

    offset: int
    key: bytes | None
    value: bytes | None
    view: Any = None


class Store(Protocol):
    """Where a sink writes. Called from several threads, one at a time per partition.

    What a store raises may be passing (see `Reach`): then the same call is made again.
    """

    def open(self, topic: Topic, partition: int) -> int | None:
        """Take a partition over; the offset that its next write has, None when nothing was
        written.

        Raises:
            ForeignStoreError: what was written is of another log.
        """

    def write(self, topic: Topic, partition: int, writes: Sequence[Write], position: int) -> None:
        """Apply writes in order, and then set the position; returns once confirmed.

        Raises an error that does not pass when the position is not where it was left; nothing
        was applied then.
        """

    def check(self, topic: Topic, partition: int) -> None:
        """See whether the position is where it was left; raises as `write` does."""

    def fill(self, topic: Topic, partition: int) -> None:
        """All is written that the log held when the partition was opened; raises as `write`
        does."""


class Reach:
    """How an app reaches a store: makes it when it is first asked for, once, whichever thread
    asks, and knows which errors pass by themselves and whether there is an outage now."""

    def __init__(
        self, store: str, make: Callable[[], Store], is_passing: Callable[[Exception], bool]
    ) -> None:
        self.is_passing = is_passing
        self.outage = Outage(store)
        self._make = make
        self._lock = threading.Lock()
        self._store: Store | None = None

    def store(self) -> Store:
        """The store; raises what making it raises, and makes it at the next call then."""
        with self._lock:
            if self._store is None:
                self._store = self._make()
            return self._store


class _Parts:
    """The parts of a batch, each read by the thread that writes it."""

    def __init__(self, parts: Iterator[tuple[list[Write], int]]) -> None:
        self._parts = parts
        self._next: tuple[list[Write], int] | None = None

    def write_next(self, write: Callable[[list[Write], int], None]) -> int:
        """Write the next part, the same again after an error; the position behind it."""
        writes, position = self._next = self._next or next(self._parts)
        write(writes, position)
        self._next = None
        return position


class Sink:
    """Writes one topic into a store.

    A batch is written in parts of about `part_bytes` of its values, if that is given, so that a
    slow store is seen to move, and one that refuses some gets on: `moved` is told of each part.
    `leaving` is set while partitions may go to another worker: then nothing is waited for.
    `has_caught_up` says whether all is written that a partition held when it was opened.
    """

    def __init__(
        self,
        topic: Topic,
        reach: Reach,
        *,
        app_id: str,
        mailer: Mailer,
        pool: ThreadPoolExecutor,
        leaving: Callable[[], asyncio.Event],
        moved: Callable[[TP, int], None],
        has_caught_up: Callable[[TP], bool],
        part_bytes: int | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.topic = topic
        self.stats = StageStats.of((NOT_DECODABLE,))
        self.ages = Ages()
        self.hottest = Hottest()
        self._spans = Spans(
            tracing or Tracing(),
            f"write {topic}",
            SpanKind.CLIENT,
            **{"db.system.name": reach.outage.store, "messaging.destination.name": topic.value},
        )
        self.restores: dict[int, Progress] = {}  # a sink restores nothing
        self.queued: set[int] = set()
        self._reach = reach
        self._app_id = app_id
        self._mailer = mailer
        self._pool = pool
        self._leaving = leaving
        self._moved = moved
        self._has_caught_up = has_caught_up
        self._part_bytes = part_bytes
        self._owned: set[int] = set()
        self._filling: set[int] = set()
        self._uses: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def store(self) -> str:
        """The name of the store."""
        return self._reach.outage.store

    @property
    def owned(self) -> list[int]:
        """The partitions that this process owns."""
        return sorted(self._owned)

    async def open(self, partition: int) -> int | None:
        """Where the store stands.

        Raises:
            LeavingError: the store could not be reached, and the partition may be another's now.
        """
        async with self._uses[partition]:  # a check meanwhile would look for what it was
            self.queued.add(partition)
            position = await self._persist(partition, self._open, partition)
        self._owned.add(partition)
        self._filling.add(partition)
        self._reach.outage.opened(Place(self.topic, partition))
        log.info("partition opened", topic=self.topic.value, partition=partition, position=position)
        return position

    async def close(self, partition: int) -> None:
        """Let a partition go."""
        self._owned.discard(partition)
        self._filling.discard(partition)
        self._reach.outage.closed(Place(self.topic, partition))

    def has_work(self, _partition: int) -> bool:
        """A sink puts nothing off."""
        return False

    async def process(self, batch: Batch) -> None:
        """Write a batch; returns when the store has confirmed it. Records that cannot be read
        are put away before.

        Raises:
            LeavingError: the store could not be reached, and the partition may be another's now.
        """
        partition = batch.tp.partition
        parts = _Parts(self._parts(batch))
        spans = self._spans.of(batch)
        if spans is not None:
            spans.begin()
        async with self._uses[partition]:
            position = None
            while position != batch.next_offset:
                position = await self._persist(
                    partition, parts.write_next, partial(self._write, partition)
                )
                self._moved(batch.tp, position)
                if spans is not None:
                    spans.durable(position)
        self.stats.records += len(batch.records)
        self.stats.batches += 1
        self.hottest.note_records(batch.records, 0, len(batch.records))

    async def check(self) -> None:
        """See whether the store still stands where it was left, partition by partition; those
        with a batch under way see for themselves. Raises as `Store.check` does."""
        for partition in self.owned:
            if partition not in self._owned or self._uses[partition].locked():
                continue
            async with self._uses[partition]:
                if not await self._ask(partition, self._check):
                    return

    async def fill(self) -> None:
        """Tell the store of the partitions that it has all of, once each. Raises as `Store.fill`
        does."""
        for partition in sorted(self._filling):
            async with self._uses[partition]:
                if partition in self._filling and self._has_caught_up(TP(self.topic, partition)):
                    if not await self._ask(partition, self._fill):
                        return
                    self._filling.discard(partition)

    def rows(self) -> dict[str, int]:
        """A sink keeps no rows."""
        return {}

    def _read(self, batch: Batch) -> list[Write]:
        """What records say; those that say nothing readable become dead letters."""
        writes, letters = [], []
        for record in batch.records:
            try:
                view = None if record.value is None else decode_view(self.topic, record.value)
            except msgspec.DecodeError as error:
                stage = f"{self._app_id}/{self.topic}"
                letters.append(dead_letter(batch.tp, record, NOT_DECODABLE, error, stage))
            else:
                writes.append(Write(record.offset, record.key, record.value, view))
        if letters:
            self._mailer.send(letters)
            self.stats.dead_letters[NOT_DECODABLE] += len(letters)
        return writes

    def _parts(self, batch: Batch) -> Iterator[tuple[list[Write], int]]:
        """What a batch says, part by part, each with the position behind it; the last may be
        empty."""
        writes = self._read(batch)
        if self._part_bytes is not None:
            part: list[Write] = []
            size = 0
            for write in writes:
                if size >= self._part_bytes:
                    yield part, write.offset
                    part, size = [], 0
                part.append(write)
                size += len(write.value or b"")
            writes = part
        yield writes, batch.next_offset

    async def _ask(self, partition: int, function: Callable[[int], None]) -> bool:
        """Ask the store once, and say whether it has done it; raises what no repetition helps."""
        place = Place(self.topic, partition)
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, function, partition)
        except Exception as error:
            if self._leaving().is_set() or partition not in self._owned:
                return False  # it may be another's by now, which moves the position
            if not self._reach.is_passing(error):
                raise
            self._reach.outage.failed(place, error)
            return False
        self._reach.outage.succeeded(place)
        return True

    async def _persist(
        self, partition: int, function: Callable[..., Result], *arguments: Any
    ) -> Result:
        """Ask the store until it has done it; raises what no repetition helps."""
        loop = asyncio.get_running_loop()
        place = Place(self.topic, partition)
        outage = self._reach.outage
        try:
            for attempt in itertools.count(1):
                try:
                    result = await loop.run_in_executor(self._pool, function, *arguments)
                except Exception as error:
                    if not self._reach.is_passing(error):
                        raise
                    outage.failed(place, error)
                else:
                    outage.succeeded(place)
                    return result
                await self._wait(pause_before(attempt))
            raise AssertionError("unreachable")
        finally:
            outage.gave_up(place)

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._leaving().wait(), seconds)
        except TimeoutError:
            return
        raise LeavingError

    def _open(self, partition: int) -> int | None:
        self.queued.discard(partition)
        return self._reach.store().open(self.topic, partition)

    def _check(self, partition: int) -> None:
        self._reach.store().check(self.topic, partition)

    def _fill(self, partition: int) -> None:
        self._reach.store().fill(self.topic, partition)

    def _write(self, partition: int, writes: list[Write], position: int) -> None:
        reach("before-sink", f"{self.topic}/{partition}", len(writes))
        self._reach.store().write(self.topic, partition, writes, position)
        if self.topic == Topic.TIMELINE_WRITES:
            now = time.time()
            for write in writes:
                self.ages.note(write.view or (), now)
            self.hottest.note_deliveries(write.view or () for write in writes)
        reach("after-sink", f"{self.topic}/{partition}", len(writes))
