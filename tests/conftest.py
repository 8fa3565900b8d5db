"""The real parts, started once for all integration tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.admin import prepare
from connectors.stack.addresses import Addresses
from connectors.stack.local import LocalStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Kafka, Valkey and Cassandra with every topic and table, and nothing in them."""
    with LocalStack(tmp_path_factory.mktemp("stack"), fresh=True) as stack:
        prepare(stack.addresses)
        yield stack


@pytest.fixture(scope="session")
def addresses(stack: LocalStack) -> Addresses:
    """Where the shared parts are."""
    return stack.addresses


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Parts for one module alone."""
    with LocalStack(tmp_path_factory.mktemp("stack"), fresh=True) as stack:
        prepare(stack.addresses)
        yield stack


@pytest.fixture(scope="module")
def own_addresses(own_stack: LocalStack) -> Addresses:
    """Where the module's own parts are."""
    return own_stack.addresses


@pytest.fixture(scope="session")
def kafka_brokers(addresses: Addresses) -> str:
    """Kafka's addresses."""
    return addresses.kafka


@pytest.fixture
def environment(addresses: Addresses, tmp_path: Path) -> dict[str, str]:
    """The environment of a process that uses the shared parts."""
    return {
        **os.environ,
        "KAFKA_BROKERS": addresses.kafka,
        "REDIS_URL": addresses.redis,
        "CASSANDRA_HOSTS": addresses.cassandra,
        "HEADRACE_DATA_DIR": str(tmp_path),
    }
