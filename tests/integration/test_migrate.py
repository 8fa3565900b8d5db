"""Partitions are added to a deployment with everything in it, and every view stays right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from connectors import failpoints, redis
from connectors.admin import partition_counts
from connectors.lag import LagReader, wait_until_quiet
from connectors.prepare import prepare
from connectors.publisher import publish
from connectors.settings import settings
from connectors.sources import (
    Upheaval,
    follow_events,
    generate_activity,
    generate_network,
    profile_events,
    reading_events,
)
from connectors.stack.addresses import Addresses
from connectors.stack.local import LocalStack
from headrace.migrate.fence import DELIVER, members
from headrace.supervisor import Supervisor
from schemas.events import Event, Follow, Post
from schemas.generation import hash_tag, name_in
from schemas.partitioning import partition_of
from schemas.topics import INTERNAL, OF_A_GENERATION, Topic
from tests.oracle import read_log

ROOT = Path(__file__).parents[2]
BEFORE, AFTER = 2, 4
HEAVY_FOLLOWERS = 2_000
FANS = 1_100  # more than are brought something in one checkpoint
HUB_POSTS = 30
NOTICES = str(Topic.VIEW_NOTIFICATIONS)
OLD = {"HEADRACE_PARTITIONS": str(BEFORE), "HEADRACE_HEAVY_FOLLOWERS": str(HEAVY_FOLLOWERS)}
MIGRATE = ("migrate", "partitions", "--to", str(AFTER))
NEW = {"HEADRACE_PARTITIONS": str(AFTER), "HEADRACE_GENERATION": "2"}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """Parts of this module's own, with two partitions."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in OLD.items():
            patch.setenv(name, value)
        settings.cache_clear()
        with LocalStack(tmp_path_factory.mktemp("stack"), fresh=True) as stack:
            prepare(stack.addresses)
            yield stack.addresses
    settings.cache_clear()


def until(what: str, is_so: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline, what
        time.sleep(0.3)
    return found


def history() -> list[Event]:
    """A town, and a hub that many follow, whose posts are put off."""
    now = int(time.time() * 1000)
    pairs = generate_network(150, 1)
    people = list(dict.fromkeys(chain.from_iterable(pairs)))
    early = now - 73 * 3_600_000
    activity = generate_activity(pairs, 2_500, 1, now, hours=72)
    town = Upheaval(people, 1, 40, settings().reports_to_hide).among(activity)
    fans = (
        Follow(event_id=f"fan{n}", action="follow", user_id=f"fan{n}", target="u:hub", at=early)
        for n in range(FANS)
    )
    return [
        *reading_events([*people[::2], "fan1", "fan2"], now),
        *profile_events(people, early, 1),
        *follow_events(pairs, early),
        *fans,
        *town,
    ]


def posts_of_the_hub(first: int) -> Iterator[Event]:
    for n in range(first, first + HUB_POSTS):
        yield Post(
            event_id=f"hub{n}",
            action="created",
            post_id=f"hub{n}",
            author_id="hub",
            at=int(time.time() * 1000),
            content=f"the {n}th #news",
        )


def run(
    addresses: Addresses, what: list[str], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        what,
        env={
            **os.environ,
            "KAFKA_BROKERS": addresses.kafka,
            "REDIS_URL": addresses.redis,
            "CASSANDRA_HOSTS": addresses.cassandra,
            **environment,
        },
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )


def command(addresses: Addresses, *arguments: str, **environment: str) -> tuple[int, str]:
    done = run(addresses, [sys.executable, "-m", "headrace", *arguments], environment)
    return done.returncode, done.stdout


def stages(supervisor: Supervisor, name: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{supervisor.monitor_urls[name]}/stages/", timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def unread(brokers: str) -> dict[str, int]:
    """How much waits in the internal logs."""
    with closing(LagReader(brokers)) as reader:
        found = reader.read().by_topic()
    return {topic: count for (group, topic), count in found.items() if topic in INTERNAL}


def leave_in_the_middle(
    addresses: Addresses, events: list[Event], logs: Path, patch: pytest.MonkeyPatch
) -> None:
    """Publish, and have the sinks end where they are, and the folds die with work put off and
    records unread."""
    file, most = logs / "failpoint", len(events) * 4 // 5
    with patch.context() as armed:
        armed.setenv(failpoints.VARIABLE, str(file))
        folds = Supervisor(addresses, apps=("app",), log_dir=logs)
        with folds:
            with patch.context() as others:
                others.delenv(failpoints.VARIABLE)
                with Supervisor(addresses, apps=("views", "archive"), log_dir=logs):
                    publish(addresses.kafka, events[:most])
                    code, said = command(addresses, *MIGRATE)
                    assert code == 2
                    assert "still alive" in said
                    assert "headrace-archive" in said
                    topics = {"headrace-app": (*INTERNAL, Topic.FOLLOWS)}
                    wait_until_quiet(addresses.kafka, 60, groups=topics)
            publish(addresses.kafka, posts_of_the_hub(0))
            until(
                "posts that are put off",
                lambda: stages(folds, "app")["by-source"]["rows"].get("job", 0) > 2,
            )
            failpoints.arm(file, "before-commit@by-source:1")
            publish(addresses.kafka, events[most:])
            until("the mark", failpoints.mark_of(file).exists)
            until("the end of the folds", lambda: not folds._workers["app"].child.is_alive())


def deliverer(brokers: str) -> Consumer:
    return Consumer(
        {"bootstrap.servers": brokers, "group.id": DELIVER, "enable.auto.commit": False}
    )


def told(brokers: str, topic: str, partitions: int) -> dict[int, int]:
    """Where deliveries stand."""
    with closing(deliverer(brokers)) as consumer:
        asked = [TopicPartition(topic, number) for number in range(partitions)]
        return {each.partition: each.offset for each in consumer.committed(asked, 10)}


def deliver_half(brokers: str) -> int:
    """Commit as deliveries do, in the middle of each partition; how many records are below."""
    offsets: dict[int, list[int]] = {number: [] for number in range(BEFORE)}
    for _, number, offset, _, _ in read_log.read_topics(brokers, (NOTICES,)):
        offsets[number].append(offset)
    with closing(deliverer(brokers)) as consumer:
        middles = [
            TopicPartition(NOTICES, number, some[len(some) // 2])
            for number, some in offsets.items()
        ]
        consumer.commit(offsets=middles, asynchronous=False)
    return sum(len(some) // 2 for some in offsets.values())


def refused(addresses: Addresses, why: str, **environment: str) -> None:
    """A worker does not start, and says why."""
    faust = [sys.executable, "-m", "faust", "-A", "topology", "worker"]
    done = run(addresses, faust, environment)  # before it has any port
    assert done.returncode == 70, done.stdout
    assert why in done.stdout.splitlines()[-1]


def key_of(kind: str, user_id: str) -> str:
    return f"{kind}:{hash_tag(partition_of(user_id, AFTER), 2)}:{user_id}"


def positions(addresses: Addresses, topic: str) -> dict[int, int]:
    from connectors.cassandra import connect

    cluster, session = connect(addresses.cassandra, settings().cassandra_keyspace)
    try:
        query = "SELECT partition, position FROM positions WHERE topic = %s ALLOW FILTERING"
        return {row.partition: row.position for row in session.execute(query, (topic,))}
    finally:
        cluster.shutdown()


@pytest.mark.timeout(420, func_only=True)
def test_partitions_are_added(
    addresses: Addresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path / "data"))
    settings.cache_clear()
    events = history()
    rest = len(events) // 2
    leave_in_the_middle(addresses, events[:rest], tmp_path, monkeypatch)
    assert command(addresses, "source", "u:hub", "heavy") == (0, "u:hub is heavy\n")
    until("no members", lambda: not members(addresses.kafka))
    code, said = command(addresses, *MIGRATE, "--dry-run")
    assert code == 0, said
    assert "nothing of it is in use" in said
    delivered = deliver_half(addresses.kafka)
    assert unread(addresses.kafka).keys() >= {"by-source"}
    assert positions(addresses, "timeline-writes")
    with closing(redis.connect(addresses.redis)) as client:
        before = set(client.scan_iter(match="*:{p[0-9]*"))
        assert before
        client.hset("told:{p1}:fan1", "follow\0", "x")
        client.set("request:{p0}:ann\0k", "answer", ex=1_000)

    file = tmp_path / "migration"
    for point, last in (("mid-copy:9", "copying"), ("mid-growth:3", "closing")):
        failpoints.arm(file, point)
        code, said = command(addresses, *MIGRATE, **{failpoints.VARIABLE: str(file)})
        assert code == -signal.SIGKILL, said
        assert failpoints.mark_of(file).exists()
        assert last in said
        if point == "mid-copy:9":
            refused(addresses, "set HEADRACE_PARTITIONS=2 and HEADRACE_GENERATION=1", **NEW)

    report = tmp_path / "report.json"
    code, said = command(addresses, *MIGRATE, "--json", str(report))
    assert code == 0, said
    assert "HEADRACE_PARTITIONS=4 and HEADRACE_GENERATION=2" in said
    refused(addresses, "set HEADRACE_PARTITIONS=4 and HEADRACE_GENERATION=2")
    counts = partition_counts(addresses.kafka)
    assert {counts[name_in(2, name)] for name in OF_A_GENERATION} == {AFTER}
    assert {counts[topic] for topic in (Topic.POSTS, "changelog.posts", "exposures")} == {AFTER}
    written = positions(addresses, "timeline-writes.g2")
    assert set(written) == set(range(AFTER))
    assert sum(written.values()) > 0
    assert sum(told(addresses.kafka, name_in(2, NOTICES), AFTER).values()) == delivered

    for name, value in NEW.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    with Supervisor(addresses, log_dir=tmp_path):
        publish(addresses.kafka, chain(events[rest:], posts_of_the_hub(HUB_POSTS)))
        code, said = command(
            addresses, "verify", "--no-replay", "--json", str(report), "--timeout", "120"
        )
        found = json.loads(report.read_text())
        assert code == 0, said
        compared = {(row["kind"], row["store"]): row["compared"] for row in found["rows"]}
        for kind in ("timeline", "counters", "sources", "following", "affinity", "names", "mine"):
            for store in ("redis", "cassandra"):
                assert compared[kind, store] > 0, (kind, store)
        assert compared["trending", "redis"] > 0
        assert compared["timeline", "api"] > 0

        with closing(redis.connect(addresses.redis)) as client:
            assert {key for key in client.scan_iter(match="*:{p[0-9]*")} >= before
            assert client.hgetall(key_of("told", "fan1")) == {b"follow\0": b"x"}
            assert 0 < client.ttl(key_of("request", "ann") + "\0k") <= 1_000
            code, said = command(addresses, "migrate", "drop", "1", "--yes")
            assert code == 0, said
            assert not list(client.scan_iter(match="*:{p[0-9]*"))
            assert list(client.scan_iter(match="*:{g2p[0-9]*"))
    assert not set(partition_counts(addresses.kafka)) & set(OF_A_GENERATION)
    code, said = command(addresses, "migrate", "drop", "2")  # refused before it asks
    assert code == 2
    assert "not an earlier one" in said
