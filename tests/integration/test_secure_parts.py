"""Everything by TLS, with a certificate and a password: what works then, and what is refused."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from structlog.testing import capture_logs

from api import redis_calls
from api.stores import StoreDownError
from api.writes import KafkaWriter
from connectors import cassandra, kafka, redis
from connectors.admin import prepare
from connectors.lag import wait_until_quiet
from connectors.publisher import Publisher, PublishError
from connectors.security import RefusedError
from connectors.settings import settings
from connectors.stack.addresses import Addresses
from headrace.supervisor import Supervisor
from schemas.events import Follow, Post
from schemas.topics import Topic
from tests.certificates import Certificates
from tests.secure_parts import MECHANISMS, PASSWORD, SecureParts

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
WORKER = (sys.executable, "-m", "faust", "-A", "topology:app", "worker", "--web-port", "26066")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureParts]:
    """The parts, in which every topic and table is."""
    home = tmp_path_factory.mktemp("secure")
    few = {"PARTITIONS": "1", "DATA_DIR": str(home), "KAFKA_HEAP": "256m", "CASSANDRA_HEAP": "512m"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in few.items():
            patch.setenv(f"HEADRACE_{name}", value)
        settings.cache_clear()
        with SecureParts(home) as parts:
            for name, value in parts.settings().items():
                patch.setenv(name, value)
            settings.cache_clear()
            prepare(parts.addresses)
            yield parts
    settings.cache_clear()


@pytest.fixture
def addresses(parts: SecureParts) -> Addresses:
    return parts.addresses


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Other settings than those that work."""

    def give(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))
        settings.cache_clear()

    yield give
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Those of somebody else."""
    return Certificates(tmp_path_factory.mktemp("others"))


def test_an_event_gets_to_a_feed_by_tls_alone(parts: SecureParts, tmp_path: Path) -> None:
    addresses, now = parts.addresses, time.time_ns() // 1_000_000
    with Supervisor(addresses, ("app", "views", "archive", "api"), log_dir=tmp_path) as running:
        with Publisher(addresses.kafka) as publisher:
            publisher.publish(
                Follow(event_id="e1", action="follow", user_id="bob", target="u:al", at=now)
            )
            wait_until_quiet(addresses.kafka, PATIENCE_SECONDS)
            publisher.publish(
                Post(event_id="e2", action="created", post_id="p1", author_id="al", at=now)
            )
        wait_until_quiet(addresses.kafka, PATIENCE_SECONDS)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "p1" not in (feed := ask(running, "/api/v1/feed")):
            assert time.monotonic() < deadline, feed
            time.sleep(0.2)
        assert json.loads(feed)["degraded"] == []
        assert json.loads(ask(running, "/readyz"))["status"] == "ready"
    with parts.valkey.client() as client:  # the sink's, by its own connection
        assert client.keys("post:*") == [b"post:{p0}:p1"] or client.keys("*")
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert PASSWORD not in logs


def ask(running: Supervisor, path: str) -> str:
    request = urllib.request.Request(
        running.api_url + path, headers={"Authorization": f"Bearer {running.token('bob')}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_each_mechanism(addresses: Addresses, given: Callable[..., None], mechanism: str) -> None:
    given(KAFKA_SASL_MECHANISM=mechanism)
    assert Topic.POSTS in kafka.metadata(addresses.kafka).topics
    assert asyncio.run(topics_by_aiokafka(addresses.kafka)) >= {Topic.POSTS}


async def topics_by_aiokafka(brokers: str) -> set[str]:
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, **kafka.for_aiokafka())
    try:
        await consumer.start()
        return set(await consumer.topics())
    finally:
        await consumer.stop()


def test_a_cluster_of_redis(parts: SecureParts) -> None:
    client = redis.connect(parts.cluster_url)
    assert type(client).__name__ == "RedisCluster"
    client.set("{a}b", "c")
    client.close()

    async def read() -> list[Any]:
        client = await redis_calls.connect(parts.cluster_url)
        assert not isinstance(client, redis_calls.OneServer)
        found = await redis_calls.ask(client, [("GET", "{a}b")])
        await client.aclose()
        return found

    assert asyncio.run(read()) == [b"c"]


def by_admin(addresses: Addresses) -> None:
    kafka.metadata(addresses.kafka)


def by_redis(addresses: Addresses) -> None:
    redis.connect(addresses.redis)


def by_cassandra(addresses: Addresses) -> None:
    cassandra.connect(addresses.cassandra)


CLIENTS = {"KAFKA": by_admin, "REDIS": by_redis, "CASSANDRA": by_cassandra}


@pytest.mark.parametrize("part", CLIENTS)
def test_a_server_that_somebody_else_signed_is_refused(
    addresses: Addresses, given: Callable[..., None], others: Certificates, part: str
) -> None:
    given(**{f"{part}_CA_FILE": others.ca})
    with pytest.raises(RefusedError, match=f"{part}_CA_FILE") as refused:
        CLIENTS[part](addresses)
    assert "certificate verify failed" in str(refused.value)


@pytest.mark.parametrize("part", CLIENTS)
def test_a_server_refuses_who_has_another_certificate(
    addresses: Addresses, given: Callable[..., None], others: Certificates, part: str
) -> None:
    given(
        **{
            f"{part}_CERTIFICATE_FILE": others.certificate,
            f"{part}_KEY_FILE": others.key,
        }
    )
    with pytest.raises(RefusedError, match=f"{part}_CERTIFICATE_FILE"):
        CLIENTS[part](addresses)


@pytest.mark.parametrize("part", CLIENTS)
def test_a_server_refuses_a_wrong_password(
    addresses: Addresses, given: Callable[..., None], part: str
) -> None:
    given(**{f"{part}_PASSWORD": "other"})
    with pytest.raises(RefusedError, match=f"{part}_PASSWORD") as refused:
        CLIENTS[part](addresses)
    assert "other" not in str(refused.value)


def test_a_worker_that_is_refused_ends_and_says_why(
    parts: SecureParts, others: Certificates
) -> None:
    for name, value in (("KAFKA_PASSWORD", "other"), ("KAFKA_CA_FILE", str(others.ca))):
        ended = subprocess.run(
            WORKER,
            cwd=ROOT,
            env={**os.environ, name: value},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert ended.returncode == 70, ended.stderr
        assert name in ended.stderr.splitlines()[-1]
        assert PASSWORD not in ended.stderr + ended.stdout


def test_producers_that_are_refused_say_why(
    addresses: Addresses, given: Callable[..., None]
) -> None:
    given(KAFKA_PASSWORD="other")
    with pytest.raises(PublishError, match="KAFKA_PASSWORD"):
        Publisher(addresses.kafka, timeout_seconds=2)

    async def written() -> None:
        writer = KafkaWriter(addresses.kafka)
        with pytest.raises(StoreDownError):
            await writer.ping()
        await writer.close()

    with capture_logs() as logs:
        asyncio.run(written())
    assert [each for each in logs if "KAFKA_PASSWORD" in each.get("detail", "")]


def test_the_api_says_why_redis_refuses_it(
    addresses: Addresses, given: Callable[..., None]
) -> None:
    given(REDIS_PASSWORD="other")
    with capture_logs() as logs, pytest.raises(StoreDownError):
        asyncio.run(redis_calls.connect(addresses.redis))
    assert "REDIS_PASSWORD" in logs[0]["detail"]
