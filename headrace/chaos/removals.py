"""The removals on one timeline, as they come into `timeline-writes`."""

from __future__ import annotations

import msgspec
from confluent_kafka import Consumer, TopicPartition

from connectors.kafka import for_confluent
from connectors.settings import settings
from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import RemoveSource, TimelineOp

REQUEST_S = 10.0
FETCHED = 1_000
WAIT_S = 0.05

_decode = msgspec.msgpack.Decoder(list[TimelineOp]).decode


class Removals:
    """Counts the sources that are taken off a timeline from now on; close it."""

    def __init__(self, brokers: str, owner: str) -> None:
        self._owner = owner
        self._count = 0
        self._consumer = Consumer(
            {
                **for_confluent(brokers),
                "group.id": "headrace-chaos",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        place = TopicPartition(Topic.TIMELINE_WRITES, partition_of(owner, settings().partitions))
        _, place.offset = self._consumer.get_watermark_offsets(place, REQUEST_S)
        self._consumer.assign([place])

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def count(self) -> int:
        """How many have come so far."""
        for message in self._consumer.consume(FETCHED, WAIT_S):
            if message.error() is None:
                self._count += sum(map(self._is_meant, self._operations(message.value())))
        return self._count

    def _operations(self, value: bytes | None) -> list[TimelineOp]:
        """What a record says; nothing if it is poison."""
        try:
            return _decode(value or b"")
        except msgspec.DecodeError:
            return []

    def _is_meant(self, operation: TimelineOp) -> bool:
        return isinstance(operation, RemoveSource) and operation.owner == self._owner
