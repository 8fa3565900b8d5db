"""The topics of a new generation are made, and the others are given partitions."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions

from connectors.admin import make_topics, partition_counts
from connectors.failpoints import reach
from connectors.kafka import for_confluent
from schemas.generation import name_in
from schemas.topics import OF_A_GENERATION, TopicSpec, declared

ANSWER_SECONDS = 60.0
PAUSE_SECONDS = 0.1


class TopicsError(Exception):
    """Kafka has not done in time what it was asked for."""


def specs_of(generation: int) -> list[TopicSpec]:
    """The topics of a generation."""
    return [
        TopicSpec(name_in(generation, spec.name), spec.config)
        for spec in declared()
        if spec.name in OF_A_GENERATION
    ]


def make_generation(brokers: str, generation: int, partitions: int, replication: int) -> None:
    """Make the topics of a generation, without what an earlier run has left of them."""
    specs = specs_of(generation)
    drop_topics(brokers, [spec.name for spec in specs])

    def make() -> bool:
        try:
            make_topics(brokers, specs, partitions, replication)
        except KafkaException as error:
            cause = error.__cause__
            if isinstance(cause, KafkaException) and (
                cause.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
            ):  # it is being deleted still
                drop_topics(brokers, [spec.name for spec in specs])
                return False
            raise
        return True

    _wait(make, f"the topics of generation {generation} are not made")


def drop_topics(brokers: str, names: Collection[str]) -> int:
    """Delete those topics that are there, and wait until none is; how many."""
    there = partition_counts(brokers).keys() & set(names)
    if there:
        admin = AdminClient(for_confluent(brokers))
        for deleted in admin.delete_topics(sorted(there), operation_timeout=30).values():
            try:
                deleted.result(ANSWER_SECONDS)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
        _wait(
            lambda: not partition_counts(brokers).keys() & set(names),
            f"topics are not deleted: {', '.join(sorted(there)[:3])} ...",
        )
    return len(there)


def grow(brokers: str, names: Collection[str], partitions: int) -> None:
    """Give topics partitions, those that have fewer."""
    admin = AdminClient(for_confluent(brokers))
    counts = partition_counts(brokers)
    for name in names:
        if counts[name] < partitions:
            (grown,) = admin.create_partitions([NewPartitions(name, partitions)]).values()
            grown.result(ANSWER_SECONDS)
            reach("mid-growth", name, partitions)
    _wait(
        lambda: all(partition_counts(brokers).get(name) == partitions for name in names),
        f"not all topics have {partitions} partitions",
    )


def _wait(is_done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while not is_done():
        if time.monotonic() > deadline:
            raise TopicsError(f"after {ANSWER_SECONDS:.0f} s {what}: what does Kafka log?")
        time.sleep(PAUSE_SECONDS)
