"""The publisher and its commands against a real Kafka."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from connectors.publisher import Publisher, PublishError, publish
from connectors.sources import follow_events, generate_activity, generate_network
from schemas.codec import decode
from schemas.events import Event, Follow
from schemas.partitioning import partition_of
from schemas.topics import EXTERNAL
from schemas.validation import validate
from tests.producing import PAGE, examples

PAIRS = generate_network(200, 1)
COMMAND = [sys.executable, "-c", "from headrace.cli import main; main()"]


def ends(brokers: str) -> dict[tuple[str, int], int]:
    """Where each partition of the external topics ends now."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test-publisher"})
    try:
        topics = consumer.list_topics(timeout=30).topics
        return {
            (topic, partition): consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=30
            )[1]
            for topic in map(str, EXTERNAL)
            for partition in topics[topic].partitions
        }
    finally:
        consumer.close()


def read_since(brokers: str, since: dict[tuple[str, int], int]) -> list[tuple[str, bytes, Event]]:
    """(topic, key, event) of all records after those offsets; per partition in order."""
    left = sum(ends(brokers).values()) - sum(since.values())
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "test-publisher",
            "enable.auto.commit": False,
            "check.crcs": True,
        }
    )
    found = []
    deadline = time.monotonic() + 60
    try:
        consumer.assign([TopicPartition(t, p, offset) for (t, p), offset in since.items()])
        while len(found) < left:
            assert time.monotonic() < deadline, f"{len(found)} of {left} records"
            for message in consumer.consume(10_000, 0.5):
                assert message.error() is None
                key, value = message.key(), message.value()
                assert key is not None
                found.append((str(message.topic()), key, decode(value)))
    finally:
        consumer.close()
    return found


TOPIC_OF = {
    "Post": "posts",
    "Engagement": "engagements",
    "Follow": "follows",
    "User": "users",
}


def test_all_is_acknowledged_once_on_the_right_topic_in_order(kafka_brokers: str) -> None:
    since = ends(kafka_brokers)
    follows = list(follow_events(PAIRS, int(time.time() * 1000)))
    events: list[Event] = [
        *follows,
        *generate_activity(PAIRS, 30_000, 1, int(time.time() * 1000)),
    ]
    told: list[int] = []
    report = publish(kafka_brokers, events, progress=told.append)
    assert report.acknowledged == len(events) == told[-1]
    assert all(a <= b for a, b in pairwise(told))
    found = read_since(kafka_brokers, since)
    as_read = Counter(repr(event) for _, _, event in found)
    assert as_read == Counter(map(repr, events))
    for topic, key, event in found:
        assert topic == TOPIC_OF[type(event).__name__]
        assert key.decode() in (
            getattr(event, "post_id", None),
            getattr(event, "user_id", None),
        )
    of_one = [event for _, _, event in found if isinstance(event, Follow)]
    by_user = [e for e in of_one if e.user_id == "user7" and e.event_id.startswith("f:")]
    assert by_user == [e for e in follows if e.user_id == "user7"]


def test_the_examples_of_the_page_for_producers_are_taken(kafka_brokers: str) -> None:
    since, now = ends(kafka_brokers), int(time.time() * 1000)
    for code in examples().values():
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=PAGE.parent.parent,
            env={**os.environ, "KAFKA": kafka_brokers},
            check=True,
            timeout=60,
        )
    found = read_since(kafka_brokers, since)
    for _, _, event in found:
        validate(event, now + 60_000)
    named = sorted((topic, key, event.event_id) for topic, key, event in found)
    assert named == [
        ("engagements", b"post-1", "l-1"),
        ("follows", b"bob", "f-1"),
        ("follows", b"carol", "f-2"),
        ("posts", b"post-1", "p-1"),
    ]


def test_a_key_can_be_given(kafka_brokers: str) -> None:
    since = ends(kafka_brokers)
    event = next(follow_events(PAIRS, 1_700_000_000_000))
    with Publisher(kafka_brokers) as publisher:
        publisher.publish(event, key="mine")
    assert publisher.acknowledged == 1
    assert read_since(kafka_brokers, since) == [("follows", b"mine", event)]
    (place,) = [place for place, end in ends(kafka_brokers).items() if end > since[place]]
    partitions = sum(topic == "follows" for topic, _ in since)
    assert place == ("follows", partition_of("mine", partitions))  # as Kafka's Java client does


def test_more_than_the_queue_holds(kafka_brokers: str) -> None:
    event = next(follow_events(PAIRS, 1_700_000_000_000))
    assert publish(kafka_brokers, (event for _ in range(250_000))).acknowledged == 250_000


def test_holds_the_rate(kafka_brokers: str) -> None:
    arrivals: list[float] = []

    def events() -> Iterable[Event]:
        for event in generate_activity(PAIRS, 2_000, 2, int(time.time() * 1000)):
            arrivals.append(time.perf_counter())
            yield event

    report = publish(kafka_brokers, events(), rate=1_000)
    assert report.acknowledged == 2_000
    assert 1.9 < report.seconds < 3
    in_20_ms = Counter(int((at - arrivals[0]) / 0.02) for at in arrivals)
    assert max(in_20_ms.values()) <= 80  # 20 when even, 50 more in a burst


def test_an_unreachable_broker_is_explained() -> None:
    with pytest.raises(PublishError, match=r"(?s)127\.0\.0\.1:1\b.*hint: "):
        Publisher("127.0.0.1:1", timeout_seconds=1)


def test_an_error_in_the_source_ends_it_with_what_came_before(kafka_brokers: str) -> None:
    since = ends(kafka_brokers)

    def events() -> Iterable[Event]:
        yield from follow_events(PAIRS[:3], 1_700_000_000_000)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        publish(kafka_brokers, events())
    assert len(read_since(kafka_brokers, since)) == 3


def run(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )


def test_replay_publishes_follows_before_actions(kafka_brokers: str, tmp_path: Path) -> None:
    since = ends(kafka_brokers)
    (tmp_path / "activity.txt").write_text("a b 100 MT\nc a 160 RT\n")
    (tmp_path / "edges.csv").write_text("from,to\na,b\nb,c\n")
    files = [str(tmp_path / "activity.txt"), str(tmp_path / "edges.csv")]
    done = run("replay", "--brokers", kafka_brokers, "--json", "-", *files)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["events"], report["is_complete"]) == (6, True)
    assert report["seconds"] > 0 < report["events_per_s"]
    assert "4 follows, edges read as a follow each way (by its name)" in done.stderr
    found = [event for _, _, event in read_since(kafka_brokers, since)]
    assert len(found) == 6
    follows = [event.at for event in found if isinstance(event, Follow)]
    others = [event.at for event in found if not isinstance(event, Follow)]
    assert max(follows) == min(others) - 60_000
    assert max(others) - min(others) == 60_000
    assert abs(max(others) - time.time() * 1000) < 30_000


def test_generate_is_the_same_by_seed(kafka_brokers: str, tmp_path: Path) -> None:
    runs = []
    for n in range(2):
        since = ends(kafka_brokers)
        report = tmp_path / f"{n}.json"
        done = run(
            *("generate", "--brokers", kafka_brokers, "--users", "50", "--events", "500"),
            *("--seed", "9", "--json", str(report)),
        )
        assert done.returncode == 0, done.stderr
        found = [event for _, _, event in read_since(kafka_brokers, since)]
        figures = json.loads(report.read_text())
        assert figures["events"] == len(found)
        assert figures["activity"]["events"] == 500
        runs.append(Counter(event.event_id for event in found))
    assert runs[0] == runs[1]


def test_live_traffic_stops_cleanly(kafka_brokers: str, tmp_path: Path) -> None:
    since = ends(kafka_brokers)
    report = tmp_path / "report.json"
    process = subprocess.Popen(
        [
            *(*COMMAND, "generate", "--brokers", kafka_brokers, "--users", "50"),
            *("--forever", "--rate", "200", "--json", str(report)),
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + 30
    while sum(ends(kafka_brokers).values()) < sum(since.values()) + 1_500:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out.startswith(b"stopped; ")
    figures = json.loads(report.read_text())
    assert figures["is_complete"] is False
    found = [event for _, _, event in read_since(kafka_brokers, since)]
    assert figures["events"] == len(found)
    now = time.time() * 1000
    assert all(0 <= now - event.at < 120_000 for event in found)


def test_errors_of_commands_are_explained(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("1 2 3\n")
    done = run("replay", "--brokers", "127.0.0.1:1", str(tmp_path / "bad"))
    assert done.returncode == 1
    assert "neither an edge list nor an activity file" in done.stderr
    assert "Traceback" not in done.stderr
