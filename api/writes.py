"""Making events and having Kafka acknowledge them; the API writes nothing else."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import structlog
from confluent_kafka import KafkaException, Producer
from opentelemetry.trace import SpanKind, Status, StatusCode, get_current_span

from api.errors import unavailable
from api.ids import Mint
from api.stores import KAFKA, REGISTRY, StoreDownError, Writer
from connectors.kafka import for_confluent
from connectors.publisher import key_of
from connectors.registry import Registry, RegistryDownError
from connectors.subjects import TOPIC_OF, Encode, NotRegisteredError, RegisteredIds
from connectors.tracing import Tracing, headers_of
from schemas.codec import Published, encode
from schemas.events import Event
from schemas.exposures import Exposure

DELIVERY_TIMEOUT_MS = 5_000
LINGER_MS = 2
POLL_SECONDS = 0.1
PING_SECONDS = 2.0
REGISTRY_SECONDS = 2.0
"""Between two tries to learn the ids of schemas."""

log = structlog.get_logger(__name__)


def now_ms() -> int:
    """The time in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


class Ids(Protocol):
    """Makes ids."""

    def new(self, at: int) -> str:
        """A new id for the time `at` (ms since 1970 UTC)."""


class Events:
    """Mints ids and times for events and publishes them."""

    def __init__(
        self, writer: Writer, clock: Callable[[], int] = now_ms, ids: Ids | None = None
    ) -> None:
        self._writer = writer
        self._ids = ids or Mint()
        self.clock = clock

    def new_id(self, at: int) -> str:
        """A new id for something of the time `at` (ms)."""
        return self._ids.new(at)

    async def publish(self, *events: Event) -> None:
        """Return when Kafka has the events on disk.

        Raises:
            ProblemError: 503, when it has not said so in time; they may be there all the same.
        """
        try:
            await self._writer.publish(events)
        except StoreDownError as error:
            log.warning("publish failed", reason=error.reason)
            raise unavailable(
                "The event was not acknowledged in time. It may or may not take effect."
            ) from error

    async def expose(self, exposure: Exposure) -> None:
        """Return when Kafka has an exposure on disk.

        Raises:
            StoreDownError: it has not said so in time.
        """
        await self._writer.publish([exposure])

    async def publish_each(self, events: Sequence[Event]) -> list[bool]:
        """Whether each of the events was not acknowledged in time."""
        errors = await self._writer.publish_each(events)
        failed = [error for error in errors if error is not None]
        if failed:
            log.warning("publish failed", reason=failed[0].reason, events=len(failed))
        return [error is not None for error in errors]

    def of_request(self, at: int, ids: Ids | None) -> RequestEvents:
        """Those of one request, all of the time `at` (ms), with ids of their own if given."""
        return RequestEvents(self._writer, lambda: at, ids or self._ids)


class RequestEvents(Events):
    """Those of one request; knows what was published."""

    def __init__(self, writer: Writer, clock: Callable[[], int], ids: Ids) -> None:
        super().__init__(writer, clock, ids)
        self.published: list[Event] = []

    async def publish(self, *events: Event) -> None:
        """As that of `Events`."""
        await super().publish(*events)
        self.published += events

    async def publish_each(self, events: Sequence[Event]) -> list[bool]:
        """As that of `Events`."""
        failed = await super().publish_each(events)
        self.published += [e for e, is_lost in zip(events, failed, strict=True) if not is_lost]
        return failed


class NoWriter:
    """Of a process that publishes nothing, and may not."""

    async def publish(self, events: Iterable[Published]) -> None:  # noqa: ARG002  (the protocol)
        """Refuses."""
        raise StoreDownError(KAFKA, "this process publishes nothing", is_outage=False)

    async def publish_each(self, events: Iterable[Event]) -> list[StoreDownError | None]:
        """Refuses each."""
        error = StoreDownError(KAFKA, "this process publishes nothing", is_outage=False)
        return [error for _ in events]

    async def ping(self) -> None:
        """There is nothing to ask."""

    async def close(self) -> None:
        """There is nothing to close."""


class KafkaWriter:
    """An idempotent producer whose deliveries can be awaited; a thread serves its callbacks.

    With `registry_url` events have the ids of that schema registry, which another thread asks for
    until all are known; nothing is written before.
    """

    def __init__(
        self, brokers: str, registry_url: str = "", tracing: Tracing | None = None
    ) -> None:
        self._tracing = tracing or Tracing()
        self._encode: Encode = encode
        self._unknown: str | None = None
        self._producer = Producer(
            {
                **for_confluent(brokers),
                "client.id": "headrace-api",
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "linger.ms": LINGER_MS,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                "log_level": 2,
            }
        )
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="kafka-delivery", daemon=True)
        self._thread.start()
        if registry_url:
            self._unknown = "the ids of the schemas are not known yet"
            registry = Registry(registry_url)
            ids = RegisteredIds(registry)
            self._encode = ids.encode
            asking = (registry, ids)
            threading.Thread(target=self._ask, args=asking, name="registry", daemon=True).start()

    async def publish(self, events: Iterable[Published]) -> None:
        """Return when Kafka has all events on disk."""
        await asyncio.gather(*[self._produce(event) for event in events])

    async def publish_each(self, events: Iterable[Event]) -> list[StoreDownError | None]:
        """Return when it is known of each event whether Kafka has it on disk: else, the error."""
        sent = [self._produce(event) for event in events]
        errors = await asyncio.gather(*sent, return_exceptions=True)
        return [error if isinstance(error, StoreDownError) else None for error in errors]

    def _produce(self, event: Published) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        topic = TOPIC_OF[type(event)]
        headers = self._traced(topic, done)

        def settle(error: Any) -> None:
            if done.done():
                return
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(StoreDownError(KAFKA, error.name()))

        def delivered(error: Any, _message: Any) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, error)

        try:
            value = self._encode(event)
            key = key_of(event).encode()
            self._producer.produce(topic, value, key, on_delivery=delivered, headers=headers)
        except RegistryDownError as error:
            done.set_exception(StoreDownError(REGISTRY, str(error)))
        except BufferError:
            done.set_exception(StoreDownError(KAFKA, "the queue is full"))
        except KafkaException as error:
            done.set_exception(StoreDownError(KAFKA, error.args[0].name()))
        return done

    def _traced(self, topic: str, done: asyncio.Future[None]) -> list[tuple[str, bytes]]:
        """The headers of a record to be sent. If its request is part of a trace they carry on a
        span, which ends when the record is `done`."""
        tracer = self._tracing.tracer
        if tracer is None or not get_current_span().is_recording():
            return []
        attributes = {
            "messaging.system": "kafka",
            "messaging.operation.type": "send",
            "messaging.destination.name": topic,
        }
        span = tracer.start_span(f"send {topic}", kind=SpanKind.PRODUCER, attributes=attributes)

        def end(done: asyncio.Future[None]) -> None:
            error = None if done.cancelled() else done.exception()
            if error is not None:
                span.set_status(Status(StatusCode.ERROR, str(error)))
            span.end()

        done.add_done_callback(end)
        return list(headers_of(span))

    async def ping(self) -> None:
        """Return if Kafka answers, and the ids of the schemas are known."""
        if self._unknown is not None:
            raise StoreDownError(REGISTRY, self._unknown)
        try:
            await asyncio.to_thread(self._producer.list_topics, timeout=PING_SECONDS)
        except KafkaException as error:
            raise StoreDownError(KAFKA, error.args[0].name()) from error

    async def close(self) -> None:
        """Send what is under way and stop."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._producer.flush(DELIVERY_TIMEOUT_MS / 1000)
        self._is_closing.set()
        self._thread.join(timeout=5)

    def _ask(self, registry: Registry, ids: RegisteredIds) -> None:
        while not (ids.is_known or self._is_closing.is_set()):
            try:
                ids.ask()
                self._unknown = None
            except (NotRegisteredError, RegistryDownError) as error:
                if self._unknown != str(error):
                    self._unknown = str(error)
                    log.error("ids of schemas not known", reason=str(error))
                self._is_closing.wait(REGISTRY_SECONDS)
        registry.close()

    def _serve(self) -> None:
        while not self._is_closing.is_set():
            try:
                self._producer.poll(POLL_SECONDS)
            except KafkaException as error:  # for good: every write fails from now on
                log.error("kafka refuses", detail=error.args[0].str())
