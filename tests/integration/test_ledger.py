"""What the API keeps in Redis of who writes: on one real server and in a real cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest

from api.app import create_app
from api.cache import RedisCache
from api.gcra import Limit, Standing
from api.idempotency import Remembered
from api.ledger import RedisLedger
from api.limits import limits_of
from api.rankings import RedisRankings
from api.state import Services
from api.stores import StoreDownError, Stores, Taken
from connectors import redis
from connectors.redis_keys import Keys
from connectors.settings import Settings
from connectors.stack.local import LocalStack
from schemas.views import UserView
from tests.cluster import Cluster
from tests.unit.api_fakes import KEY, NOW, FakeArchive, FakeWriter, Views, issue

PARTITIONS = 8
DAY_SECONDS = 86_400


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalStack(tmp_path_factory.mktemp("stack"), fresh=True, parts=("redis",)) as stack:
        yield stack.addresses.redis


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started.url


@pytest.fixture(params=["one_server", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@asynccontextmanager
async def ledger_at(url: str) -> AsyncIterator[RedisLedger]:
    cache = RedisCache(url, PARTITIONS)
    try:
        yield RedisLedger(cache.run, PARTITIONS)
    finally:
        await cache.close()


def test_the_first_claim_stands_until_it_is_forgotten_or_settled(url: str) -> None:
    first, second = Remembered(b"a", 1), Remembered(b"b", 2)
    done = Remembered(b"a", 1, "write", b"{}")

    async def run() -> None:
        async with ledger_at(url) as ledger:
            assert await ledger.claim("al", "k", first) == first
            assert await ledger.claim("al", "k", second) == first
            assert await ledger.claim("cy", "k", second) == second
            await ledger.forget("al", "k", second)  # not what is kept
            assert await ledger.claim("al", "k", second) == first
            await ledger.forget("al", "k", first)
            assert await ledger.claim("al", "k", second) == second
            await ledger.settle("al", "k", done)
            await ledger.forget("al", "k", second)
            assert await ledger.claim("al", "k", first) == done

    asyncio.run(run())
    client = redis.connect(url)
    left = client.ttl(Keys(PARTITIONS).request("al", "k"))
    client.close()
    assert DAY_SECONDS - 60 < left <= DAY_SECONDS


def test_claims_at_once_have_one_winner(url: str) -> None:
    async def run() -> list[Remembered]:
        async with ledger_at(url) as ledger:
            claims = [ledger.claim("al", "race", Remembered(b"f", n)) for n in range(50)]
            return await asyncio.gather(*claims)

    assert len({kept.at for kept in asyncio.run(run())}) == 1


async def _take(ledger: RedisLedger, kind: str, limit: Limit, caller: str = "al") -> Standing:
    taken = await ledger.take(kind, caller, limit)
    assert taken.standing is not None
    return taken.standing


def test_who_is_erased_is_known_in_the_same_round_trip(url: str) -> None:
    async def run() -> list[Taken]:
        async with ledger_at(url) as ledger:
            return [
                await ledger.take("posts", user, limit)
                for user in ("gone", "sleeper", "unknown")
                for limit in (None, Limit(5))
            ]

    client = redis.connect(url)
    keys = Keys(PARTITIONS)
    for user, status in (("gone", "deleted"), ("sleeper", "deactivated")):
        client.set(keys.user(user), msgspec.msgpack.encode(UserView(user, status=status)))
    taken = asyncio.run(run())
    client.close()
    assert [each.is_erased for each in taken] == [True, True, False, False, False, False]
    assert [each.standing is None for each in taken] == [True, False] * 3


def test_a_limit_is_taken_by_the_clock_of_redis(url: str) -> None:
    limit = Limit(5)

    async def run() -> None:
        async with ledger_at(url) as ledger:
            began = time.monotonic_ns()
            taken = await asyncio.gather(*(_take(ledger, "posts", limit) for _ in range(9)))
            passed_us = (time.monotonic_ns() - began) // 1_000
            allowed = sorted((s for s in taken if s.is_allowed), key=lambda s: s.ahead_us)
            for number, standing in enumerate(allowed, 1):
                full = number * limit.interval_us
                assert full - passed_us <= standing.ahead_us <= full
            assert [s.is_allowed for s in taken].count(False) == 4
            refused = next(s for s in taken if not s.is_allowed)
            assert 0 < refused.retry_us(limit) <= limit.interval_us
            assert (await _take(ledger, "follows", limit)).is_allowed
            assert (await _take(ledger, "posts", limit, "cy")).is_allowed

    asyncio.run(run())
    client = redis.connect(url)
    left = client.pttl(Keys(PARTITIONS).limit("al", "posts"))
    client.close()
    assert 45_000 < left <= 60_000


def test_one_more_is_taken_when_it_is_said(url: str) -> None:
    limit = Limit(60)  # one each second

    async def run() -> None:
        async with ledger_at(url) as ledger:
            standing = Standing(True, 0)
            while standing.is_allowed:
                standing = await _take(ledger, "writes", limit)
            await asyncio.sleep(standing.retry_us(limit) / 1e6 + 0.01)
            assert (await _take(ledger, "writes", limit)).is_allowed
            assert not (await _take(ledger, "writes", limit)).is_allowed

    asyncio.run(run())


def test_a_server_that_is_away_is_down() -> None:
    async def run() -> None:
        async with ledger_at("redis://127.0.0.1:1/0") as ledger:
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: ledger.claim("al", "k", Remembered(b"a", 1)),
                lambda: ledger.take("posts", "al", Limit(5)),
            ]
            for call in calls:
                with pytest.raises(StoreDownError):
                    await call()

    asyncio.run(run())


def test_the_api_limits_and_remembers(one_server: str) -> None:
    config = Settings(jwt_secret=KEY, partitions=PARTITIONS)
    writer = FakeWriter()

    async def run() -> list[httpx.Response]:
        cache = RedisCache(one_server, PARTITIONS)
        ledger = RedisLedger(cache.run, PARTITIONS)
        rankings = RedisRankings(cache.run, PARTITIONS)
        stores = Stores(cache, FakeArchive(Views()), writer, ledger, rankings)
        app = create_app(config)
        app.state.services = Services(stores, lambda: NOW, limits_of(config))
        transport = httpx.ASGITransport(app)
        auth = {"Authorization": f"Bearer {issue(KEY, 'writer', 60)}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            answers = []
            for key in ("a", "a", "b", "c", "d", "e", "f", "a"):
                headers = {**auth, "Idempotency-Key": key}
                body = {"content": "hi"}
                answers.append(await client.post("/api/v1/posts", headers=headers, json=body))
        await cache.close()
        return answers

    answers = asyncio.run(run())
    assert [answer.status_code for answer in answers] == [202] * 6 + [429, 202]
    assert answers[0].json() == answers[1].json() == answers[7].json()
    assert len(writer.events) == 5
