"""Headrace without the transaction, to see what it costs: `faust -A bench.at_least_once:fold`.

Only here, never in the product: after a crash, outputs would be there twice and rows be counted
again.
"""

from __future__ import annotations

from collections.abc import Iterable
from unittest.mock import patch

from confluent_kafka import Message, Producer

from bench.exactly_once import fold_app, sink_app
from schemas.topics import changelog_of
from streams.engine import stage
from streams.engine.checkpoint import COMMIT_TIMEOUT_S, send
from streams.engine.outbox import Output
from streams.engine.state import State


def plain_producer(brokers: str, app: str, topic: str, partition: int, _: int) -> Producer:
    """As `transactional_producer`, without a transactional id."""
    return Producer(
        {
            "bootstrap.servers": brokers,
            "client.id": f"{app}-{topic}-{partition}",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 5,
            "batch.size": 1_000_000,
            "message.max.bytes": 4_000_000,
            "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 1_048_576,
        }
    )


def flush_checkpoint(
    producer: Producer,
    topic: str,
    partition: int,
    state: State,
    outputs: Iterable[Output],
    position: int,
) -> None:
    """As `checkpoint`, the same records in the same order, acknowledged one by one."""
    changelog = changelog_of(topic)
    for output in outputs:
        send(producer, output)
    for key, value in state.changes():
        producer.produce(changelog, value, key, partition)
    last: list[Message] = []
    key, value = State.position_change(position)
    producer.produce(
        changelog, value, key, partition, on_delivery=lambda _, record: last.append(record)
    )
    if producer.flush(COMMIT_TIMEOUT_S):
        raise TimeoutError(f"no acknowledgement within {COMMIT_TIMEOUT_S:.0f} s")
    state.commit(position, last[0].offset() + 1)


patch.object(stage, "transactional_producer", plain_producer).start()
patch.object(stage, "checkpoint", flush_checkpoint).start()

fold = fold_app("bench-alo-fold")
sink = sink_app("bench-alo-sink")
