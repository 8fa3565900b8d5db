"""The checkpoint: the one place where outputs, changed rows and the position become durable."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaException, Message, Producer

from connectors.admin import PartitionCountError
from connectors.failpoints import reach
from connectors.kafka import for_confluent
from schemas.topics import Topic, changelog_of
from streams.engine.outbox import Output
from streams.engine.state import State

TRANSACTION_TIMEOUT_MS = 10_000
COMMIT_TIMEOUT_S = 30.0


def transactional_producer(
    brokers: str, app: str, topic: str, partition: int, partitions: int | None = None
) -> Producer:
    """The producer of one owned partition; it fences whoever owned the partition before.

    Raises:
        PartitionCountError: there are not so many `partitions`, if that is given: they were added
            while this worker was paused.
    """
    producer = Producer(
        {
            **for_confluent(brokers),
            "transactional.id": f"{app}-{topic}-{partition}",
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "compression.type": "lz4",
            "linger.ms": 1_000,  # until the commit, which waits for nothing
            "batch.size": 1_000_000,
            "message.max.bytes": 4_000_000,
            "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 1_048_576,
        }
    )
    producer.init_transactions(COMMIT_TIMEOUT_S)
    if partitions is not None:
        _see_that_the_door_is_open(producer, partitions)
    return producer


def _see_that_the_door_is_open(producer: Producer, partitions: int) -> None:
    """Who adds partitions gives them to `dead-letters` first, and fences all workers then: so who
    sees them is late, and who does not is fenced."""
    known = producer.list_topics(Topic.DEAD_LETTERS, COMMIT_TIMEOUT_S).topics
    found = len(known[Topic.DEAD_LETTERS].partitions)
    if found not in (0, partitions):
        raise PartitionCountError(
            f"topic {Topic.DEAD_LETTERS} has {found} partitions, HEADRACE_PARTITIONS says "
            f"{partitions}: partitions were added meanwhile"
        )


def checkpoint(
    producer: Producer,
    topic: str,
    partition: int,
    state: State,
    outputs: Iterable[Output],
    position: int,
) -> None:
    """Make one batch of `topic`/`partition` durable, whole or not at all.

    In one Kafka transaction of the partition's own producer:

    1. the outputs,
    2. the changelog records of every row that the batch changed,
    3. the source position behind the batch, as a row of the same changelog.

    Then, and only then, the changes become the state, in memory or on disk, together with the
    changelog offset behind the position's record, the transaction's last one there: a restore
    goes on from that offset. Readers read committed, so nobody sees a part of it. A worker that
    no longer owns the partition is fenced: its commit raises. Whatever raises here ends the
    process: what it had begun is aborted by the next owner, which restores the state and the
    position of the last checkpoint that was committed.
    """
    changelog = changelog_of(topic)
    place, in_flight = f"{topic}/{partition}", position - (state.position or 0)
    reach("before-outputs", place, in_flight)
    producer.begin_transaction()
    for output in outputs:
        send(producer, output)
    reach("after-outputs", place, in_flight)
    for key, value in state.changes():
        producer.produce(changelog, value, key, partition)
    reach("after-changelog", place, in_flight)
    last: list[Message] = []
    key, value = State.position_change(position)
    producer.produce(
        changelog, value, key, partition, on_delivery=lambda _, record: last.append(record)
    )
    reach("before-commit", place, in_flight)
    commit(producer)
    reach("after-commit", place, in_flight)
    state.commit(position, last[0].offset() + 1)


def send(producer: Producer, output: Output) -> None:
    """Produce an output."""
    topic, partition, key, value, headers = output
    if headers:
        producer.produce(topic, value, key, partition, headers=list(headers))
    else:  # with an argument by name the call is three times as dear
        producer.produce(topic, value, key, partition)


def commit(producer: Producer) -> None:
    """Commit; an answer that did not come in time is asked for again, as the library says."""
    for attempt in range(3):
        try:
            producer.commit_transaction(COMMIT_TIMEOUT_S)
        except KafkaException as error:
            if attempt == 2 or not error.args[0].retriable():
                raise
        else:
            return
