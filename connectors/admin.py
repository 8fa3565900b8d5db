"""Creates what must exist before anything runs: topics, keyspace, tables."""

from __future__ import annotations

from cassandra.cluster import Session
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.cassandra import connect
from connectors.cassandra_tables import statements
from connectors.kafka import for_confluent, metadata
from connectors.settings import Settings, settings
from connectors.stack.addresses import Addresses
from schemas.topics import declared


class PartitionCountError(Exception):
    """A topic has another number of partitions than the state was built with."""


def prepare(addresses: Addresses) -> None:
    """Create every declared topic and table that is not there yet.

    Raises:
        PartitionCountError: a topic is there with another number of partitions.
    """
    create_topics(addresses.kafka, settings())
    cluster, session = connect(addresses.cassandra)
    try:
        create_tables(session, settings())
    finally:
        cluster.shutdown()


def create_topics(brokers: str, config: Settings) -> None:
    """Create the missing topics, and check the partition counts of those that are there."""
    existing = metadata(brokers).topics
    wanted = declared()
    for spec in wanted:
        there = existing.get(spec.name)
        if there is not None and len(there.partitions) != config.partitions:
            raise PartitionCountError(
                f"topic {spec.name} has {len(there.partitions)} partitions, HEADRACE_PARTITIONS "
                f"says {config.partitions}; set it to {len(there.partitions)}, or start with "
                "empty data (headrace stack up --fresh)"
            )
    missing = [
        NewTopic(
            spec.name,
            num_partitions=config.partitions,
            replication_factor=config.replication,
            config=spec.config,
        )
        for spec in wanted
        if spec.name not in existing
    ]
    if not missing:
        return
    admin = AdminClient(for_confluent(brokers))
    for name, created in admin.create_topics(missing, operation_timeout=30).items():
        try:
            created.result(timeout=60)
        except KafkaException as error:
            raise KafkaException(f"topic {name}: {error}") from error


def create_tables(session: Session, config: Settings) -> None:
    """Create the keyspace and the missing tables."""
    for statement in statements(config.cassandra_keyspace, config.replication):
        session.execute(statement, timeout=60)
