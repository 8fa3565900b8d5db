"""Creates what must exist before anything runs: topics, keyspace, tables."""

from __future__ import annotations

from cassandra.cluster import Session

from connectors.admin import create_topics
from connectors.cassandra import connect
from connectors.cassandra_tables import statements
from connectors.settings import Settings, settings
from connectors.stack.addresses import Addresses


def prepare(addresses: Addresses) -> None:
    """Create every declared topic and table that is not there yet.

    Raises:
        PartitionCountError: topics are there with another number of partitions, or of another
            generation.
    """
    create_topics(addresses.kafka, settings())
    cluster, session = connect(addresses.cassandra)
    try:
        create_tables(session, settings())
    finally:
        cluster.shutdown()


def create_tables(session: Session, config: Settings) -> None:
    """Create the keyspace and the missing tables."""
    for statement in statements(config.cassandra_keyspace, config.replication):
        session.execute(statement, timeout=60)
