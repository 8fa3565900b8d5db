"""Dead letters: records that could not be processed, with the reason."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
import structlog
from confluent_kafka import KafkaException, Producer
from faust.types import TP

from connectors.kafka import for_confluent
from connectors.records import Record
from schemas.dead_letters import DeadLetter
from schemas.topics import Topic
from streams.engine.outbox import Output

log = structlog.get_logger(__name__)

MAX_RAW_BYTES = 1_000_000
MAX_KEY_BYTES = 65_536
DELIVERY_SECONDS = 30.0
_encode = msgspec.msgpack.Encoder().encode


def dead_letter(tp: TP, record: Record, code: str, error: Exception, stage: str) -> Output:
    """The letter of a record of a partition that `stage` refuses, which is logged."""
    log.warning(
        "record refused",
        topic=tp.topic,
        partition=tp.partition,
        offset=record.offset,
        code=code,
        error=type(error).__name__,
    )
    key = record.key[:MAX_KEY_BYTES] if record.key else record.key
    letter = DeadLetter(
        topic=tp.topic,
        partition=tp.partition,
        offset=record.offset,
        key=key,
        raw=record.value[:MAX_RAW_BYTES] if record.value else record.value,
        code=code,
        message=str(error),
        stage=stage,
        at=record.timestamp,
    )
    return Output(Topic.DEAD_LETTERS, tp.partition, key, _encode(letter))


class Mailer:
    """Writes dead letters of those that have no transaction to put them into."""

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._producer: Producer | None = None
        self._lock = threading.Lock()

    def send(self, letters: Sequence[Output]) -> None:
        """Write letters; returns when all are acknowledged.

        Raises:
            KafkaException: a broker did not take one.
            TimeoutError: no broker answered for 30 s.
        """
        with self._lock:
            if self._producer is None:
                self._producer = Producer(
                    {
                        **for_confluent(self._brokers),
                        "enable.idempotence": True,
                        "compression.type": "lz4",
                        "message.max.bytes": 4_000_000,
                    }
                )
            failed: list[KafkaException] = []
            for letter in letters:
                self._producer.produce(
                    letter.topic,
                    letter.value,
                    letter.key,
                    letter.partition,
                    on_delivery=lambda error, _: (
                        failed.append(KafkaException(error)) if error else None
                    ),
                )
            if self._producer.flush(DELIVERY_SECONDS):
                raise TimeoutError(f"no broker took a dead letter for {DELIVERY_SECONDS:.0f} s")
            if failed:
                raise failed[0]
