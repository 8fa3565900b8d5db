"""A sink: writes one topic into a store, at least once, in log order.

The store keeps, beside what is written, the position that it stands at. A sink resumes from
there, not from the group's offsets: a store that lost writes gets them again, an empty one is
filled from the beginning. Nothing is written before it is committed in Kafka.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import structlog

from connectors.failpoints import reach
from connectors.transport import Batch
from schemas.topics import Topic
from streams.engine.restore import Progress
from streams.engine.stage import StageStats

log = structlog.get_logger(__name__)


class Write(NamedTuple):
    """A record for a store; a None value is a deletion."""

    offset: int
    key: bytes | None
    value: bytes | None


class Store(Protocol):
    """Where a sink writes. Called from several threads, one at a time per partition."""

    def open(self, topic: Topic, partition: int) -> int | None:
        """Take a partition over; the offset that its next write has, None when nothing was
        written.

        Raises:
            ForeignStoreError: what was written is of another log.
        """

    def write(self, topic: Topic, partition: int, writes: Sequence[Write], position: int) -> None:
        """Apply writes in order, and then set the position; returns once confirmed."""


class Once:
    """Makes a store when it is first asked for, once, whichever thread asks."""

    def __init__(self, make: Callable[[], Store]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._store: Store | None = None

    def __call__(self) -> Store:
        with self._lock:
            if self._store is None:
                self._store = self._make()
            return self._store


class Sink:
    """Writes one topic into a store."""

    def __init__(self, topic: Topic, store: Once, pool: ThreadPoolExecutor) -> None:
        self.topic = topic
        self.stats = StageStats()
        self.restores: dict[int, Progress] = {}  # a sink restores nothing
        self._store = store
        self._pool = pool
        self._owned: set[int] = set()

    @property
    def owned(self) -> list[int]:
        """The partitions that this process owns."""
        return sorted(self._owned)

    async def open(self, partition: int) -> int | None:
        """Where the store stands."""
        loop = asyncio.get_running_loop()
        position = await loop.run_in_executor(self._pool, self._open, partition)
        self._owned.add(partition)
        log.info("partition opened", topic=self.topic.value, partition=partition, position=position)
        return position

    async def close(self, partition: int) -> None:
        """Let a partition go."""
        self._owned.discard(partition)

    async def process(self, batch: Batch) -> None:
        """Write a batch; returns when the store has confirmed it."""
        writes = [Write(record.offset, record.key, record.value) for record in batch.records]
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(
            self._pool, self._write, batch.tp.partition, writes, batch.next_offset
        )
        self.stats.records += len(writes)
        self.stats.batches += 1

    def rows(self) -> dict[str, int]:
        """A sink keeps no rows."""
        return {}

    def _open(self, partition: int) -> int | None:
        return self._store().open(self.topic, partition)

    def _write(self, partition: int, writes: list[Write], position: int) -> None:
        reach("before-sink", f"{self.topic}/{partition}", len(writes))
        self._store().write(self.topic, partition, writes, position)
        reach("after-sink", f"{self.topic}/{partition}", len(writes))
