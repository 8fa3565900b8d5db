"""A worker whose ids are those of a schema registry, which goes away and comes back."""

from __future__ import annotations

import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest
from confluent_kafka import Producer

from connectors.admin import create_topics
from connectors.registry import Registry
from connectors.settings import settings
from connectors.stack.addresses import Addresses
from connectors.stack.local import LocalStack
from connectors.subjects import register
from headrace.publish import Event, Follow, Post, Publisher
from headrace.supervisor import Supervisor
from schemas.codec import decode, encode, newest
from schemas.dead_letters import DeadLetter
from schemas.topics import Topic
from tests.oracle.read_log import read_topics
from tests.registry import Registry as Server

PASSWORD = "not-to-be-told"
WAIT_SECONDS = 30.0


class World:
    """A worker with its Kafka and its registry."""

    def __init__(self, brokers: str, server: Server, worker: Supervisor) -> None:
        self.brokers = brokers
        self.server = server
        self.worker = worker
        self.producer = Producer({"bootstrap.servers": brokers, "acks": "all"})

    def publish(self, *events: Event) -> None:
        """As a producer of ours does."""
        with Publisher(self.brokers, registry_url=self.server.url) as publisher:
            for event in events:
                publisher.publish(event)

    def produce(self, number: int, text: str, **fields: Any) -> bytes:
        """A follow as a producer with another schema writes it."""
        raw = io.BytesIO()
        raw.write(b"\0" + number.to_bytes(4, "big"))
        fastavro.schemaless_writer(raw, fastavro.parse_schema(json.loads(text)), fields)
        self.producer.produce(str(Topic.FOLLOWS), raw.getvalue())
        assert self.producer.flush(10) == 0
        return raw.getvalue()

    def routed(self) -> dict[str, bytes]:
        """What the intake has routed, by event id."""
        logs = read_topics(self.brokers, (Topic.BY_POST, Topic.BY_USER))
        found = [value for *_, value in logs if value and value[0] == 0]
        return {decode(value).event_id: value for value in found}

    def letters(self) -> list[DeadLetter]:
        found = read_topics(self.brokers, (Topic.DEAD_LETTERS,))
        return [msgspec.msgpack.decode(value or b"", type=DeadLetter) for *_, value in found]

    def readiness(self) -> tuple[int, dict[str, Any]]:
        url = f"{self.worker.monitor_urls['app']}/readyz/"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with (
        LocalStack(tmp_path / "stack", fresh=True, parts=("kafka",)) as stack,
        Server("ann", PASSWORD) as server,
    ):
        registry = Registry(server.url)
        register(registry)
        registry.close()
        monkeypatch.setenv("SCHEMA_REGISTRY_URL", server.url)
        monkeypatch.setenv("HEADRACE_PARTITIONS", "1")
        monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path / "data"))
        settings.cache_clear()
        brokers = stack.addresses.kafka
        create_topics(brokers, settings())
        addresses = Addresses(kafka=brokers, redis="redis://127.0.0.1:1", cassandra="127.0.0.1:1")
        try:
            with Supervisor(addresses, ("app",), log_dir=tmp_path) as worker:
                yield World(brokers, server, worker)
        finally:
            settings.cache_clear()


def follow(name: str, at: int) -> Follow:
    return Follow(event_id=name, action="follow", user_id=name, target="u:ann", at=at)


def with_field(**field: Any) -> str:
    """A version of follow that this build does not know."""
    schema = json.loads(newest()[Follow].text)
    schema["fields"].insert(1, field)
    return json.dumps(schema)


def test_outage_and_recovery(world: World, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    server, pid = world.server, world.worker.pid("app")
    newer = with_field(name="note", type=["null", "string"], default=None)
    newer_id = server.add("follows-value", newer)
    server.level = "NONE"
    narrower = json.dumps({**json.loads(newer), "fields": json.loads(newer)["fields"][:2]})
    narrower_id = server.add("follows-value", narrower)
    post = Post(event_id="p0", action="created", post_id="p0", author_id="ann", at=now)
    world.publish(follow("f0", now), post)
    until(lambda: world.routed().keys() == {"f0", "p0"})

    # away: what has a new id waits, with what is behind it; what has known ids goes on
    with Publisher(world.brokers, registry_url=server.url) as publisher:
        server.stop()
        world.produce(newer_id, newer, **msgspec.to_builtins(follow("f1", now)), note="new")
        publisher.publish(follow("f2", now))
        publisher.publish(msgspec.structs.replace(post, event_id="p1", post_id="p1"))
        publisher.flush()
    until(lambda: world.readiness()[0] == 503)
    status, said = world.readiness()
    assert (status, said["degraded"]) == (503, ["registry"])
    assert said["reason"].startswith("registry cannot be reached: RegistryDownError: http://127.")
    until(lambda: "p1" in world.routed())
    time.sleep(1)  # some tries more
    assert world.routed().keys() == {"f0", "p0", "p1"}
    assert world.letters() == []

    server.start()
    until(lambda: world.routed().keys() == {"f0", "f1", "f2", "p0", "p1"})
    assert world.readiness() == (200, {"ready": True, "reason": None, "degraded": []})
    routed = world.routed()
    assert routed["f1"] == encode(follow("f1", now))  # under an id of our own
    assert routed["f2"] == encode(follow("f2", now))
    assert world.letters() == []

    # what the registry does not have, and what cannot be read, is told, and holds up nothing
    raws = [
        world.produce(9_999, newer, **msgspec.to_builtins(follow("f3", now)), note=None),
        world.produce(narrower_id, narrower, event_id="f4", note=None),
    ]
    world.publish(follow("f5", now))
    until(lambda: "f5" in world.routed())
    letters = world.letters()
    assert [(letter.code, letter.raw) for letter in letters] == [
        ("unknown_schema", raws[0]),
        ("incompatible_schema", raws[1]),
    ]
    assert "Follow.action: the writer does not have this field" in letters[1].message

    world.worker.check()
    assert world.worker.pid("app") == pid
    told = (tmp_path / "app.log").read_text()
    assert "store cannot be reached" in told
    assert "store can be reached again" in told
    assert PASSWORD not in told
