"""Streams from a real Kafka and a real Redis, to clients that come and go."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from msgspec import Struct
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.app import create_app
from api.auth import issue
from connectors import redis
from connectors.log_id import log_id_of
from connectors.redis_keys import Keys
from connectors.settings import Settings, settings
from connectors.stack.addresses import Addresses
from connectors.stack.local import LocalStack
from connectors.stack.ports import HOST, reserve
from headrace.commands.api import server_of
from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import (
    CountersView,
    FillTimeline,
    PostView,
    PushEntry,
    RemoveEntry,
    TimelineOp,
    UserView,
    decode_view,
)
from tests.filled import fill

KEY = "k" * 40
CLIENTS = 100
POSTS = 400
WRITERS = 2
ROUNDS = 60
LIVES = 3
SETTLE_SECONDS = 20.0


class Scene:
    """Posts in Redis, and the log of timelines in Kafka."""

    def __init__(self, addresses: Addresses) -> None:
        self.name = secrets.token_hex(4)
        self.author = f"author-{self.name}"
        self.partitions = settings().partitions
        self._brokers = addresses.kafka
        self._keys = Keys(self.partitions)
        self._redis = redis.connect(addresses.redis)
        fill(self._redis, self.partitions, log_id_of(addresses.kafka))
        self._set(self._keys.user(self.author), UserView(self.author, "author"))
        self.now = time.time_ns() // 1_000_000
        self.posts = [f"p{number}-{self.name}" for number in range(POSTS)]
        for post in self.posts:
            self._set(self._keys.post(post), PostView(post, self.author, self.now))

    def close(self) -> None:
        self._redis.close()

    def user(self, name: str) -> str:
        return f"{name}-{self.name}"

    def _set(self, key: str, view: Struct) -> None:
        self._redis.set(key, msgspec.msgpack.encode(view))

    def producer(self, number: int) -> Producer:
        """One that writes in transactions."""
        producer = Producer(
            {
                "bootstrap.servers": self._brokers,
                "transactional.id": f"live-{self.name}-{number}",
                "linger.ms": 0,
            }
        )
        producer.init_transactions(20)
        return producer

    def write(
        self, producer: Producer, operations: list[tuple[str, TimelineOp]], *, commit: bool = True
    ) -> None:
        """Operations, by whom they concern, in one transaction."""
        by_partition: dict[int, list[TimelineOp]] = defaultdict(list)
        for owner, operation in operations:
            by_partition[partition_of(owner, self.partitions)].append(operation)
        producer.begin_transaction()
        for partition, record in by_partition.items():
            producer.produce(
                Topic.TIMELINE_WRITES.value, msgspec.msgpack.encode(record), partition=partition
            )
        if commit:
            producer.commit_transaction(20)
        else:
            producer.flush(20)
            producer.abort_transaction(20)

    def count(self, producer: Producer, view: CountersView) -> None:
        """The counts of a post are these."""
        partition = partition_of(view.post_id, self.partitions)
        raw, key = msgspec.msgpack.encode(view), view.post_id.encode()
        producer.begin_transaction()
        producer.produce(Topic.VIEW_COUNTERS.value, raw, key, partition)
        producer.commit_transaction(20)

    def push(self, producer: Producer, owner: str, post: str) -> None:
        """One entry onto one timeline."""
        entry = PushEntry(post, f"u:{self.author}", self.now, [owner])
        self.write(producer, [(owner, entry)])

    def log(self, owners: set[str]) -> dict[str, list[str]]:
        """The posts that were put onto timelines, each once, in the order of the log; from Kafka,
        by a plain consumer."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._brokers,
                "group.id": f"oracle-{self.name}",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        topic = Topic.TIMELINE_WRITES.value
        consumer.assign([TopicPartition(topic, n, 0) for n in range(self.partitions)])
        found: dict[str, dict[str, None]] = {owner: {} for owner in owners}
        at_end = 0
        while at_end < self.partitions:
            message = consumer.poll(10)
            assert message is not None
            if message.error():
                assert message.error().code() == KafkaError._PARTITION_EOF
                at_end += 1
                continue
            for operation in decode_view(Topic.TIMELINE_WRITES, message.value() or b""):
                match operation:
                    case PushEntry(post, _, _, some):
                        for owner in owners.intersection(some):
                            found[owner].setdefault(post)
                    case FillTimeline(owner, entries) if owner in owners:
                        for post, _, _ in entries:
                            found[owner].setdefault(post)
        consumer.close()
        return {owner: list(posts) for owner, posts in found.items()}


class Served:
    """An API that serves streams."""

    def __init__(self, port: int, server: uvicorn.Server, client: httpx.AsyncClient) -> None:
        self.server = server
        self.client = client
        self.url = f"http://{HOST}:{port}/api/v1/stream"
        self.socket_url = f"ws://{HOST}:{port}/api/v1/stream"

    def headers(self, user: str, ttl_seconds: int = 600, scopes: str = "read") -> dict[str, str]:
        return {"Authorization": f"Bearer {issue(KEY, user, ttl_seconds, scopes)}"}

    def connect(self, user: str, after: str | None = None, **options: Any) -> connect:
        """A WebSocket of a user."""
        url = self.socket_url + (f"?after={after}" if after else "")
        return connect(url, additional_headers=self.headers(user), proxy=None, **options)


@asynccontextmanager
async def served(addresses: Addresses, **options: Any) -> AsyncIterator[Served]:
    port = reserve(18_200)
    config = Settings(jwt_secret=SecretStr(KEY), **options)
    app = create_app(config, addresses)
    server = server_of(app, host=HOST, port=port.number)
    running = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not running.done()
            await asyncio.sleep(0.02)
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=20, trust_env=False, limits=limits) as client:
            yield Served(port.number, server, client)
    finally:
        server.should_exit = True
        await running
        port.release()


@pytest.fixture
def scene(addresses: Addresses) -> Iterator[Scene]:
    scene = Scene(addresses)
    yield scene
    scene.close()


async def told(socket: ClientConnection, type_: str, seconds: float = 10.0) -> dict[str, Any]:
    """The next message of a type."""
    async with asyncio.timeout(seconds):
        while True:
            said: dict[str, Any] = msgspec.json.decode(await socket.recv())
            if said["type"] == type_:
                return said


class Viewer:
    """A client that is killed and comes back, and keeps what it was sent."""

    def __init__(self, api: Served, user: str, seed: str) -> None:
        self.api = api
        self.user = user
        self.random = Random(seed)
        self.posts: list[str] = []
        self.others: list[dict[str, Any]] = []
        self.token: str | None = None
        self.lives = 0

    def take(self, type_: str, id_: str | None, data: dict[str, Any]) -> None:
        self.token = id_ or self.token
        if type_ == "entry":
            self.posts.append(data["post_id"])
            if len(self.posts) >= self._count:
                self._has_come.set()
        elif type_ in ("gap", "end", "remove"):
            self.others.append({type_: data})

    async def follow(self, until: asyncio.Event, *, is_socket: bool) -> None:
        """Be there, and be killed after a few entries, or a while, again and again."""
        while not until.is_set() or self.lives < LIVES:
            wanted = len(self.posts) + self.random.randint(1, 6)
            await self._live(wanted, is_socket=is_socket, seconds=self.random.uniform(1, 8))
            await asyncio.sleep(self.random.uniform(0.0, 0.3))

    async def finish(self, count: int, *, is_socket: bool) -> None:
        """Be there until so many entries have come, and a moment longer."""
        await self._live(count, is_socket=is_socket, seconds=SETTLE_SECONDS, linger=0.5)

    async def _live(
        self, count: int, *, is_socket: bool, seconds: float, linger: float = 0.0
    ) -> None:
        self.lives += 1
        self._has_come = asyncio.Event()
        self._count = count
        living = asyncio.create_task(self._socket() if is_socket else self._events())
        waiting = asyncio.create_task(self._has_come.wait())
        await asyncio.wait({living, waiting}, timeout=seconds, return_when="FIRST_COMPLETED")
        await asyncio.sleep(linger)
        waiting.cancel()
        living.cancel()
        with suppress(asyncio.CancelledError, ConnectionClosed, httpx.HTTPError, OSError):
            await living

    async def _socket(self) -> None:
        socket = await self.api.connect(self.user, self.token)
        try:
            async for raw in socket:
                said = msgspec.json.decode(raw)
                self.take(said["type"], said["id"], said["data"])
        finally:
            socket.transport.abort()

    async def _events(self) -> None:
        headers = self.api.headers(self.user)
        if self.token:
            headers["Last-Event-ID"] = self.token
        async with self.api.client.stream("GET", self.api.url, headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            fields: dict[str, str] = {}
            async for line in response.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    continue
                if "event" in fields:
                    data = msgspec.json.decode(fields["data"])
                    self.take(fields["event"], fields.get("id"), data)
                fields = {}


def _load(scene: Scene, users: list[str], number: int) -> None:
    """Write transactions of entries, of which some are aborted."""
    random = Random(f"{scene.name}/{number}")
    producer = scene.producer(number)
    reason = f"u:{scene.author}"
    unused = {user: random.sample(scene.posts[number::WRITERS], 80) for user in users}
    for _ in range(ROUNDS):
        operations: list[tuple[str, TimelineOp]] = []
        for owner in random.sample(users, 20):
            at = scene.now - random.randint(0, 10**8)
            post, nobody = unused[owner].pop(), f"nobody-{owner}"
            operations.append((owner, PushEntry(post, reason, at, [owner])))
            operations.append((nobody, PushEntry(post, reason, at, [nobody])))
        filled = random.choice(users)
        entries = [(unused[filled].pop(), reason, scene.now - n) for n in range(3)]
        operations.append((filled, FillTimeline(filled, entries)))
        scene.write(producer, operations, commit=random.random() > 0.15)
        time.sleep(0.02)


def test_each_of_100_clients_that_come_and_go_gets_every_entry_once_and_in_order(
    scene: Scene, addresses: Addresses
) -> None:
    users = [scene.user(f"user{number}") for number in range(CLIENTS)]

    async def run() -> list[Viewer]:
        async with served(addresses, HEADRACE_STREAMS_PER_USER=50) as api:
            viewers = [Viewer(api, user, user) for user in users]
            begun = [asyncio.create_task(_begin(viewer)) for viewer in viewers]
            await asyncio.gather(*begun)
            until = asyncio.Event()
            following = [
                asyncio.create_task(viewer.follow(until, is_socket=n % 2 == 0))
                for n, viewer in enumerate(viewers)
            ]
            await asyncio.gather(
                *(asyncio.to_thread(_load, scene, users, n) for n in range(WRITERS))
            )
            until.set()
            await asyncio.gather(*following)
            print(
                sum(len(v.posts) for v in viewers),
                sum(v.lives for v in viewers),
            )
            expected = await asyncio.to_thread(scene.log, set(users))
            await asyncio.gather(
                *(
                    viewer.finish(len(expected[viewer.user]), is_socket=n % 2 == 0)
                    for n, viewer in enumerate(viewers)
                )
            )
            for viewer in viewers:
                assert viewer.posts == expected[viewer.user], viewer.user
                assert viewer.others == []
            return viewers

    viewers = asyncio.run(run())
    assert sum(len(viewer.posts) for viewer in viewers) > 15 * CLIENTS
    assert all(viewer.lives > LIVES for viewer in viewers)


async def _begin(viewer: Viewer) -> None:
    """Have a place in the log to go on from."""
    async with viewer.api.connect(viewer.user) as socket:
        viewer.token = (await told(socket, "hello"))["id"]


def test_a_socket_opens_for_a_token_with_the_scope_read_alone(
    scene: Scene, addresses: Addresses
) -> None:
    async def run() -> None:
        ann = scene.user("ann")
        async with served(addresses, HEADRACE_STREAMS_PER_USER=2) as api:
            for headers, status in (
                ({}, 401),
                ({"Authorization": "Bearer x"}, 401),
                (api.headers(ann, -60), 401),
                (api.headers(ann, scopes="write"), 403),
            ):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(api.socket_url, additional_headers=headers, proxy=None)
                assert refused.value.response.status_code == status
                assert b"urn:headrace:problem:" in refused.value.response.body
                answer = await api.client.get(api.url, headers=headers)
                assert answer.status_code == status
            with pytest.raises(InvalidStatus) as refused:
                await api.connect(ann, "no-token")
            assert refused.value.response.status_code == 400
            offered = ["headrace.v1", f"bearer.{issue(KEY, ann, 60)}"]
            async with (
                connect(api.socket_url, subprotocols=offered, proxy=None) as socket,
                api.connect(ann) as other,
            ):
                assert socket.subprotocol == "headrace.v1"
                await told(socket, "hello")
                await told(other, "hello")
                answer = await api.client.get(api.url, headers=api.headers(ann))
                assert answer.status_code == 429
                await socket.send("something")
                with pytest.raises(ConnectionClosed):
                    await told(socket, "entry")
                assert socket.close_code == 1008

    asyncio.run(run())


def test_counts_and_removals_follow_an_entry(scene: Scene, addresses: Addresses) -> None:
    async def run() -> None:
        ann, post = scene.user("ann"), scene.posts[0]
        producer = await asyncio.to_thread(scene.producer, 0)
        async with served(addresses) as api, api.connect(ann) as socket:
            await told(socket, "hello")
            scene.push(producer, ann, post)
            entry = (await told(socket, "entry"))["data"]
            assert entry["post_id"] == post
            assert entry["user"]["username"] == "author"
            for likes in range(1, 10):  # the first may come before their log is followed
                scene.count(producer, CountersView(post, {"like": likes}))
                try:
                    counts = (await told(socket, "counts", 3.0))["data"]
                except TimeoutError:
                    continue
                break
            assert counts["counts"]["reactions"] == {"like": likes}
            gone = RemoveEntry(post, f"u:{scene.author}", scene.now, [ann])
            scene.write(producer, [(ann, gone)])
            assert (await told(socket, "remove"))["data"]["post_id"] == post

    asyncio.run(run())


def test_a_stream_ends_with_its_token_and_with_its_server(
    scene: Scene, addresses: Addresses
) -> None:
    async def run() -> None:
        ann = scene.user("ann")
        async with served(addresses) as api:
            short = api.headers(ann, ttl_seconds=-4)  # the leeway is left
            async with connect(api.socket_url, additional_headers=short, proxy=None) as socket:
                assert (await told(socket, "end"))["data"] == {"reason": "token"}
                await socket.wait_closed()
                assert socket.close_code == 4401
            async with (
                api.connect(ann) as socket,
                api.client.stream("GET", api.url, headers=api.headers(ann)) as response,
            ):
                assert response.headers["content-type"].startswith("text/event-stream")
                await told(socket, "hello")
                lines = response.aiter_lines()
                assert (await anext(lines)).startswith("retry: ")
                started = time.monotonic()
                api.server.should_exit = True
                assert (await told(socket, "end"))["data"] == {"reason": "restart"}
                rest = [line async for line in lines]
                assert 'data: {"reason":"restart"}' in rest
                assert time.monotonic() - started < 8
                await socket.wait_closed()
                assert socket.close_code == 1012

    asyncio.run(run())


def test_kafka_that_does_not_answer_is_told_of_and_nothing_is_lost(
    scene: Scene, addresses: Addresses, stack: LocalStack
) -> None:
    kafka = stack._children["kafka"].pid

    async def run() -> None:
        ann = scene.user("ann")
        producer = await asyncio.to_thread(scene.producer, 0)
        async with (
            served(addresses, HEADRACE_STREAM_HEARTBEAT_SECONDS=1) as api,
            api.connect(ann) as socket,
        ):
            token = (await told(socket, "hello"))["id"]
            os.kill(kafka, signal.SIGSTOP)
            try:
                pushing = asyncio.create_task(
                    asyncio.to_thread(scene.push, producer, ann, scene.posts[0])
                )
                assert (await told(socket, "degraded", 20))["data"] == {"degraded": ["kafka"]}
                assert (await told(socket, "heartbeat"))["data"] == {"degraded": ["kafka"]}
                again = await api.connect(ann, token)
            finally:
                os.kill(kafka, signal.SIGCONT)
            await pushing
            for each in (socket, again):
                entry = await told(each, "entry", 20)
                assert entry["data"]["post_id"] == scene.posts[0]
            await again.close()

    asyncio.run(run())
