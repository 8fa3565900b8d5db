"""Processes killed with SIGKILL in the middle of their work: the views equal the oracle's."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from connectors.admin import create_topics
from connectors.lag import LagReader, wait_until_quiet
from connectors.publisher import publish
from connectors.settings import settings
from connectors.sources import follow_events, generate_activity, generate_network
from connectors.stack.addresses import Addresses
from connectors.stack.errors import PartDied
from connectors.stack.local import LocalStack
from headrace.supervisor import Supervisor
from schemas.events import Event

SEED = 20_261_121
EVENTS = 200_000
RATE = 700
COMPARED = 20_000
KILLS = ("app", "views", "app", "archive", "app")


def all_views(environment: dict[str, str], report: Path) -> None:
    """Compare what is there with the oracle; fails with the report."""
    command = [sys.executable, "-m", "headrace", "verify", "--no-replay", "--json", str(report)]
    command += ["--timeout", "60"]
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert sum(row["compared"] for row in json.loads(report.read_text())["rows"]) > COMPARED


def wait_for_ready(supervisor: Supervisor, name: str) -> None:
    deadline = time.monotonic() + 90
    while not supervisor.is_ready(name):
        assert time.monotonic() < deadline, f"{name} did not become ready again"
        supervisor.tend()
        time.sleep(0.2)


def test_kill_9(addresses: Addresses, environment: dict[str, str], tmp_path: Path) -> None:
    print(f"seed {SEED}")
    pairs = generate_network(250, SEED)
    now = time.time_ns() // 1_000_000
    network: list[Event] = list(follow_events(pairs, now - 3 * 86_400_000, prefix="kill"))
    is_over = threading.Event()
    activity = itertools.takewhile(
        lambda _: not is_over.is_set(), generate_activity(pairs, EVENTS, SEED, now)
    )
    with Supervisor(addresses, log_dir=tmp_path / "logs") as supervisor:
        publish(addresses.kafka, network)
        load = threading.Thread(
            target=publish, args=(addresses.kafka, activity), kwargs={"rate": RATE}
        )
        load.start()
        lag = LagReader(addresses.kafka)
        for name in KILLS:
            waiting = 0
            while not waiting:
                waiting = lag.read().by_group().get(f"headrace-{name}", 0)
                assert load.is_alive(), "the load ended before the fault"
            pid = supervisor.pid(name)
            os.kill(pid, signal.SIGKILL)
            print(f"killed {name} ({pid}) with {waiting} records waiting")
            wait_for_ready(supervisor, name)
            assert supervisor.pid(name) != pid, "the fault did not fire"
        is_over.set()
        load.join()
        wait_until_quiet(addresses.kafka, 120)
        all_views(environment, tmp_path / "report.json")
        supervisor.check()


def test_redis_starts_empty(
    addresses: Addresses, environment: dict[str, str], tmp_path: Path
) -> None:
    """A Redis that lost everything is filled again from the topics."""
    client = redis.Redis.from_url(addresses.redis)
    keys = client.dbsize()
    assert isinstance(keys, int)
    assert keys > 0
    client.flushall()
    client.close()
    with Supervisor(addresses, log_dir=tmp_path / "logs") as supervisor:
        wait_until_quiet(addresses.kafka, 120)
        all_views(environment, tmp_path / "report.json")
        supervisor.check()


def run(supervisor: Supervisor) -> None:
    with supervisor:
        pass


def test_a_redis_and_a_cassandra_of_another_kafka_are_refused(
    addresses: Addresses, tmp_path: Path
) -> None:
    """Views of one log are never mixed with those of another: the sinks end and say why."""
    with LocalStack(tmp_path / "stack", fresh=True, parts=("kafka",)) as other:
        create_topics(other.addresses.kafka, settings())
        mixed = replace(addresses, kafka=other.addresses.kafka)
        for name in ("views", "archive"):
            with pytest.raises(PartDied, match="holds the views of another Kafka"):
                run(Supervisor(mixed, (name,), log_dir=tmp_path / "logs"))
