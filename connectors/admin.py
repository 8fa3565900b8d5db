"""The topics: creates them, and sees whether they are as the settings say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kafka import ANSWER_SECONDS, for_confluent, metadata
from connectors.settings import Settings
from schemas.generation import base_of, generation_of
from schemas.topics import INTERNAL, OF_A_GENERATION, TopicSpec, declared

FRESH = "start with empty data (headrace stack up --fresh)"


class PartitionCountError(Exception):
    """The topics are of another generation, or have another number of partitions, than the settings
    say."""


def partition_counts(brokers: str, seconds: float = ANSWER_SECONDS) -> dict[str, int]:
    """Every topic that there is, with its number of partitions; raises as `metadata` does."""
    known = metadata(brokers, seconds).topics
    return {name: len(topic.partitions) for name, topic in known.items()}


def create_topics(brokers: str, config: Settings) -> None:
    """Create the missing topics, and check those that are there as `check_topics` does."""
    counts = partition_counts(brokers)
    check_topics(counts, config)
    missing = [spec for spec in declared() if spec.name not in counts]
    make_topics(brokers, missing, config.partitions, config.replication)


def make_topics(
    brokers: str, specs: Iterable[TopicSpec], partitions: int, replication: int
) -> None:
    """Create topics."""
    new = [
        NewTopic(
            spec.name,
            num_partitions=partitions,
            replication_factor=replication,
            config=spec.config,
        )
        for spec in specs
    ]
    if not new:
        return
    admin = AdminClient(for_confluent(brokers))
    for name, created in admin.create_topics(new, operation_timeout=30).items():
        try:
            created.result(timeout=60)
        except KafkaException as error:
            raise KafkaException(f"topic {name}: {error}") from error


def check_topics(counts: Mapping[str, int], config: Settings) -> None:
    """See whether the topics that are there are of the generation of the settings, and have their
    number of partitions.

    Raises:
        PartitionCountError: they have not; says what the settings should be.
    """
    found = generations(counts)
    names = [spec.name for spec in declared()]
    strange = [name for name in names if counts.get(name, config.partitions) != config.partitions]
    if not strange and (not found or config.generation in found):
        return
    what = (
        f"topic {strange[0]} has {counts[strange[0]]} partitions, HEADRACE_PARTITIONS says "
        f"{config.partitions}"
        if strange
        else f"there are no topics of generation {config.generation}, which HEADRACE_GENERATION "
        "says"
    )
    raise PartitionCountError(f"{what}; {_advice(counts, found)}")


def generations(counts: Mapping[str, int]) -> dict[int, int]:
    """The generations of which there are topics, with the number of their partitions."""
    found: dict[int, int] = {}
    logs = {base_of(topic) for topic in INTERNAL}
    for name, partitions in counts.items():
        if base_of(name) in logs:
            found[generation_of(name)] = partitions
    return found


def going_on(counts: Mapping[str, int]) -> dict[str, int]:
    """The topics that go on through all generations, with the number of their partitions."""
    names = [spec.name for spec in declared() if spec.name not in OF_A_GENERATION]
    return {name: counts[name] for name in names if name in counts}


def _advice(counts: Mapping[str, int], found: Mapping[int, int]) -> str:
    sizes = set(going_on(counts).values())
    if len(sizes) > 1:
        return (
            f"some topics have {min(sizes)} partitions, others {max(sizes)}: `headrace migrate "
            f"partitions --to {max(sizes)}` was interrupted; run it again, with the settings that "
            "it had"
        )
    fitting = [generation for generation, size in found.items() if {size} == sizes]
    if not fitting:
        return f"set it to {max(sizes)}, or {FRESH}" if sizes else FRESH
    return (
        f"set HEADRACE_PARTITIONS={max(sizes)} and HEADRACE_GENERATION={max(fitting)}, or {FRESH}"
    )
