"""Restoring a partition's state from its changelog, in batches."""

from __future__ import annotations

import time

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from msgspec import Struct

from connectors.failpoints import reach
from connectors.rocksdb import LocalStateDamagedError
from schemas.topics import changelog_of
from streams.engine.rows import outlived
from streams.engine.state import State

BATCH = 10_000
WAIT_SECONDS = 0.05  # a call returns then, also when it has only part of a batch
STALL_SECONDS = 30.0


class RestoreError(Exception):
    """The changelog could not be read to its end."""


class Progress(Struct):
    """How far a restore is: changelog records read, and percent of the offsets to read."""

    rows: int = 0
    percent: float = 0.0


def restore(brokers: str, topic: str, partition: int, state: State, progress: Progress) -> None:
    """Bring `state` to the end of the changelog of `topic`/`partition`, from where it stands.

    To be called when the former owner is fenced: then the changelog's end is final. The end is
    judged by the consumer, as commit markers occupy offsets that no record shows. A state that
    stands outside the changelog, stood still for too long, or turns out to be damaged, is
    discarded, and restored from the beginning.

    Raises:
        RestoreError: nothing came for 30 s before the end was reached.
        LocalStateDamagedError: what was restored from the beginning is damaged.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"restore-{topic}-{partition}",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 5,  # its second is a pause whenever the queue is full
        }
    )
    try:
        why = None if state.snapshot is None else outlived(state.snapshot)
        if why is not None:
            state.discard(why)
        while True:
            stood = state.snapshot
            try:
                if _read(consumer, topic, partition, state, progress):
                    return
                state.discard("the changelog does not have the offset that it stands at")
            except LocalStateDamagedError as damage:
                if stood is None:
                    raise
                state.discard(str(damage))
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str, partition: int, state: State, progress: Progress) -> bool:
    """Read from where the state stands to the end; False when the changelog has no such place."""
    began = time.time_ns() // 1_000_000
    stood = state.snapshot
    start = OFFSET_BEGINNING if stood is None else stood.changelog_offset
    changelog = TopicPartition(changelog_of(topic), partition, start)
    at = began if stood is None else stood.at
    consumer.assign([changelog])
    first: int | None = None
    heard = time.monotonic()
    while True:
        messages = consumer.consume(BATCH, WAIT_SECONDS)
        if messages:
            heard = time.monotonic()
        elif time.monotonic() - heard > STALL_SECONDS:
            raise RestoreError(
                f"{changelog.topic}/{partition}: no record for {STALL_SECONDS:.0f} s "
                f"after {progress.rows} records; is the broker up?"
            )
        errors = [error for message in messages if (error := message.error()) is not None]
        if errors:
            messages = [message for message in messages if message.error() is None]
        if messages:
            reach("mid-restore", f"{topic}/{partition}", progress.rows + len(messages))
            reached = messages[-1].offset() + 1
            state.restore({m.key(): m.value() for m in messages}, reached, at)
            first = messages[0].offset() if first is None else first
            _, end = consumer.get_watermark_offsets(changelog, cached=True)
            progress.rows += len(messages)
            progress.percent = round(100 * (reached - first) / max(end - first, 1), 1)
        if errors:
            return _is_at_end(errors[0], state, began, progress)


def _is_at_end(error: KafkaError, state: State, began: int, progress: Progress) -> bool:
    match error.code():
        case KafkaError._PARTITION_EOF:
            if state.snapshot is not None:
                state.restore({}, state.snapshot.changelog_offset, began)
            progress.percent = 100.0
            return True
        case KafkaError._AUTO_OFFSET_RESET:
            return False
        case _:
            raise KafkaException(error)
