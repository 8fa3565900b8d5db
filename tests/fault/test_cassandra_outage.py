"""Cassandra away for a while: nothing is lost.

It is killed, and may have lost what it had confirmed just before: then its sink ends, once, and
starts again from where Cassandra stands.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from connectors import cassandra
from connectors.prepare import prepare
from connectors.settings import settings
from connectors.stack.local import LocalStack
from headrace.supervisor import Supervisor
from schemas.topics import Topic
from streams.engine.sink import CHECK_SECONDS
from tests.fault.test_outages import (
    OUTAGE_SECONDS,
    log_of,
    ready,
    under_load,
    wait_for,
    wait_until_done,
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Kafka and Cassandra of this module alone."""
    parts = ("kafka", "cassandra")
    with LocalStack(tmp_path_factory.mktemp("stack"), fresh=True, parts=parts) as started:
        prepare(started.addresses)
        yield started


def keys_of(stack: LocalStack, topic: Topic) -> set[str]:
    """The keys of a topic, as readers of what is committed see them."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.addresses.kafka,
            "group.id": "test-keys",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    partitions = range(settings().partitions)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    keys: set[str] = set()
    ended = 0
    while ended < len(partitions):
        for message in consumer.consume(10_000, 1):
            if message.error() is None:
                keys.add(message.key().decode())
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF
                ended += 1
    consumer.close()
    return keys


def rows_of(stack: LocalStack, table: str, *columns: str) -> set[str]:
    """The keys of a table, as its topic has them."""
    cluster, session = cassandra.connect(stack.addresses.cassandra, settings().cassandra_keyspace)
    try:
        found = session.execute(f"SELECT {', '.join(columns)} FROM {table}")
        return {"\0".join(row) for row in found}
    finally:
        cluster.shutdown()


def is_back(supervisor: Supervisor) -> bool:
    """Whether the sink is ready; it is started again when it has ended."""
    supervisor.tend()
    return ready(supervisor.monitor_urls["archive"])[0] == 200


def test_cassandra_is_away_for_a_while(stack: LocalStack, tmp_path: Path) -> None:
    with Supervisor(stack.addresses, ("app", "archive"), log_dir=tmp_path) as supervisor:
        archive = supervisor.monitor_urls["archive"]
        with under_load(stack, "away"):
            time.sleep(2)
            stack.kill("cassandra")
            wait_for(lambda: ready(archive)[0] == 503, 40, "still ready")
            assert ready(archive)[1]["degraded"] == ["cassandra"]
            time.sleep(OUTAGE_SECONDS)
            stack.restart("cassandra")
            wait_for(lambda: is_back(supervisor), 120, "not ready again")
            log = log_of(supervisor, "archive")
            assert log.count("store cannot be reached") == 1, "not a line for each try"
            has_ended = "LostWritesError" in log
            assert has_ended or log.count("store can be reached again") == 1
            time.sleep(3 * CHECK_SECONDS)
            wait_for(lambda: is_back(supervisor), 120, "not ready once more")
        wait_until_done(stack, ("headrace-app", "headrace-archive"))
        supervisor.check()
        lines = log_of(supervisor, "archive").splitlines()
        faults = [line for line in lines if "event='fault'" in line]
        assert len(faults) <= 1, "it lost writes once"
        assert all("LostWritesError" in fault for fault in faults)
    posts = keys_of(stack, Topic.VIEW_POSTS)
    assert len(posts) > 100
    assert rows_of(stack, "posts", "post_id") == posts
    users = keys_of(stack, Topic.VIEW_USERS)
    assert rows_of(stack, "users", "user_id") == users
