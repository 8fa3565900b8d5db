"""`headrace rebuild timelines` on the real parts, while the workers write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
import redis
from cassandra.cluster import Session
from confluent_kafka import Producer

from connectors import cassandra
from connectors.cassandra_tables import month_of
from connectors.lag import wait_until_quiet
from connectors.publisher import Publisher, publish
from connectors.redis_keys import Keys, member
from connectors.redis_shadow import ShadowFeeds, Swap
from connectors.settings import settings
from connectors.sources import (
    follow_events,
    generate_activity,
    generate_network,
    profile_events,
    reading_events,
)
from connectors.stack.addresses import Addresses
from headrace.rebuild.report import Report
from headrace.rebuild.run import Options, run
from headrace.supervisor import Supervisor
from headrace.verify import check
from schemas.events import Event, Follow, Post
from schemas.partitioning import partition_of
from schemas.topics import Topic
from streams.archive_sink import timestamp_of
from streams.engine.outbox import MAX_OPERATIONS_PER_RECORD
from streams.facts import Tick, encode_fact

PEOPLE = generate_network(60, 3)
NOW = int(time.time() * 1000)
DAMAGE_PLACE = MAX_OPERATIONS_PER_RECORD - 1  # after what a record does, before corrections


class Quiet:
    """Where steps say what they do."""

    def step(self, text: str) -> None:
        """Nobody looks."""

    def detail(self, text: str) -> None:
        """Nobody looks."""


class Stores:
    """Both stores, as a test looks into them."""

    def __init__(self, addresses: Addresses, held: ExitStack) -> None:
        self.addresses = addresses
        self.keys = Keys(settings().partitions)
        self.redis = redis.Redis.from_url(addresses.redis)
        held.callback(self.redis.close)
        cluster, session = cassandra.connect(addresses.cassandra, settings().cassandra_keyspace)
        held.callback(cluster.shutdown)
        self.session: Session = session

    def feed(self, owner: str) -> dict[tuple[str, str], int]:
        partition = partition_of(owner, self.keys.partitions)
        return ShadowFeeds(self.redis, self.keys, partition).read([owner]).feeds[owner].entries

    def rows(self, owner: str) -> set[tuple[str, str]]:
        query = "SELECT post_id, reason FROM timeline WHERE owner = %s AND bucket = %s"
        months = {month_of(NOW), month_of(NOW - 10 * 86_400_000)}
        found = (row for month in months for row in self.session.execute(query, (owner, month)))
        return {(row.post_id, row.reason) for row in found}

    def damage_time(self, owner: str) -> int:
        query = "SELECT position FROM positions WHERE topic = 'timeline-writes' AND partition = %s"
        partition = partition_of(owner, self.keys.partitions)
        position = self.session.execute(query, (partition,)).one().position
        return timestamp_of(position - 1, DAMAGE_PLACE)

    def rebuild(self, **options: Any) -> Report:
        return run(self.addresses, settings(), Options(**options), Quiet())

    def publish(self, *events: Event) -> None:
        publish(self.addresses.kafka, events)

    def settle(self) -> None:
        wait_until_quiet(self.addresses.kafka, 60)


@pytest.fixture(scope="module")
def stores(own_addresses: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Stores with a small network's views, and workers that go on."""
    with ExitStack() as held:
        held.enter_context(Supervisor(own_addresses, log_dir=tmp_path_factory.mktemp("logs")))
        found = Stores(own_addresses, held)
        people = sorted({person for pair in PEOPLE for person in pair})
        found.publish(*reading_events([*people, "reader"], NOW))
        found.publish(*profile_events(people, NOW - 5_000, 3), *follow_events(PEOPLE, NOW - 4_000))
        found.settle()
        found.publish(*generate_activity(PEOPLE, 1_500, 3, NOW, hours=1))
        found.settle()
        yield found


def command(addresses: Addresses, tmp_path: Path, *arguments: str) -> tuple[int, str, Any]:
    report = tmp_path / "report.json"
    environment = {
        **os.environ,
        "KAFKA_BROKERS": addresses.kafka,
        "REDIS_URL": addresses.redis,
        "CASSANDRA_HOSTS": addresses.cassandra,
    }
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "rebuild", "timelines", "--json", report, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, json.loads(report.read_text()) if report.exists() else None


_numbers = count()


def post(author: str, post_id: str, action: Any = "created") -> Post:
    now = int(time.time() * 1000)
    return Post(
        event_id=f"e{next(_numbers)}",
        action=action,
        post_id=post_id,
        author_id=author,
        at=now,
        content="" if action == "deleted" else "as of then",
    )


def follow(user_id: str, target: str, action: Any = "follow") -> Follow:
    now = int(time.time() * 1000)
    number = next(_numbers)
    return Follow(event_id=f"e{number}", action=action, user_id=user_id, target=target, at=now)


def test_a_feed_becomes_what_it_was_then(stores: Stores, tmp_path: Path) -> None:
    """What was put on since goes, what was deleted since stays away, what comes later comes."""
    stores.publish(follow("reader", "u:kept"), follow("reader", "u:left"))
    stores.settle()
    stores.publish(
        post("kept", "stays"), post("kept", "deleted"), post("left", "back"), post("left", "gone")
    )
    stores.settle()
    before = {
        ("stays", "u:kept"),
        ("deleted", "u:kept"),
        ("back", "u:left"),
        ("gone", "u:left"),
    }
    assert stores.feed("reader").keys() == stores.rows("reader") == before
    time.sleep(0.05)
    moment = datetime.now(UTC).isoformat()
    time.sleep(0.05)
    stores.publish(follow("reader", "u:left", "unfollow"))
    stores.settle()
    stores.publish(
        post("kept", "new"), post("kept", "deleted", "deleted"), post("left", "gone", "deleted")
    )
    stores.settle()
    live = {("stays", "u:kept"), ("new", "u:kept")}
    assert stores.feed("reader").keys() == stores.rows("reader") == live

    arguments = ("--user", "reader", "--at", moment)
    code, output, report = command(stores.addresses, tmp_path, *arguments, "--dry-run")
    assert code == 1, output
    wanted = {("missing", "back", "u:left"), ("extra", "new", "u:kept")}
    for store in ("redis", "cassandra"):
        found = {(r["what"], r["post_id"], r["reason"]) for r in report[store]["rows"]}
        assert found == wanted, output
    assert stores.feed("reader").keys() == stores.rows("reader") == live

    code, output, report = command(stores.addresses, tmp_path, *arguments)
    assert code == 0, output
    then_feed = {("stays", "u:kept"), ("back", "u:left")}
    assert stores.feed("reader").keys() == stores.rows("reader") == then_feed
    code, output, report = command(stores.addresses, tmp_path, *arguments, "--dry-run")
    assert code == 0, output

    stores.publish(post("kept", "later"))
    stores.settle()
    later = then_feed | {("later", "u:kept")}
    assert stores.feed("reader").keys() == stores.rows("reader") == later

    report = stores.rebuild(users=("reader",))
    assert (report.different, report.left) == (2, 0)
    now = live | {("later", "u:kept")}
    assert stores.feed("reader").keys() == stores.rows("reader") == now


@contextmanager
def load(addresses: Addresses) -> Iterator[None]:
    """New posts, some 25 a second, so that most feeds are written all the time."""
    stop = threading.Event()
    authors = sorted({target for _, target in PEOPLE})

    def publish_on() -> None:
        rng = Random(5)
        with Publisher(addresses.kafka) as publisher:
            for number in count():
                if stop.wait(0.04):
                    return
                publisher.publish(post(rng.choice(authors), f"load{number}"))

    thread = threading.Thread(target=publish_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_damage_is_named_and_mended_under_load(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, client = stores.keys, stores.redis
    people = sorted({reader for reader, _ in PEOPLE}, key=lambda p: -len(stores.feed(p)))
    dropped, lost, doubled, row_lost, row_added = people[:5]
    with load(stores.addresses):
        expected: set[tuple[str, str, str, str]] = set()

        entry = max(stores.feed(dropped), key=lambda e: stores.feed(dropped)[e])
        client.zrem(keys.feed(dropped), member(*entry))
        expected.add(("Redis", dropped, "missing", entry[0]))

        client.zadd(keys.feed(doubled), {member("strange", "u:nobody"): NOW})
        expected.add(("Redis", doubled, "extra", "strange"))

        gone = stores.feed(lost)
        client.delete(keys.feed(lost))
        expected |= {("Redis", lost, "missing", entry[0]) for entry in gone}

        (post_id, reason), at = next(iter(stores.feed(row_lost).items()))
        stores.session.execute(
            "DELETE FROM timeline USING TIMESTAMP %s WHERE owner = %s AND bucket = %s AND at = %s "
            "AND post_id = %s AND reason = %s",
            (stores.damage_time(row_lost), row_lost, month_of(at), at, post_id, reason),
        )
        expected.add(("Cassandra", row_lost, "missing", post_id))

        stores.session.execute(
            "INSERT INTO timeline (owner, bucket, at, post_id, reason) "
            "VALUES (%s, %s, %s, 'strange', 'u:nobody') USING TIMESTAMP %s AND TTL 86400",
            (row_added, month_of(NOW), NOW, stores.damage_time(row_added)),
        )
        expected.add(("Cassandra", row_added, "extra", "strange"))

        report = stores.rebuild(is_dry_run=True)
        named = [
            (row.store, row.owner, row.what, row.post_id)
            for row in report.redis.rows + report.cassandra.rows
        ]
        assert {row for row in named if row[1] != lost} == {r for r in expected if r[1] != lost}
        assert {row for row in expected if row[1] == lost} <= set(named)
        assert report.different == 5

        moved: list[Swap] = []
        swap = ShadowFeeds.swap

        def swap_late(self: ShadowFeeds, owners: Any, mark: bytes) -> Swap:
            """The first time only when the sink has written since."""
            deadline = time.monotonic() + 20
            while not moved and self.read(()).mark == mark and time.monotonic() < deadline:
                time.sleep(0.002)
            moved.append(swap(self, owners, mark))
            return moved[-1]

        monkeypatch.setattr(ShadowFeeds, "swap", swap_late)
        report = stores.rebuild()
        assert moved[0] == Swap.MOVED
        assert report.redis.retries >= 1
        assert report.different == 5, "the dry run changed something"
        assert (report.redis.mended, report.cassandra.mended) == (3, 2)
        assert report.left == 0
    stores.settle()
    parts = stores.rebuild(is_dry_run=True, entries=1_000)  # the log is read several times
    assert parts.different == 0
    assert (parts.redis.users, parts.cassandra.users) == (
        report.redis.users,
        report.cassandra.users,
    )
    assert not list(client.scan_iter("shadow:*"))
    expected_views = check.compute(stores.addresses.kafka)
    tallies = list(check.compare_all(stores.addresses, expected_views, None, 0, 1, print))
    different = {(each.kind, each.store): each.different for each in tallies if each.different}
    assert different == {}


def test_nothing_is_written_for_the_dormant_until_they_read(stores: Stores) -> None:
    """The last test of the module: its clock is a month ahead from here on."""

    def is_dormant() -> bool:
        query = "SELECT is_dormant FROM users WHERE user_id = 'sleeper'"
        return bool(stores.session.execute(query).one().is_dormant)

    entry, next_entry = ("asleep", "u:star"), ("awake", "u:star")
    stores.publish(follow("sleeper", "u:star"))
    stores.settle()
    assert not is_dormant()
    month_later = encode_fact(Tick(int(time.time() * 1000) + 31 * 86_400_000))
    producer = Producer({"bootstrap.servers": stores.addresses.kafka})
    for partition in range(stores.keys.partitions):
        producer.produce(str(Topic.BY_USER), month_later, partition=partition)
    assert producer.flush(10) == 0
    stores.settle()
    assert is_dormant()
    stores.publish(post("star", "asleep"))
    stores.settle()
    assert entry not in stores.rows("sleeper")
    assert entry in stores.rows("star")
    stores.publish(*reading_events(["sleeper"], int(time.time() * 1000)))
    stores.settle()
    assert not is_dormant()
    stores.publish(post("star", "awake"))
    stores.settle()
    assert stores.feed("sleeper").keys() == stores.rows("sleeper") == {entry, next_entry}
