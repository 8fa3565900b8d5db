"""Publishes events to the external topics: idempotent, acknowledged by all replicas, paced."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from msgspec import Struct

from connectors.kafka import for_confluent, metadata
from connectors.registry import RegistryDownError
from connectors.subjects import TOPIC_OF, NotRegisteredError, encoder
from schemas.codec import Published
from schemas.events import Engagement, Event, Moderation, Post
from schemas.topics import EXTERNAL

BURST_SECONDS = 0.05
"""What a paced publisher may catch up at once when it has fallen behind."""

_SHORTEST_SLEEP = 0.001
_POLL_EVERY = 1_000
_PROGRESS_SECONDS = 0.1


class PublishError(Exception):
    """Events could not be delivered; the text has what, why and what to do."""


class PublishReport(Struct, frozen=True):
    """What a run of `publish` did: events that Kafka acknowledged, and the time it took."""

    acknowledged: int
    seconds: float

    @property
    def events_per_s(self) -> float:
        """The mean speed, until the last acknowledgement."""
        return self.acknowledged / self.seconds if self.seconds else 0.0


class Pacer:
    """A token bucket: `rate` events a second, evenly, at most 50 ms' worth at once.

    Time that the caller lost beyond that is not made up for.
    """

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not rate > 0:
            raise ValueError(f"the rate must be above 0 events/s, not {rate}")
        self._rate = rate
        self._capacity = max(1.0, rate * BURST_SECONDS)
        self._clock = clock
        self._sleep = sleep
        self._tokens = 1.0
        self._filled_at = clock()

    def wait(self) -> bool:
        """Return when the next event is due; True if that took a sleep."""
        slept = False
        while self._tokens < 1.0:
            now = self._clock()
            gained = (now - self._filled_at) * self._rate
            self._tokens = min(self._capacity, self._tokens + gained)
            self._filled_at = now
            if self._tokens < 1.0:
                self._sleep(max(_SHORTEST_SLEEP, (1.0 - self._tokens) / self._rate))
                slept = True
        self._tokens -= 1.0
        return slept


def key_of(event: Published) -> str:
    """The record key: the post for what is about one, else the user."""
    if isinstance(event, Post | Moderation):
        return event.post_id
    if isinstance(event, Engagement) and event.post_id is not None:
        return event.post_id
    return event.user_id


class Publisher:
    """A producer of events; leaving the context waits until all are acknowledged.

    Events of one key go to one partition, in order, the one that Kafka's Java client chooses too.
    `publish` does not wait for the network, except when 200,000 events are under way. With
    `registry_url` (`http://user:password@host:port`) events have the ids of that schema registry,
    as the workers with this SCHEMA_REGISTRY_URL expect; it is asked once, here.

    Raises:
        PublishError: Kafka or the registry cannot be reached, a topic or a schema is missing, or
            an event published earlier could not be delivered.
        RefusedError: a broker is not trusted, or refuses the password.
    """

    def __init__(
        self,
        brokers: str,
        *,
        linger_ms: float = 5,
        timeout_seconds: float = 30,
        registry_url: str = "",
    ) -> None:
        self._failed: list[str] = []
        self._published = 0
        self._down: str | None = None
        self._timeout_seconds = timeout_seconds
        self._brokers = brokers
        try:
            self._encode = encoder(registry_url)
        except (NotRegisteredError, RegistryDownError) as error:
            raise PublishError(f"the ids of the schemas cannot be known: {error}") from error
        self._producer = Producer(
            {
                **for_confluent(brokers),
                "client.id": "headrace-publisher",
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "linger.ms": linger_ms,
                "batch.size": 1 << 20,
                "batch.num.messages": 20_000,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 256 * 1024,
                "delivery.timeout.ms": int(timeout_seconds * 1000),
                "delivery.report.only.error": True,  # a callback per success costs more than it
                "log_level": 2,
            },
            on_delivery=self._on_delivery,
            error_cb=self._on_error,
        )
        try:
            self._check_topics()
        except BaseException:
            self._producer.purge()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.flush()
        else:  # the first error is the one to tell
            self._producer.flush(self._timeout_seconds)

    @property
    def acknowledged(self) -> int:
        """Events that Kafka has acknowledged so far; exact after `flush`."""
        return max(0, self._published - len(self._producer) - len(self._failed))

    def publish(self, event: Event, key: str | None = None) -> None:
        """Queue an event for its topic, by default under its post's or user's id.

        Raises:
            PublishError: an event could not be delivered, this one or one before.
            ValueError: a field has a value that the schema does not know.
        """
        topic = TOPIC_OF[type(event)]
        value = self._encode(event)
        raw_key = (key if key is not None else key_of(event)).encode()
        while True:
            try:
                self._producer.produce(topic, value, raw_key)
                break
            except BufferError:  # the queue is full: wait until Kafka has taken some
                self._producer.poll(0.05)
                self._raise_failures()
            except KafkaException as error:
                raise self._error(f"topic {topic}: {error.args[0].str()}") from error
        self._published += 1
        if self._published % _POLL_EVERY == 0:
            self.poll()

    def poll(self) -> None:
        """Take delivery errors that have come in, without waiting."""
        self._producer.poll(0)
        self._raise_failures()

    def flush(self) -> None:
        """Wait until every event is acknowledged.

        Raises:
            PublishError: not all are, in time.
        """
        left = self._producer.flush(self._timeout_seconds + 5)
        self._raise_failures()
        if left:
            raise self._error(f"{left} events are still not acknowledged")

    def _check_topics(self) -> None:
        try:
            there = metadata(self._brokers, min(10, self._timeout_seconds)).topics
        except KafkaException as error:
            raise self._error(error.args[0].str()) from error
        missing = [topic for topic in EXTERNAL if topic not in there]
        if missing:
            raise PublishError(
                f"Kafka at {self._brokers} has no topic {', '.join(missing)}.\n"
                "Topics are created up front, never by use.\n"
                "hint: `headrace stack up` creates them."
            )

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append(f"topic {message.topic()}: {error.str()}")

    def _on_error(self, error: KafkaError) -> None:
        self._down = error.str()

    def _raise_failures(self) -> None:
        if self._failed:
            raise self._error(f"{len(self._failed)} events; the first: {self._failed[0]}")

    def _error(self, detail: Any) -> PublishError:
        last = f" (last seen: {self._down})" if self._down else ""
        return PublishError(
            f"events could not be published to Kafka at {self._brokers}.\n{detail}{last}\n"
            "hint: is it running (`headrace stack status`), is KAFKA_BROKERS right?"
        )


def publish(
    brokers: str,
    events: Iterable[Event],
    *,
    rate: float | None = None,
    progress: Callable[[int], None] | None = None,
    registry_url: str = "",
) -> PublishReport:
    """Publish all `events` and wait until Kafka has acknowledged the last one.

    Args:
        brokers: Kafka's addresses, `host:port,host:port`.
        events: Taken one by one, each only when it is due.
        rate: Events a second, evenly paced; None is as fast as possible.
        progress: Called about ten times a second with the events published so far.
        registry_url: See `Publisher`.

    Raises:
        PublishError: an event could not be delivered.
    """
    pacer = None if rate is None else Pacer(rate)
    started = told = time.perf_counter()
    count = 0
    with Publisher(brokers, registry_url=registry_url) as publisher:
        due = events if pacer is None else _paced(events, pacer)
        for event in due:
            publisher.publish(event)
            count += 1
            if progress is None or (rate is None and count & 1023):
                continue
            now = time.perf_counter()
            if now - told >= _PROGRESS_SECONDS:
                told = now
                publisher.poll()
                progress(count)
        publisher.flush()
        seconds = time.perf_counter() - started
        acknowledged = publisher.acknowledged
    if progress is not None:
        progress(acknowledged)
    return PublishReport(acknowledged, seconds)


def _paced(events: Iterable[Event], pacer: Pacer) -> Iterable[Event]:
    """Each event when it is due: waited for first, so that a live source stamps it then."""
    source = iter(events)
    while True:
        pacer.wait()
        event = next(source, None)
        if event is None:
            return
        yield event
