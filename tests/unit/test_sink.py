"""A sink moves on when its store has confirmed, and not before."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from faust.types import TP

from connectors.transport import Batch
from schemas.topics import Topic
from streams.engine.sink import Once, Sink, Write
from tests.unit.folds import record


class Store:
    """Confirms a write when it is told to, or refuses it."""

    def __init__(self) -> None:
        self.may_confirm = threading.Event()
        self.fault: Exception | None = None
        self.written: list[tuple[Topic, int, list[Write], int]] = []

    def open(self, _topic: Topic, partition: int) -> int | None:
        return 40 + partition

    def write(self, topic: Topic, partition: int, writes: Sequence[Write], position: int) -> None:
        assert self.may_confirm.wait(5)
        if self.fault is not None:
            raise self.fault
        self.written.append((topic, partition, list(writes), position))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def _batch() -> Batch:
    records = [record(b"a", offset=5, key=b"x"), record(None, offset=7, key=b"y")]
    return Batch(TP("view.posts", 2), records, 9)


def test_a_batch_is_done_when_the_store_has_confirmed(pool: ThreadPoolExecutor) -> None:
    store = Store()
    sink = Sink(Topic.VIEW_POSTS, Once(lambda: store), pool)

    async def run() -> None:
        task = asyncio.create_task(sink.process(_batch()))
        await asyncio.sleep(0.05)
        assert not task.done()
        assert sink.stats.records == 0
        store.may_confirm.set()
        await asyncio.wait_for(task, 5)

    asyncio.run(run())
    writes = [Write(5, b"x", b"a"), Write(7, b"y", None)]
    assert store.written == [(Topic.VIEW_POSTS, 2, writes, 9)]
    assert (sink.stats.records, sink.stats.batches) == (2, 1)


def test_what_a_store_refuses_is_not_done(pool: ThreadPoolExecutor) -> None:
    store = Store()
    store.may_confirm.set()
    store.fault = OSError("no")
    sink = Sink(Topic.VIEW_POSTS, Once(lambda: store), pool)
    with pytest.raises(OSError, match="no"):
        asyncio.run(sink.process(_batch()))
    assert sink.stats.batches == 0


def test_a_sink_resumes_where_its_store_stands(pool: ThreadPoolExecutor) -> None:
    sink = Sink(Topic.VIEW_POSTS, Once(Store), pool)
    assert asyncio.run(sink.open(2)) == 42
    assert sink.owned == [2]
