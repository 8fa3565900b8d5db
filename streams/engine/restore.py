"""Restoring a partition's state from its changelog, in batches."""

from __future__ import annotations

import threading
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
from connectors.kafka import for_confluent
from connectors.rocksdb import LocalStateDamagedError
from schemas.topics import changelog_of
from streams.engine.rows import Snapshot, outlived
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


ENDS_GROUP = "restore-ends"


def group_of(topic: str, partition: int) -> str:
    """The group that a restore names, and never joins."""
    return f"restore-{topic}-{partition}"


class Ends:
    """Where changelogs begin and end, asked for over one connection, from any thread."""

    def __init__(self, brokers: str) -> None:
        self.brokers = brokers
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None

    def of(self, changelog: TopicPartition) -> tuple[int, int]:
        """The first offset, and the one behind the last that readers of what is committed can get.

        Errors are asked over: the library does not do so when the leader has just changed.

        Raises:
            RestoreError: it was not told for 30 s.
        """
        with self._lock:
            if self._consumer is None:
                self._consumer = _consumer(self.brokers, ENDS_GROUP)
        deadline = time.monotonic() + STALL_SECONDS
        why = ""
        while (left := deadline - time.monotonic()) > 0:
            try:
                first, end = self._consumer.get_watermark_offsets(changelog, left)
            except KafkaException as error:
                why = str(error)
            else:
                return int(first), int(end)
            time.sleep(WAIT_SECONDS)
        raise RestoreError(
            f"{changelog.topic}/{changelog.partition}: its end was not told in "
            f"{STALL_SECONDS:.0f} s: {why}; is the broker up?"
        )

    def close(self) -> None:
        """Close the connection; to be used no more."""
        if self._consumer is not None:
            self._consumer.close()


def restore(ends: Ends, topic: str, partition: int, state: State, progress: Progress) -> None:
    """Bring `state` to the end of the changelog of `topic`/`partition`, from where it stands.

    To be called when the former owner is fenced: then the changelog's end is final. It is asked
    for once, before anything is read: a leader that was elected a moment ago refuses to tell it
    until it knows what is replicated, but already serves what it knows, up to an end of its own.
    That it is reached is judged by the consumer, as commit markers occupy offsets that no record
    shows; but where only the marker is left of the transaction that the state ends with, as after
    a stop in order, nothing is read. A state that stands outside the changelog, stood still for too
    long, or turns out to be damaged, is discarded, and restored from the beginning.

    Raises:
        RestoreError: no record came for 30 s before the end was reached, or it was not told.
        LocalStateDamagedError: what was restored from the beginning is damaged.
    """
    why = None if state.snapshot is None else outlived(state.snapshot)
    if why is not None:
        state.discard(why)
    began = time.time_ns() // 1_000_000
    first, end = ends.of(TopicPartition(changelog_of(topic), partition))
    if _has_all(state.snapshot, first, end):
        _note_end(state, began, progress)
        return
    consumer = _consumer(ends.brokers, group_of(topic, partition))
    try:
        while True:
            stood = state.snapshot
            try:
                if _read(consumer, topic, partition, end, state, progress):
                    return
                state.discard("the changelog does not have the offset that it stands at")
            except LocalStateDamagedError as damage:
                if stood is None:
                    raise
                state.discard(str(damage))
    finally:
        consumer.close()


def _consumer(brokers: str, group: str) -> Consumer:
    return Consumer(
        {
            **for_confluent(brokers),
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 5,  # its second is a pause whenever the queue is full
        }
    )


def _has_all(stood: Snapshot | None, first: int, end: int) -> bool:
    """Whether a changelog has nothing beyond what rows hold: at most the marker of their own last
    transaction, as that of any other comes behind a record of it."""
    if stood is None:
        return first == end
    return first <= stood.changelog_offset and end - 1 <= stood.changelog_offset <= end


def _note_end(state: State, at: int, progress: Progress) -> None:
    """The state is all that the changelog had at a time (ms)."""
    if state.snapshot is not None:
        state.restore({}, state.snapshot.changelog_offset, at)
    progress.percent = 100.0


def _read(
    consumer: Consumer, topic: str, partition: int, end: int, state: State, progress: Progress
) -> bool:
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
        told = [(m.offset(), error) for m in messages if (error := m.error()) is not None]
        if told:
            messages = [message for message in messages if message.error() is None]
        if messages:
            heard = time.monotonic()
            reach("mid-restore", f"{topic}/{partition}", progress.rows + len(messages))
            reached = messages[-1].offset() + 1
            state.restore({m.key(): m.value() for m in messages}, reached, at)
            first = messages[0].offset() if first is None else first
            progress.rows += len(messages)
            progress.percent = round(100 * (reached - first) / max(end - first, 1), 1)
        for offset, error in told:
            if error.code() != KafkaError._PARTITION_EOF or offset >= end:
                return _is_at_end(error, state, began, progress)
        if not messages and time.monotonic() - heard > STALL_SECONDS:
            raise RestoreError(
                f"{changelog.topic}/{partition}: no record for {STALL_SECONDS:.0f} s after "
                f"{progress.rows} records, and it ends at {end}; is the broker up?"
            )


def _is_at_end(error: KafkaError, state: State, began: int, progress: Progress) -> bool:
    match error.code():
        case KafkaError._PARTITION_EOF:
            _note_end(state, began, progress)
            return True
        case KafkaError._AUTO_OFFSET_RESET:
            return False
        case _:
            raise KafkaException(error)
