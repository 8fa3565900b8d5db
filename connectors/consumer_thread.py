"""The thread of a consumer: talks to Kafka by aiokafka, in an event loop of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import aiokafka
from faust.transport.drivers import aiokafka as stock
from faust.types import TP

from connectors.kafka import for_aiokafka
from connectors.records import hand_over_as_decoded

FETCH_WAIT_MS = 50
PARTITION_FETCH_BYTES = 1024 * 1024  # as compressed, so that a fetch is not far above a slot
FETCH_BYTES = 16 * 1024 * 1024


class ConsumerThread(stock.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The stock consumer thread, reading committed records with a short fetch wait."""

    _fetching: asyncio.Future[Any] | None = None

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        hand_over_as_decoded()
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            bootstrap_servers=stock.server_list(transport.url, transport.default_port),
            **for_aiokafka(),
            partition_assignment_strategy=[self.consumer.assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
            fetch_max_bytes=FETCH_BYTES,
            max_poll_interval_ms=int((conf.broker_max_poll_interval or 0) * 1000),
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            isolation_level="read_committed",
        )

    async def getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109  (the stock signature)
        """Fetch, unless the consumer's generation ends before something is there."""
        generation = self.consumer.generation
        return await self.call_thread(self._fetch, generation, active_partitions, timeout)

    async def _fetch(self, generation: int, partitions: set[TP] | None, seconds: float) -> Any:
        if generation != self.consumer.generation:
            return {}
        consumer = self._ensure_consumer()
        self._fetching = asyncio.ensure_future(
            self._fetch_records(consumer, partitions, timeout=seconds)
        )
        try:
            await asyncio.wait([self._fetching])
        finally:
            self._fetching.cancel()
        return {} if self._fetching.cancelled() else self._fetching.result()

    def stop_fetching(self) -> None:
        """Let `getmany` take nothing more from the log: it ends with what it has, or nothing."""
        self.thread_loop.call_soon_threadsafe(self._stop_fetching)

    def _stop_fetching(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()

    def fetch_position(self, tp: TP) -> int | None:
        """Where the fetcher stands: behind commit markers too, which no record shows."""
        assignment = self._ensure_consumer()._subscription.subscription.assignment
        state = assignment.state_value(stock.ensure_aiokafka_TP(tp))
        return state.position if state is not None and state.has_valid_position else None
