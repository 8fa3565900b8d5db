"""The local stack for real: it comes up, keeps its data, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from cassandra.cluster import Session
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.cassandra import connect
from connectors.settings import settings
from connectors.stack import addresses as records
from connectors.stack.addresses import Addresses
from connectors.stack.errors import PartDied, StackBusy, StackError
from connectors.stack.local import LocalStack
from schemas.formats import FORMAT

OWNER = """
import sys, time
from pathlib import Path
from connectors.stack.local import LocalStack
LocalStack(Path(sys.argv[1]), say=lambda line: None).start()
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def own_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start every part, also where the environment names running ones."""
    for name in ("KAFKA_BROKERS", "REDIS_URL", "CASSANDRA_HOSTS"):
        monkeypatch.delenv(name, raising=False)
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def query(addresses: Addresses, statement: str) -> list[tuple[object, ...]]:
    cluster, session = connect(addresses.cassandra)
    try:
        assert isinstance(session, Session)
        return [tuple(row) for row in session.execute(statement)]
    finally:
        cluster.shutdown()


def put(addresses: Addresses) -> None:
    admin = AdminClient({"bootstrap.servers": addresses.kafka})
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(30)
    producer = Producer({"bootstrap.servers": addresses.kafka})
    producer.produce("kept", b"value")
    assert producer.flush(30) == 0
    redis.Redis.from_url(addresses.redis).set("kept", "value")
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    query(addresses, f"CREATE KEYSPACE kept WITH replication = {replication}")
    query(addresses, "CREATE TABLE kept.t (k int PRIMARY KEY, v text)")
    query(addresses, "INSERT INTO kept.t (k, v) VALUES (1, 'value')")


def get(addresses: Addresses) -> tuple[bytes | None, object, object]:
    consumer = Consumer({"bootstrap.servers": addresses.kafka, "group.id": "test"})
    consumer.assign([TopicPartition("kept", 0, 0)])
    message = consumer.poll(30)
    consumer.close()
    rows = query(addresses, "SELECT v FROM kept.t WHERE k = 1")
    found = redis.Redis.from_url(addresses.redis).get("kept")
    return (message.value() if message else None, found, rows[0][0])


def test_data_is_kept_across_kills_and_stops(tmp_path: Path) -> None:
    kept = (b"value", b"value", "value")
    with LocalStack(tmp_path, fresh=True) as stack:
        before = stack.addresses
        put(before)
        with pytest.raises(StackBusy):
            LocalStack(tmp_path).start()
        for part in ("kafka", "redis", "cassandra"):
            stack.kill(part)
            stack.check()
            stack.restart(part)
        assert stack.addresses == before
        assert get(before) == kept
    kafka_port = int(before.kafka.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", kafka_port)):
        again = LocalStack(tmp_path)
        try:
            after = again.start()
            assert after.kafka != before.kafka
            assert get(after) == kept
        finally:
            started = time.monotonic()
            again.stop()
    assert time.monotonic() - started < 12
    assert not (tmp_path / "stack.json").exists()


def test_a_killed_owner_leaves_nothing(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        record = records.read(tmp_path / "stack.json")
        assert record is not None
        assert len(record.parts) == 3
        assert record.is_up()
        os.kill(owner.pid, signal.SIGKILL)
    deadline = time.monotonic() + 12
    while any(part.is_up() for part in record.parts):
        assert time.monotonic() < deadline, "a part outlived its owner"
        time.sleep(0.1)


def test_a_killed_guard_takes_its_part_along(tmp_path: Path) -> None:
    with LocalStack(tmp_path, parts=["redis"]) as stack:
        record = records.read(tmp_path / "stack.json")
        assert record is not None
        part = record.parts[0]
        guard = psutil.Process(part.pid).parent()
        assert guard is not None
        guard.kill()
        deadline = time.monotonic() + 5
        while part.is_up():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(PartDied):
            stack.check()


def test_a_dying_part_shows_the_tail_of_its_log(tmp_path: Path) -> None:
    with LocalStack(tmp_path, parts=["redis"]):
        pass
    data = tmp_path / "stack" / "redis" / "data" / "appendonlydir"
    (data / "appendonly.aof.manifest").write_text("this is no manifest\n")
    with pytest.raises(PartDied) as raised:
        LocalStack(tmp_path, parts=["redis"]).start()
    assert "manifest" in raised.value.detail
    assert raised.value.hint


def test_a_part_that_dies_later_is_noticed(tmp_path: Path) -> None:
    with LocalStack(tmp_path, parts=["redis"]) as stack:
        stack.check()
        record = records.read(tmp_path / "stack.json")
        assert record is not None
        os.kill(record.parts[0].pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while record.parts[0].is_up() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)  # the guard's tick
        with pytest.raises(PartDied, match="redis died"):
            stack.check()


def test_the_data_of_another_version_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with LocalStack(tmp_path, parts=("redis",)):
        pass
    mark = tmp_path / "stack" / "format"
    mark.write_text(f"{FORMAT + 1}\n")
    with pytest.raises(StackError, match=f"has format {FORMAT + 1}.*reads {FORMAT}") as refused:
        LocalStack(tmp_path, parts=("redis",)).start()
    assert "HEADRACE_DATA_DIR" in refused.value.hint
    mark.unlink()  # as before there were formats
    with pytest.raises(StackError, match="has format 1"):
        LocalStack(tmp_path, parts=("redis",)).start()
    with LocalStack(tmp_path, parts=("redis",), fresh=True):
        assert mark.read_text() == f"{FORMAT}\n"
