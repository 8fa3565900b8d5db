"""Deliveries from a real Kafka and a real Redis to an endpoint on this machine."""

from __future__ import annotations

import asyncio
import secrets
import time

import msgspec
import pytest
from confluent_kafka import Producer
from msgspec import Struct
from pydantic import SecretStr

from connectors import redis
from connectors.log_id import log_id_of
from connectors.prepare import prepare
from connectors.push.gateway import open_gateway
from connectors.redis_keys import Keys
from connectors.settings import Settings
from connectors.stack.addresses import Addresses
from headrace.deliver import serve
from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import NotificationView, PostView, UserView
from tests.filled import fill
from tests.push.server import said
from tests.push.services import Endpoint

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PATIENCE_SECONDS = 30.0


class Scene:
    """Users and a post in Redis, and the log of notifications in Kafka."""

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses
        self.settings = Settings()
        self.name = secrets.token_hex(6)
        self._keys = Keys(self.settings.partitions)
        self._redis = redis.connect(addresses.redis)
        fill(self._redis, self.settings.partitions, log_id_of(addresses.kafka))
        self._producer = Producer({"bootstrap.servers": addresses.kafka})
        self.al, self.ann = f"al-{self.name}", f"ann-{self.name}"
        now = time.time_ns() // 1_000_000
        for user_id in (self.al, self.ann):
            self._set(self._keys.user(user_id), UserView(user_id, user_id))
        self._set(self._keys.post(self.name), PostView(self.name, self.al, now))

    def _set(self, key: str, view: Struct) -> None:
        self._redis.set(key, msgspec.msgpack.encode(view))

    def like(self, count: int) -> None:
        """The log says that so many like the post."""
        named = ((time.time_ns() // 1_000_000, self.ann, ""),)
        view = NotificationView(self.al, "like", self.name, count, named)
        partition = partition_of(self.al, self.settings.partitions)
        key = f"{self.al}\0{view.key}".encode()
        raw = msgspec.msgpack.encode(view)
        self._producer.produce(Topic.VIEW_NOTIFICATIONS.value, raw, key, partition)
        assert self._producer.flush(10) == 0

    async def served(
        self, endpoint: Endpoint, wanted: int, *, beginning: int | None = None
    ) -> None:
        """Deliver until the endpoint was told of a count; `beginning` is said again until the group
        has a place to begin at."""
        settings = Settings(webhook_url=f"{endpoint.url}/", webhook_secret=SecretStr(SECRET))
        stop = asyncio.Event()
        work = asyncio.create_task(serve(settings, self.addresses, open_gateway(settings), stop))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while wanted not in counts(endpoint, self.al):
            assert time.monotonic() < deadline, "nothing was delivered"
            assert not work.done(), work.exception()
            if beginning is not None:
                self.like(beginning)
            await asyncio.sleep(0.5)
        stop.set()
        await work


def counts(endpoint: Endpoint, user_id: str) -> list[int]:
    """The counts that the endpoint was told of, of one receiver."""
    bodies = [msgspec.json.decode(body) for took in endpoint.received.values() for body in took]
    told = (body["data"] for body in bodies)
    return [data["actor_count"] for data in told if data["user_id"] == user_id]


@pytest.fixture
def scene(addresses: Addresses) -> Scene:
    prepare(addresses)
    return Scene(addresses)


def test_what_comes_while_nobody_delivers_is_delivered_then_and_once(scene: Scene) -> None:
    async def run() -> list[int]:
        async with Endpoint(SECRET, time.time) as endpoint:
            await scene.served(endpoint, 1, beginning=1)
            scene.like(2)
            scene.like(4)
            await scene.served(endpoint, 4)
            scene.like(5)  # not twice as many
            scene.like(8)
            await scene.served(endpoint, 8)
            return counts(endpoint, scene.al)

    told = asyncio.run(run())
    assert sorted(set(told)) in ([1, 2, 4, 8], [1, 4, 8])
    assert len(told) == len(set(told))


def test_what_an_endpoint_does_not_take_at_once_is_not_lost(scene: Scene) -> None:
    async def run() -> list[int]:
        async with Endpoint(SECRET, time.time) as endpoint:
            endpoint.script.extend([said(503), said(500)])
            await scene.served(endpoint, 3, beginning=3)
            return counts(endpoint, scene.al)

    assert asyncio.run(run()) == [3]
