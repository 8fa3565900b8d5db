"""What the API keeps of heavy sources, on a real server that says what has changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis

from api.cache import RedisCache
from api.held import Entries
from api.recents import SILENCE_SECONDS, Recents
from api.redis_calls import OneServer, connect
from connectors.redis_keys import Keys, member
from connectors.stack.local import LocalStack
from schemas.partitioning import partition_of
from tests.filled import fill

PARTITIONS = 8
KEYS = Keys(PARTITIONS)
HEAVY = "u:star"
KEY = KEYS.recent(HEAVY)
SOON_S = 5.0


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalStack(tmp_path_factory.mktemp("stack"), fresh=True, parts=("redis",)) as stack:
        yield stack.addresses.redis


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    with Redis.from_url(url) as client:
        client.flushall()
        client.sadd(KEYS.heavy(partition_of(HEAVY, PARTITIONS)), HEAVY)
        client.zadd(KEYS.following("al"), {HEAVY: 1})
        client.set(KEYS.floor("al"), "0")
        fill(client, PARTITIONS)
        _post(client, "p1", 1)
        yield client


def _post(client: Redis, post_id: str, at: int) -> None:
    client.zadd(KEY, {member(post_id, HEAVY): at})


class Noting(RedisCache):
    """Notes which commands were sent."""

    def __init__(self, url: str) -> None:
        super().__init__(url, PARTITIONS)
        self.sent: list[Sequence[Any]] = []

    async def _pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        self.sent += commands
        return await super()._pipeline(commands)

    async def _ask_within(self, commands: Sequence[Sequence[Any]], seconds: float) -> list[Any]:
        self.sent += commands
        return await super()._ask_within(commands, seconds)

    async def posts(self) -> list[str]:
        """The posts of the reader's timeline."""
        return [each.post_id for each in (await self.timeline("al")).walk(None)]

    async def is_kept(self) -> bool:
        """Whether a read asks nothing of what the source holds."""
        self.sent.clear()
        await self.posts()
        return all(KEY not in command for command in self.sent)


@asynccontextmanager
async def cache_at(url: str) -> AsyncIterator[Noting]:
    cache = Noting(url)
    try:
        yield cache
    finally:
        await cache.close()


@asynccontextmanager
async def recents_at(url: str) -> AsyncIterator[Recents]:
    server = await connect(url)
    assert isinstance(server, OneServer)
    recents = Recents(server.connection)
    try:
        yield recents
    finally:
        await recents.close()
        await server.aclose()


async def _until(is_so: Callable[[], Any]) -> None:
    until = time.monotonic() + SOON_S
    while not await is_so():
        assert time.monotonic() < until
        await asyncio.sleep(0.01)


CHANGES: dict[str, tuple[Callable[[Redis], object], list[str]]] = {
    "added": (lambda client: _post(client, "p2", 2), ["p2", "p1"]),
    "removed": (lambda client: client.zrem(KEY, member("p1", HEAVY)), []),
    "deleted": (lambda client: client.delete(KEY), []),
    "emptied": (lambda client: (client.flushall(), fill(client, PARTITIONS)), []),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_asked_anew(url: str, redis: Redis, change: str) -> None:
    act, posts = CHANGES[change]

    async def run() -> None:
        async with cache_at(url) as cache:
            assert await cache.posts() == ["p1"]
            await _until(cache.is_kept)
            act(redis)

            async def is_seen() -> bool:
                return await cache.posts() == posts

            await _until(is_seen)

    asyncio.run(run())


def test_nothing_is_kept_while_redis_cannot_say_what_changes(url: str, redis: Redis) -> None:
    async def run() -> None:
        async with cache_at(url) as cache:
            await cache.posts()
            await _until(cache.is_kept)
            assert redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub") == 1

            async def is_asked() -> bool:
                return not await cache.is_kept()

            await _until(is_asked)
            _post(redis, "p2", 2)
            assert await cache.posts() == ["p2", "p1"]
            await _until(cache.is_kept)
            assert await cache.posts() == ["p2", "p1"]

    asyncio.run(run())


def test_what_is_kept_outlasts_silence_but_not_a_server_that_says_nothing(
    url: str, redis: Redis
) -> None:
    async def run() -> None:
        async with recents_at(url) as recents:

            async def is_kept() -> bool:
                recents.keep(recents.asking([KEY]), KEY, Entries(()))
                return recents.get(KEY) is not None

            await _until(is_kept)
            kept = recents.get(KEY)
            await asyncio.sleep(3 * SILENCE_SECONDS)
            assert recents.get(KEY) is kept
            redis.execute_command("CLIENT", "PAUSE", int(4 * SILENCE_SECONDS * 1_000), "ALL")
            await asyncio.sleep(3 * SILENCE_SECONDS)
            assert recents.get(KEY) is None
            await _until(is_kept)

    asyncio.run(run())


def test_what_changes_while_it_is_asked_for_is_not_kept(url: str, redis: Redis) -> None:
    other = KEYS.recent("u:other")

    async def run() -> None:
        async with recents_at(url) as recents:

            async def is_other_kept() -> bool:
                recents.keep(recents.asking([other]), other, Entries(()))
                return recents.get(other) is not None

            await _until(is_other_kept)
            early = recents.asking([KEY])
            redis.zadd(KEY, {member("p2", HEAVY): 2})
            redis.zadd(other, {member("p3", "u:other"): 3})

            async def is_told() -> bool:
                return recents.get(other) is None

            await _until(is_told)
            late = recents.asking([KEY])
            recents.keep(early, KEY, Entries(()))
            assert recents.get(KEY) is None
            recents.keep(late, KEY, Entries(()))
            assert recents.get(KEY) is not None

    asyncio.run(run())
