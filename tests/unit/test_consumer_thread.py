"""The consumer's thread: what it asks of Kafka, and how a fetch under way ends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from aiokafka.consumer.fetcher import Fetcher, FetchResult
from aiokafka.errors import KafkaError
from faust.types import TP

from connectors import consumer_thread, slots
from connectors.consumer_thread import ConsumerThread

PLACE = TP("posts", 2)


class Fetched(FetchResult):  # type: ignore[misc]
    """Three records, which can be taken from the log once."""

    def __init__(self) -> None:
        self.left = ["a", "b", "c"]

    def getall(self, max_records: int | None = None) -> list[str]:
        assert max_records is None
        taken, self.left = self.left, []
        return taken

    def has_more(self) -> bool:
        return bool(self.left)


class Bench:
    """A thread whose loop is the test's, with aiokafka's own fetcher and no broker."""

    def __init__(self) -> None:
        fetcher: Any = object.__new__(Fetcher)
        fetcher._loop = asyncio.get_running_loop()
        fetcher._closed = False
        fetcher._records = {}
        fetcher._fetch_waiters = set()
        fetcher._wait_consume_future = None
        fetcher._subscriptions = mock.MagicMock(reassignment_in_progress=False)
        thread: Any = object.__new__(ConsumerThread)
        thread.consumer = SimpleNamespace(generation=1, flow_active=True)
        thread._thread_loop = asyncio.get_running_loop()
        kafka = SimpleNamespace(_fetcher=fetcher, _closed=False, _max_poll_records=None)
        thread._ensure_consumer = lambda: kafka
        self.fetcher = fetcher
        self.thread = thread

    def arrive(self) -> None:
        self.fetcher._records[PLACE] = Fetched()
        for waiter in list(self.fetcher._fetch_waiters):
            waiter.set_result(None)

    async def fetch(self, generation: int = 1) -> Any:
        return await self.thread._fetch(generation, {PLACE}, 5.0)


@pytest.fixture(autouse=True)
def _results(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fetcher looks at the exact type of what it holds."""
    monkeypatch.setattr("aiokafka.consumer.fetcher.FetchResult", Fetched)


def test_a_fetch_waits_for_records() -> None:
    async def run() -> None:
        bench = Bench()
        fetch = asyncio.create_task(bench.fetch())
        await asyncio.sleep(0.01)
        bench.arrive()
        assert await fetch == {PLACE: ["a", "b", "c"]}

    asyncio.run(run())


@pytest.mark.parametrize("has_arrived", [False, True], ids=["waiting", "just woken"])
def test_a_fetch_that_is_stopped_takes_nothing_from_the_log(has_arrived: bool) -> None:
    async def run() -> None:
        bench = Bench()
        fetch = asyncio.create_task(bench.fetch())
        await asyncio.sleep(0.01)
        if has_arrived:
            bench.arrive()
        bench.thread._stop_fetching()
        assert await fetch == {}
        bench.arrive()
        await asyncio.sleep(0.01)
        assert bench.fetcher._records[PLACE].left == ["a", "b", "c"]

    asyncio.run(run())


def test_a_fetch_of_an_earlier_generation_does_not_begin() -> None:
    async def run() -> None:
        bench = Bench()
        bench.arrive()
        assert await bench.fetch(generation=0) == {}
        assert bench.fetcher._records[PLACE].left == ["a", "b", "c"]

    asyncio.run(run())


def test_what_a_fetch_raises_is_raised() -> None:
    async def run() -> None:
        bench = Bench()
        bench.thread._fetch_records = mock.AsyncMock(side_effect=KafkaError("no"))
        with pytest.raises(KafkaError, match="no"):
            await bench.fetch()

    asyncio.run(run())


def test_the_consumer_reads_committed_records_in_bounded_fetches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = mock.Mock()
    monkeypatch.setattr(consumer_thread.aiokafka, "AIOKafkaConsumer", made)
    thread: Any = object.__new__(ConsumerThread)
    thread.consumer = mock.Mock()
    thread.app = mock.Mock()
    thread.app.conf.broker_max_poll_interval = 600.0
    for wait in ("request_timeout", "session_timeout", "rebalance_timeout", "heartbeat_interval"):
        setattr(thread.app.conf, f"broker_{wait}", 10.0)
    thread._create_worker_consumer(mock.Mock(url=[SimpleNamespace(host="a", port=1)]))
    asked = made.call_args.kwargs
    assert asked["isolation_level"] == "read_committed"
    assert asked["enable_auto_commit"] is False
    assert asked["partition_assignment_strategy"] == [thread.consumer.assignor]
    assert asked["max_partition_fetch_bytes"] <= slots.PENDING_BYTES
    assert asked["fetch_max_bytes"] <= slots.TOTAL_BYTES
