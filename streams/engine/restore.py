"""Restoring a partition's state from its changelog, in batches."""

from __future__ import annotations

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from connectors.failpoints import reach
from schemas.topics import changelog_of
from streams.engine.state import State

BATCH = 10_000
WAIT_SECONDS = 0.05  # a call returns then, also when it has only part of a batch
STALL_SECONDS = 30.0
QUERY_TIMEOUT_S = 10.0


class RestoreError(Exception):
    """The changelog could not be read to its end."""


def restore(brokers: str, topic: str, partition: int, state: State) -> int:
    """Fill `state` from the changelog of `topic`/`partition`; returns how many records it read.

    To be called when the former owner is fenced: then the changelog's end is final. The end is
    judged by the consumer, as commit markers occupy offsets that no record shows.

    Raises:
        RestoreError: nothing came for 30 s before the end was reached.
    """
    source = TopicPartition(changelog_of(topic), partition, OFFSET_BEGINNING)
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"restore-{topic}-{partition}",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
        }
    )
    count = 0
    try:
        low, high = consumer.get_watermark_offsets(source, QUERY_TIMEOUT_S, cached=False)
        if low == high:
            return 0
        consumer.assign([source])
        heard = time.monotonic()
        while True:
            messages = consumer.consume(BATCH, WAIT_SECONDS)
            if messages:
                heard = time.monotonic()
                reach("mid-restore", f"{topic}/{partition}", count)
            elif time.monotonic() - heard > STALL_SECONDS:
                raise RestoreError(
                    f"{source.topic}/{partition}: no record for {STALL_SECONDS:.0f} s after "
                    f"{count} records; is the broker up?"
                )
            for message in messages:
                error = message.error()
                if error is None:
                    state.restore(message.key(), message.value())
                    count += 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    return count
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()
