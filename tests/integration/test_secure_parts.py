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
from cassandra.cluster import NoHostAvailable
from click.testing import CliRunner
from confluent_kafka.admin import AclOperation
from pydantic import SecretStr
from redis import RedisError
from structlog.testing import capture_logs

from api import redis_calls
from api.stores import StoreDownError
from api.writes import KafkaWriter
from connectors import cassandra, kafka, redis
from connectors.lag import wait_until_quiet
from connectors.prepare import prepare
from connectors.publisher import Publisher
from connectors.push.gateway import open_gateway
from connectors.security import RefusedError
from connectors.settings import settings
from connectors.stack.addresses import Addresses
from headrace.cli import main
from headrace.deliver import serve
from headrace.supervisor import Supervisor
from schemas.events import Follow
from streams.engine.exits import Exit
from tests import rights
from tests.certificates import Certificates
from tests.cluster import wait_for
from tests.push.services import Endpoint
from tests.secure_parts import MECHANISMS, PASSWORD, SecureParts

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
TLS_ENDS_SECONDS = 0.1  # of a connection that was closed
WORKER = (sys.executable, "-m", "faust", "-A", "topology:app", "worker", "--web-port")
FIRST_PORT = 27_000
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureParts]:
    """The parts, and settings that say so; nothing is in them."""
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
def with_rights(parts: SecureParts) -> None:
    """All users are there, with the rights of `deploy/rights`, and topics and tables."""

    def make() -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in rights.login("prepare").items():
                patch.setenv(name, value)
            settings.cache_clear()
            prepare(parts.addresses)
        settings.cache_clear()

    parts.give_rights(make)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Those of somebody else."""
    return Certificates(tmp_path_factory.mktemp("others"))


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_each_mechanism(addresses: Addresses, given: Callable[..., None], mechanism: str) -> None:
    given(KAFKA_SASL_MECHANISM=mechanism)
    assert kafka.metadata(addresses.kafka).cluster_id

    async def connect() -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=addresses.kafka, **kafka.for_aiokafka())
        await consumer.start()
        await consumer.topics()
        await consumer.stop()

    asyncio.run(connect())


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
        await asyncio.sleep(TLS_ENDS_SECONDS)
        return found

    assert asyncio.run(read()) == [b"c"]


@pytest.mark.usefixtures("parts")
def test_workers_that_are_refused_end_and_say_why(others: Certificates) -> None:
    wrong = {"KAFKA_PASSWORD": "other", "KAFKA_CA_FILE": str(others.ca)}
    workers = {
        name: subprocess.Popen(
            [*WORKER, str(FIRST_PORT + number)],
            cwd=ROOT,
            env={**os.environ, name: value},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number, (name, value) in enumerate(wrong.items())
    }
    for name, worker in workers.items():
        said, _ = worker.communicate(timeout=PATIENCE_SECONDS)
        assert worker.returncode == Exit.FAULT, said
        assert name in said.splitlines()[-1]
        assert PASSWORD not in said


def test_producers_that_are_refused_say_why(
    addresses: Addresses, given: Callable[..., None]
) -> None:
    given(KAFKA_PASSWORD="other")
    with pytest.raises(RefusedError, match="KAFKA_PASSWORD"):
        Publisher(addresses.kafka, timeout_seconds=2)

    with capture_logs() as logs:
        writer = KafkaWriter(addresses.kafka)
        wait_for(lambda: bool(logs), "a refusal")
        asyncio.run(writer.close())
    assert "KAFKA_PASSWORD" in logs[0]["detail"]


def test_the_api_says_why_redis_refuses_it(
    addresses: Addresses, given: Callable[..., None]
) -> None:
    given(REDIS_PASSWORD="other")

    async def connect() -> None:
        with pytest.raises(StoreDownError):
            await redis_calls.connect(addresses.redis)
        await asyncio.sleep(TLS_ENDS_SECONDS)

    with capture_logs() as logs:
        asyncio.run(connect())
    assert "REDIS_PASSWORD" in logs[0]["detail"]


def by_kafka(parts: SecureParts) -> None:
    kafka.metadata(parts.addresses.kafka)


def by_redis(parts: SecureParts) -> None:
    redis.connect(parts.addresses.redis)


def by_cassandra(parts: SecureParts) -> None:
    parts.wait_for_cassandra()
    cassandra.connect(parts.addresses.cassandra)


@pytest.mark.parametrize(
    ("part", "connect", "hung_up"),
    [
        ("KAFKA", by_kafka, RefusedError),
        ("REDIS", by_redis, RedisError),  # these two may not have said why
        ("CASSANDRA", by_cassandra, (RefusedError, NoHostAvailable)),
    ],
)
def test_who_is_refused(
    parts: SecureParts,
    given: Callable[..., None],
    others: Certificates,
    part: str,
    connect: Callable[[SecureParts], None],
    hung_up: type[Exception],
) -> None:
    given(**{f"{part}_CA_FILE": others.ca})
    with pytest.raises(RefusedError, match=f"{part}_CA_FILE") as refused:
        connect(parts)
    assert "certificate verify failed" in str(refused.value)

    mine = {"CA": parts.certificates.ca, "CERTIFICATE": others.certificate, "KEY": others.key}
    given(**{f"{part}_{name}_FILE": file for name, file in mine.items()})
    with pytest.raises(hung_up):
        connect(parts)

    given(**parts.certificates.settings(part), **{f"{part}_PASSWORD": "other"})
    with pytest.raises(RefusedError, match=f"{part}_PASSWORD") as refused:
        connect(parts)
    assert "other" not in str(refused.value)


class OwnUsers(Supervisor):
    """Runs each process as a user of its own."""

    def _worker(self, name: str) -> Any:
        worker = super()._worker(name)
        worker.env |= rights.login(name)
        return worker


@pytest.mark.usefixtures("with_rights")
def test_processes_without_a_right_end_and_name_it(parts: SecureParts) -> None:
    rights.take_in_kafka(parts.kafka.admin(), "app", AclOperation.READ, "posts", "headrace-app")
    with parts.valkey.client() as client, parts.cassandra.session() as session:
        client.execute_command("ACL", "SETUSER", "headrace-views", "-watch")
        session.execute('REVOKE SELECT ON headrace.positions FROM "headrace-archive"')
        workers = {
            name: subprocess.Popen(
                [*WORKER[:4], f"topology:{name}", *WORKER[5:], str(FIRST_PORT + 10 + number)],
                cwd=ROOT,
                env={**os.environ, **rights.login(name)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for number, name in enumerate(("app", "views", "archive"))
        }
        said = {
            name: each.communicate(timeout=PATIENCE_SECONDS)[0] for name, each in workers.items()
        }
        client.execute_command("ACL", "SETUSER", "headrace-views", "+watch")
        session.execute('GRANT SELECT ON headrace.positions TO "headrace-archive"')
    rights.give_in_kafka(parts.kafka.admin(), parts.home)
    assert [each.returncode for each in workers.values()] == [Exit.FAULT] * 3, said
    last = {name: text.splitlines()[-1] for name, text in said.items()}
    assert "not let headrace-app Read the topic posts, Read the group headrace-app." in last["app"]
    assert "'watch'" in last["views"]
    assert "has no SELECT permission on <table headrace.positions>" in last["archive"]


@pytest.mark.usefixtures("with_rights")
def test_each_process_does_its_work_with_the_rights_that_it_has(
    parts: SecureParts, given: Callable[..., None], tmp_path: Path
) -> None:
    addresses, now = parts.addresses, time.time_ns() // 1_000_000
    with OwnUsers(addresses, ("app", "views", "archive", "api"), log_dir=tmp_path) as running:
        given(**rights.login("producer"))
        with Publisher(addresses.kafka) as publisher:
            publisher.publish(
                Follow(event_id="e1", action="follow", user_id="bob", target="u:al", at=now)
            )
        given(**rights.login("operator"))
        wait_until_quiet(addresses.kafka, PATIENCE_SECONDS)
        post = json.loads(ask(running, "/api/v1/posts", "al", content="Hello"))["post_id"]
        wait_until_quiet(addresses.kafka, PATIENCE_SECONDS)
        wait_for(lambda: post in ask(running, "/api/v1/feed"), "the post in the feed")
        wait_for(lambda: not json.loads(ask(running, "/api/v1/feed"))["is_opening"], "the feed")
        for mode in ("latest", "ranked"):
            page = json.loads(ask(running, f"/api/v1/feed?mode={mode}"))
            assert (page["posts"][0]["post_id"], page["degraded"]) == (post, [])
        assert json.loads(ask(running, "/readyz"))["status"] == "ready"
        given(**rights.login("deliver"))
        asyncio.run(delivered(running, addresses, post))
        given(**rights.login("operator"))
        for command in (
            ("source", "u:al", "heavy"),
            ("dead-letters", "list"),
            ("rebuild", "timelines", "--at", "1m"),
            ("erase", "al", "--yes"),
        ):
            done = CliRunner().invoke(main, command)
            assert done.exit_code == 0, (command, done.output, done.exception)
        running.check()
    with parts.valkey.client() as client:
        assert client.exists(f"post:{{p0}}:{post}")
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert PASSWORD not in logs
    assert rights.PASSWORD not in logs


async def delivered(running: Supervisor, addresses: Addresses, post: str) -> None:
    """Have the post liked until its author's endpoint is told."""
    async with Endpoint(SECRET, time.time) as endpoint:
        how = settings().model_copy(
            update={"webhook_url": f"{endpoint.url}/", "webhook_secret": SecretStr(SECRET)}
        )
        stop = asyncio.Event()
        work = asyncio.create_task(serve(how, addresses, open_gateway(how), stop))
        for number in range(int(PATIENCE_SECONDS)):
            if endpoint.received or work.done():
                break
            path = f"/api/v1/posts/{post}/like"
            await asyncio.to_thread(ask, running, path, f"reader{number}", is_write=True)
            await asyncio.sleep(1)
        stop.set()
        await work
        assert endpoint.received


def ask(
    running: Supervisor, path: str, user_id: str = "bob", *, is_write: bool = False, **body: str
) -> str:
    """What the API answers to a user; with a body, to what the user writes."""
    request = urllib.request.Request(
        running.api_url + path,
        data=json.dumps(body).encode() if body or is_write else None,
        headers={
            "Authorization": f"Bearer {running.token(user_id)}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())
