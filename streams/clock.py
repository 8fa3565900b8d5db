"""The clock: writes the time into each internal partition that this process owns."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import KafkaException, Producer

from connectors.kafka import for_confluent
from streams.facts import Tick, encode_fact

TICK_SECONDS = 10.0
DELIVERY_SECONDS = 30.0


class Clock:
    """Writes ticks. Folds take time from records only; this is where it enters the logs."""

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._producer: Producer | None = None

    def tick(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Write the time of now into (topic, partition) each.

        Raises:
            KafkaException: a broker did not take one.
        """
        if self._producer is None:
            self._producer = Producer(
                {
                    **for_confluent(self._brokers),
                    "enable.idempotence": True,
                    "linger.ms": 0,
                    "compression.type": "lz4",
                }
            )
        failed: list[KafkaException] = []
        value = encode_fact(Tick(time.time_ns() // 1_000_000))
        for topic, partition in partitions:
            self._producer.produce(
                topic,
                value,
                partition=partition,
                on_delivery=lambda error, _: (
                    failed.append(KafkaException(error)) if error else None
                ),
            )
        if self._producer.flush(DELIVERY_SECONDS):
            raise TimeoutError(f"no broker took a tick for {DELIVERY_SECONDS:.0f} s")
        if failed:
            raise failed[0]
