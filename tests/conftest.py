"""The real parts, started once for all integration tests, and what is done without a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.prepare import prepare
from connectors.stack.addresses import Addresses
from connectors.stack.local import LocalStack
from tests.browser import NAMES, find_chromium

WITHOUT_BROWSER = pytest.StashKey[int]()
"""How many tests were left out that need a browser."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a browser where there is none, but for CI, where that is a failure.

    `.ci/run` sets a variable of its own: with `CI` Hypothesis would choose no new examples.
    """
    is_needed = os.environ.get("CI") or os.environ.get("HEADRACE_TESTS_NEED_BROWSER")
    if is_needed or find_chromium() is not None:
        return
    needing = [item for item in items if "browser" in getattr(item, "fixturenames", ())]
    items[:] = [item for item in items if item not in needing]
    config.hook.pytest_deselected(items=needing)
    config.stash[WITHOUT_BROWSER] = len(needing)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was left out."""
    if count := config.stash.get(WITHOUT_BROWSER, 0):
        terminalreporter.write_line(
            f"{count} tests of the page in a browser did not run: no Chromium or Chrome was found "
            f"({', '.join(NAMES)})",
            yellow=True,
        )


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
