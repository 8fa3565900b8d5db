"""Views that the API keeps decoded, on a real server that says what has changed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from redis import Redis

from api import kept_views
from api.cache import RedisCache
from api.of_viewer import FEW
from api.redis_calls import TIMEOUT_SECONDS
from api.stores import StoreDownError, Wanted
from connectors.redis_keys import Keys, member
from connectors.stack.local import LocalStack
from schemas.views import CountersView, PostView, UserView
from tests.filled import fill

PARTITIONS = 8
KEYS = Keys(PARTITIONS)
WANTED = Wanted(viewer="al", posts=["p1"], counters=["p1"], users=["bo"], mine=["p1"])
WRITES = 3_000
HELD = 10
"""Entries of a feed above its floor."""

FEED, FLOOR = KEYS.feed("al"), KEYS.floor("al")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalStack(tmp_path_factory.mktemp("stack"), fresh=True, parts=("redis",)) as stack:
        yield stack.addresses.redis


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    with Redis.from_url(url) as client:
        client.flushall()
        fill(client, PARTITIONS)
        client.set(KEYS.post("p1"), msgspec.msgpack.encode(PostView("p1", "bo", 1, "one")))
        client.set(KEYS.user("bo"), msgspec.msgpack.encode(UserView("bo", "bo")))
        count(client, 0)
        yield client


def count(client: Redis, comments: int) -> None:
    view = CountersView("p1", comments=comments)
    client.set(KEYS.counters("p1"), msgspec.msgpack.encode(view))


def times_read(client: Redis) -> int:
    """How often something was read to be kept."""
    found = client.info("commandstats")
    return int(found.get("cmdstat_client|caching", {}).get("calls", 0))


def bring(client: Redis, at: int) -> None:
    """A post comes to the feed, and the oldest goes, as the sink does it."""
    client.zadd(FEED, {member(f"p{at}", "u:bo"): at})
    if at > HELD:
        client.set(FLOOR, at - HELD)
        client.zremrangebyscore(FEED, 0, at - HELD)


def feeds_read(client: Redis) -> int:
    """How often a feed was read."""
    return int(client.info("commandstats").get("cmdstat_zrevrange", {}).get("calls", 0))


async def times(cache: RedisCache) -> tuple[list[int], int | None]:
    """The times of the feed's entries above its floor, newest first, and the floor; views are read
    behind it, as for a page."""
    held = await cache.timeline("al")
    await cache.load(WANTED)
    return [each.at for each in held.walk(None)], held.floor


@asynccontextmanager
async def cache_at(url: str) -> AsyncIterator[RedisCache]:
    cache = RedisCache(url, PARTITIONS)
    try:
        yield cache
    finally:
        await cache.close()


async def comments(cache: RedisCache) -> int | None:
    found = (await cache.load(WANTED)).counters.get("p1")
    return None if found is None else found.comments


def test_what_has_not_changed_is_read_once(url: str, redis: Redis) -> None:
    async def run() -> None:
        async with cache_at(url) as cache:
            first = await cache.load(WANTED)
            before = times_read(redis)
            again = await cache.load(WANTED)
            assert times_read(redis) == before
            assert again.posts["p1"] is first.posts["p1"]
            assert (again.counters, again.users) == (first.counters, first.users)
            count(redis, 1)
            assert await comments(cache) == 1
            assert times_read(redis) == before + 1

    asyncio.run(run())


@pytest.mark.parametrize("how", ["deleted", "expired", "emptied", "renamed"])
def test_what_is_gone_is_gone_at_once(url: str, redis: Redis, how: str) -> None:
    key = KEYS.counters("p1")

    async def run() -> None:
        async with cache_at(url) as cache:
            assert await comments(cache) == 0
            if how == "deleted":
                redis.delete(key)
            elif how == "expired":
                redis.pexpire(key, 0)
            elif how == "renamed":
                redis.rename(key, "elsewhere")
            else:
                redis.flushall()
                fill(redis, PARTITIONS)
            assert await comments(cache) is None

    asyncio.run(run())


def test_no_view_is_older_than_what_was_written_before_it_was_asked_for(
    url: str, redis: Redis
) -> None:
    written = 0
    is_over = False

    def write() -> None:
        nonlocal written, is_over
        with Redis.from_url(url) as client:
            for number in range(1, WRITES + 1):
                count(client, number)
                written = number
                if number % 3 == 0:
                    time.sleep(0.001)  # so that some are kept for a while
        is_over = True

    async def keep_reading(cache: RedisCache) -> tuple[int, int]:
        reads = old = 0
        while not is_over:
            least = written
            found = await comments(cache)
            assert found is not None
            reads += 1
            old += found < least
        return reads, old

    async def run() -> None:
        async with cache_at(url) as cache:
            await comments(cache)
            before = times_read(redis)
            thread = threading.Thread(target=write)
            thread.start()
            try:
                results = await asyncio.gather(*(keep_reading(cache) for _ in range(3)))
            finally:
                await asyncio.to_thread(thread.join)
            reads = sum(each for each, _ in results)
            assert sum(old for _, old in results) == 0
            assert reads > 500
            assert 0 < times_read(redis) - before < reads  # some were kept, and changed
            assert await comments(cache) == WRITES

    asyncio.run(run())


def test_nothing_outlives_its_connection(url: str, redis: Redis) -> None:
    async def run() -> None:
        async with cache_at(url) as cache:
            assert await comments(cache) == 0
            mine = redis.client_id()
            others = [each["id"] for each in redis.client_list() if int(each["id"]) != mine]
            for each in others:
                redis.client_kill_filter(_id=each)
            count(redis, 1)
            assert await comments(cache) == 1
            count(redis, 2)
            assert await comments(cache) == 2

    asyncio.run(run())


def test_a_server_that_says_nothing_is_down_and_comes_back(url: str, redis: Redis) -> None:
    async def run() -> None:
        async with cache_at(url) as cache:
            assert await comments(cache) == 0
            redis.execute_command("CLIENT", "PAUSE", int(1.5 * TIMEOUT_SECONDS * 1_000), "ALL")
            began = time.monotonic()
            with pytest.raises(StoreDownError):
                await cache.load(WANTED)
            assert time.monotonic() - began < 1.4 * TIMEOUT_SECONDS
            await asyncio.sleep(TIMEOUT_SECONDS)
            count(redis, 1)
            assert await comments(cache) == 1

    asyncio.run(run())


def test_who_may_not_be_told_of_changes_keeps_nothing(url: str, redis: Redis) -> None:
    redis.acl_setuser(
        "plain",
        enabled=True,
        passwords=["+secret-of-plain"],
        keys=["*"],
        commands=["+@all", "-client|tracking"],
    )
    mine = url.replace("redis://", "redis://plain:secret-of-plain@")

    async def run() -> None:
        async with cache_at(mine) as cache:
            for number in range(3):
                count(redis, number)
                before = times_read(redis)
                assert await comments(cache) == number
                assert await comments(cache) == number
                assert times_read(redis) == before

    try:
        asyncio.run(run())
    finally:
        redis.acl_deluser("plain")


def test_no_more_is_kept_than_its_bound(
    url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_views, "MOST", 3)
    names = [f"p{number}" for number in range(20)]
    for name in names:
        redis.set(KEYS.post(name), msgspec.msgpack.encode(PostView(name, "bo", 1)))

    async def run() -> None:
        async with cache_at(url) as cache:
            assert list((await cache.load(Wanted(posts=names))).posts) == names
            before = times_read(redis)
            assert (await cache.load(Wanted(posts=names[-2:]))).posts.keys() == {*names[-2:]}
            assert times_read(redis) == before
            assert (await cache.load(Wanted(posts=names[:2]))).posts.keys() == {*names[:2]}
            assert times_read(redis) == before + 1

    asyncio.run(run())


SETS = [KEYS.blocks("al"), KEYS.mutes("al"), KEYS.favourites("al")]
SORTED = [KEYS.hidden("al"), KEYS.shared("al"), KEYS.reacted("al")]


def put(client: Redis, *names: str) -> None:
    """Put names into all sets of a viewer."""
    for name in names:
        for key in SETS:
            client.sadd(key, name)
        for key in SORTED:
            client.zadd(key, {name: 1})


async def found_in_all(cache: RedisCache, *names: str) -> set[str]:
    """Which of some names the viewer's sets have; they must be in all, or in none."""
    asked = list(names)
    found = await cache.load(Wanted(viewer="al", blocks=asked, favourites=asked, mine=asked))
    sets = [found.blocked, found.muted, found.favourites, found.hidden, found.shared]
    sets.append({*found.reactions})
    assert all(each == sets[0] for each in sets)
    return sets[0]


@pytest.mark.parametrize("size", [0, 1, FEW, FEW + 1])
def test_what_a_viewer_does_is_known_at_once(url: str, redis: Redis, size: int) -> None:
    put(redis, *(f"u:{number}" for number in range(size)))

    async def run() -> None:
        async with cache_at(url) as cache:

            async def check(*expected: str) -> None:
                for _ in range(3):
                    assert await found_in_all(cache, "bo", "p1") == {*expected}

            await check()
            put(redis, "bo")
            await check("bo")
            put(redis, "p1")
            await check("bo", "p1")
            for key in SETS:
                redis.srem(key, "bo")
            for key in SORTED:
                redis.zrem(key, "bo")
            await check("p1")
            redis.delete(*SETS, *SORTED)
            await check()

    asyncio.run(run())


def test_what_is_all_kept_is_asked_for_only_if_it_may_be_too_old(url: str, redis: Redis) -> None:
    wanted = Wanted(viewer="al", posts=["p1"], users=["bo"], mine=["p1"], blocks=["u:bo"])

    async def run() -> None:
        async with cache_at(url) as cache:
            wanted.since = time.monotonic()
            await cache.load(wanted)
            redis.sadd(KEYS.blocks("al"), "u:bo")
            wanted.since = time.monotonic()
            for _ in range(2):  # what has changed meanwhile is kept when it is read again
                assert (await cache.load(wanted)).blocked == {"u:bo"}

            def commands() -> int:
                return int(redis.info("stats")["total_commands_processed"])

            before = commands()
            each = commands() - before
            before = commands()
            for _ in range(5):
                found = await cache.load(wanted)
            assert commands() - before == each, "kept, and told of since"
            assert found.posts["p1"].content == "one"
            assert found.blocked == {"u:bo"}
            wanted.since = time.monotonic()
            before = commands()
            await cache.load(wanted)
            assert commands() - before == 1 + each

    asyncio.run(run())


def test_no_block_is_older_than_what_was_written_before_it_was_asked_for(
    url: str, redis: Redis
) -> None:
    written = 0

    def write() -> None:
        nonlocal written
        with Redis.from_url(url) as client:
            for number in range(1, WRITES + 1):
                client.sadd(KEYS.blocks("al"), f"u:{number}")
                written = number
                client.srem(KEYS.blocks("al"), f"u:{number - 1}")
                if number % 5 == 0:
                    time.sleep(0.002)  # so that some are kept for a while

    async def keep_reading(cache: RedisCache, thread: threading.Thread) -> int:
        reads = 0
        while thread.is_alive():
            least = written
            names = range(max(1, least - 5), least + 50)
            asked = Wanted(
                viewer="al", blocks=[f"u:{number}" for number in names], since=time.monotonic()
            )
            found = {int(name[2:]) for name in (await cache.load(asked)).blocked}
            assert max(found, default=0) >= least or written >= names.stop
            assert min(found, default=least) >= least - 1
            reads += 1
        return reads

    async def run() -> None:
        async with cache_at(url) as cache:
            await cache.load(Wanted(viewer="al", blocks=["u:1"]))
            thread = threading.Thread(target=write)
            before = times_read(redis)
            thread.start()
            try:
                reads = sum(await asyncio.gather(*(keep_reading(cache, thread) for _ in range(3))))
            finally:
                await asyncio.to_thread(thread.join)
            assert reads > 500
            assert 0 < times_read(redis) - before < 2 * reads

    asyncio.run(run())


def test_a_feed_is_read_anew_only_when_it_has_changed(url: str, redis: Redis) -> None:
    async def run() -> None:
        async with cache_at(url) as cache:
            redis.set(FLOOR, 0)
            bring(redis, 1)
            assert await times(cache) == ([1], 0)
            assert await times(cache) == ([1], 0)
            before = feeds_read(redis)
            assert await times(cache) == ([1], 0)
            redis.set(FLOOR, 1)
            assert await times(cache) == ([], 1)
            assert feeds_read(redis) == before
            bring(redis, 2)
            for _ in range(3):
                assert await times(cache) == ([2], 1)
            assert feeds_read(redis) == before + 2
            redis.delete(FEED, FLOOR)
            assert await times(cache) == ([], None)

    asyncio.run(run())


def test_a_feed_hangs_on_nothing_that_may_be_lost_without_a_word(url: str, redis: Redis) -> None:
    async def run() -> None:
        async with cache_at(url) as cache:
            redis.set(FLOOR, 0)
            bring(redis, 1)
            for _ in range(3):
                assert await times(cache) == ([1], 0)
            mine = redis.client_id()
            flat = [each for each in redis.client_list() if each["resp"] == "2"]
            flat = [each for each in flat if int(each["id"]) != mine]
            assert flat
            for each in flat:
                redis.client_kill_filter(_id=each["id"])
            bring(redis, 2)
            assert await times(cache) == ([2, 1], 0)

    asyncio.run(run())


def test_no_feed_is_older_than_what_came_before_it_was_asked_for(url: str, redis: Redis) -> None:
    brought = 0

    def write() -> None:
        nonlocal brought
        with Redis.from_url(url) as client:
            for number in range(1, WRITES + 1):
                bring(client, number)
                brought = number
                if number % 10 == 0:
                    time.sleep(0.005)  # so that some are kept for a while

    async def run() -> None:
        redis.set(FLOOR, 0)
        async with cache_at(url) as cache:
            await times(cache)
            before = feeds_read(redis)
            thread = threading.Thread(target=write)
            thread.start()
            reads = 0
            while thread.is_alive():
                least = brought
                found, floor = await times(cache)
                newest = max(found, default=0)
                assert newest >= least
                assert floor is not None
                assert found == list(range(newest, floor, -1))
                reads += 1
            thread.join()
            assert reads > 500
            assert 0 < feeds_read(redis) - before < reads
            assert await times(cache) == (list(range(WRITES, WRITES - HELD, -1)), WRITES - HELD)

    asyncio.run(run())


def test_of_feeds_no_more_is_kept_than_their_bound(
    url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_views, "MOST_ENTRIES", 5)
    names = ["al", "cy", "di"]
    for name in names:
        redis.set(KEYS.floor(name), 0)
        redis.zadd(KEYS.feed(name), {member(f"p{n}", "u:bo"): n for n in (1, 2)})

    async def run() -> None:
        async with cache_at(url) as cache:
            for name in names:
                for _ in range(2):
                    assert len(list((await cache.timeline(name)).walk(None))) == 2
                    await cache.load(WANTED)
            before = feeds_read(redis)
            await cache.timeline("di")
            assert feeds_read(redis) == before
            await cache.timeline("al")
            assert feeds_read(redis) == before + 1

    asyncio.run(run())
