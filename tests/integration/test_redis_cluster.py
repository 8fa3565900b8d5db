"""Redis as a cluster: the same views as on one server, and nothing lost or done twice while servers
die, change roles and hand slots over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from random import Random
from typing import Any

import msgspec
import pytest
from faust.types import TP
from redis.exceptions import ResponseError, TryAgainError

from api.cache import RedisCache
from api.rankings import SNAPSHOTS, RedisRankings
from api.snapshots import Ranked, Snapshot
from api.stores import StoreDownError, Wanted
from connectors import redis, redis_fence
from connectors.batch import Batch
from connectors.redis_fence import Fence, StoreMovedError
from connectors.redis_keys import Keys
from connectors.stack.local import LocalStack
from connectors.stack.ports import HOST
from headrace.verify.redis_views import RedisViews
from schemas.partitioning import partition_of
from schemas.topics import IN_REDIS, Topic
from schemas.views import (
    AffinityView,
    CommentCountsView,
    CountersView,
    FillTimeline,
    HeavySource,
    MineView,
    OpenTimeline,
    PostView,
    PushEntry,
    RecentActivity,
    RefillTimeline,
    RelationView,
    RemoveEntry,
    RemoveSource,
    SourceView,
    TrendingEntry,
    TrendingView,
    UserView,
)
from streams.engine import outage
from streams.engine.sink import Reach, Sink, Write
from streams.views_sink import RedisStore
from tests.cluster import Cluster, Node, wait_for
from tests.unit.folds import NOW, record

PARTITIONS = 8
USERS = [f"user{n}" for n in range(60)]
POSTS = [f"post{n}" for n in range(200)]
KEYS = Keys(PARTITIONS)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def empty(cluster: Cluster) -> Cluster:
    """The cluster, with nothing in it."""
    for node in cluster.all:
        if node.ask("ROLE")[0] == b"master":
            node.ask("FLUSHALL")
    return cluster


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalStack(tmp_path_factory.mktemp("stack"), fresh=True, parts=("redis",)) as stack:
        yield stack.addresses.redis


# The same views


def _opened(user: str) -> list[Any]:
    """What has Redis keep a user's timeline."""
    return [OpenTimeline(user, "e", 1), RefillTimeline(user, "e", 0, [])]


def _views(  # noqa: C901  (one case each)
    topic: Topic, rng: Random
) -> Iterator[tuple[str, bytes | None, Any]]:
    """Entity, key and view of records of a topic."""
    for number in range(400):
        user, other, post = rng.choice(USERS), rng.choice(USERS), rng.choice(POSTS)
        at = NOW + number
        mine, to_other = f"{user}\0{post}".encode(), f"{user}\0u:{other}".encode()
        match topic:
            case Topic.VIEW_POSTS:
                yield post, post.encode(), PostView(post, user, at, f"text {number}")
            case Topic.VIEW_COUNTERS:
                yield post, post.encode(), CountersView(post, {"like": number})
            case Topic.VIEW_COMMENT_COUNTS:
                comment = f"c{number % 30}"
                view = CommentCountsView(post, comment, number, is_deleted=rng.random() < 0.2)
                yield post, f"{post}\0{comment}".encode(), view
            case Topic.VIEW_MINE:
                reaction = rng.choice(["like", None])
                hidden_at = rng.choice([at, None])
                is_shared = rng.random() < 0.5
                yield user, mine, MineView(user, post, reaction, at, is_shared, at, hidden_at)
            case Topic.VIEW_USERS:
                yield user, user.encode(), UserView(user, username=f"name{number}")
            case Topic.VIEW_RELATIONS:
                flags = [rng.random() < 0.5 for _ in range(5)]
                yield user, to_other, RelationView(user, f"u:{other}", flags[0], at, *flags[1:])
            case Topic.VIEW_AFFINITY:
                score = rng.choice([0.0, rng.random() * 50])
                yield user, to_other, AffinityView(user, other, score, at)
            case Topic.VIEW_SOURCES:
                yield f"u:{user}", f"u:{user}".encode(), SourceView(f"u:{user}", number)
            case Topic.VIEW_RECENTS:
                source = f"u:{user}"
                if rng.random() < 0.2:
                    yield source, source.encode(), HeavySource(source, rng.random() < 0.7)
                else:
                    held = RecentActivity(source, post, source, at, rng.random() < 0.8)
                    yield source, f"{source}\0{post}\0{source}".encode(), held
            case Topic.VIEW_TRENDING:
                window = rng.choice(["1h", "24h"])
                entry = TrendingEntry(post, number / 10, number, number, number % 2 == 1)
                of_partition = partition_of(post, PARTITIONS)
                name = f"posts/{window}/".encode()
                view = TrendingView("posts", window, "", of_partition, at, (entry,))
                yield post, name, view
            case Topic.TIMELINE_WRITES:
                reason = f"u:{other}"
                yield (
                    user,
                    None,
                    rng.choice(
                        [
                            [PushEntry(post, reason, at, [user])],
                            [PushEntry(post, reason, at, [user])],
                            [FillTimeline(user, [(each, reason, at) for each in POSTS[:40]])],
                            [RemoveEntry(post, reason, at, [user])],
                            [RemoveSource(user, [reason])],
                        ]
                    ),
                )


def _write_all(url: str) -> None:
    """Write the same records of all topics, in three batches a partition."""
    client = redis.connect(url)
    store = RedisStore(client, PARTITIONS, "log", lambda: 0.0)
    for topic in IN_REDIS:
        rng = Random(f"views:{topic}")
        writes: list[list[Write]] = [[] for _ in range(PARTITIONS)]
        openings = [(user, None, _opened(user)) for user in USERS]
        records = chain(openings if topic == Topic.TIMELINE_WRITES else (), _views(topic, rng))
        for entity, key, view in records:
            of_partition = writes[partition_of(entity, PARTITIONS)]
            value = msgspec.msgpack.encode(view)
            of_partition.append(Write(len(of_partition), key, value, view))
        for partition, of_partition in enumerate(writes):
            assert store.open(topic, partition) is None
            third = len(of_partition) // 3
            for first, end in ((0, third), (third, 2 * third), (2 * third, len(of_partition))):
                store.write(topic, partition, of_partition[first:end], end)
            store.check(topic, partition)
            store.fill(topic, partition)
    client.close()


def _read_all(url: str) -> dict[str, Any]:
    """All that the comparison with the events reads, and where each partition stands."""
    views = RedisViews(url, PARTITIONS)
    views.scan()
    marks = {
        key: msgspec.json.decode(views.client.get(key))["position"]
        for topic in IN_REDIS
        for key in (KEYS.position(topic, partition) for partition in range(PARTITIONS))
    }
    found = {
        "keys": sorted(views.client.scan_iter()),
        "marks": marks,
        "feeds": {user: (entries, floor) for user, entries, floor in views.feeds()},
        "affinity": views.affinity(NOW),
        **{
            name: getattr(views, name)()
            for name in (
                *("posts", "counters", "users", "sources", "recents", "heavy"),
                *("following", "blocks", "mutes", "mine", "trending"),
            )
        },
    }
    views.close()
    return found


@pytest.fixture(scope="module")
def written(cluster: Cluster, one_server: str) -> None:
    """The same views in the cluster and in the one server."""
    for url in (cluster.url, one_server):
        _write_all(url)


@pytest.mark.usefixtures("written")
def test_a_cluster_holds_what_one_server_holds(cluster: Cluster, one_server: str) -> None:
    expected = _read_all(one_server)
    empty_kinds = [kind for kind, values in expected.items() if not values]
    assert not empty_kinds, "nothing to compare"
    found = _read_all(cluster.url)
    for kind, values in expected.items():
        assert found[kind] == values, kind
    assert all(node.client.dbsize() for node in cluster.nodes), "a server that has nothing"


async def _page(cache: RedisCache) -> tuple[Any, ...]:
    """What a page needs, and everything else that is read for it."""
    timelines = []
    for user in USERS:
        held = await cache.timeline(user)
        timelines.append(
            (
                [each.post_id for each in held.walk(None)],
                held.floor,
                sorted(row.place for row in held.pulled),
            )
        )
    found = await cache.load(
        Wanted(
            viewer=USERS[0],
            posts=POSTS[:100],
            counters=POSTS[:100],
            users=USERS,
            sources=[f"u:{user}" for user in USERS],
            mine=POSTS,
            follows=[(user, f"u:{other}") for user in USERS[:10] for other in USERS],
            blocks=[f"u:{user}" for user in USERS],
            favourites=[f"u:{user}" for user in USERS],
        )
    )
    lists = await cache.trending("posts", "1h", "")
    best = [await cache.best_comments(post, 100) for post in POSTS]
    return timelines, found, lists, await cache.viral(3), best


def _read_page(url: str) -> tuple[Any, ...]:
    async def read() -> tuple[Any, ...]:
        cache = RedisCache(url, PARTITIONS)
        try:
            await cache.ping()
            return await _page(cache)
        finally:
            await cache.close()

    return asyncio.run(read())


@pytest.mark.usefixtures("written")
def test_the_api_reads_from_a_cluster_what_it_reads_from_one_server(
    cluster: Cluster, one_server: str
) -> None:
    timelines, found, lists, viral, best = _read_page(one_server)
    assert all(getattr(found, name) for name in found.__struct_fields__), "nothing to compare"
    assert any(pulled for _, _, pulled in timelines), "nothing was pulled"
    assert {each.partition for each in lists} == set(range(PARTITIONS))
    entries = [entry for each in lists for entry in each.entries if entry.is_viral]
    entries.sort(key=lambda entry: -entry.velocity)
    assert viral == [entry.key for entry in entries[:3]] != []
    assert any(best), "no comments"
    assert _read_page(cluster.url) == (timelines, found, lists, viral, best)


@pytest.mark.usefixtures("written")
def _rank(url: str) -> tuple[int, int, list[bool], list[bool]]:
    """Seen posts of a user until a filter is full twice, and more ranked feeds than are kept: how
    many posts the first filter took, how many feeds are left, whether a feed is there, and whether
    the oldest and the newest posts are known."""

    async def run() -> tuple[int, int, list[bool], list[bool]]:
        cache = RedisCache(url, PARTITIONS)
        rankings = RedisRankings(cache.run, PARTITIONS)
        user, client = "reader", redis.connect(url)
        names = [f"seen{n}" for n in range(4_300)]
        full_after = 0
        try:
            for number, name in enumerate(names):
                await rankings.see(user, name)
                if not full_after and client.exists(KEYS.viewed_before(user)):
                    full_after = number + 1
            seen = await rankings.seen(user)
            known = [name in seen for name in names]
            feed = Snapshot(0, "heuristic", [Ranked("p", 1, ("u:a",))])
            for number in range(SNAPSHOTS + 3):
                await rankings.keep(user, f"feed{number}", msgspec.structs.replace(feed, at=number))
            kept = [
                await rankings.snapshot(user, f"feed{n}") == msgspec.structs.replace(feed, at=n)
                for n in range(SNAPSHOTS + 3)
            ]
            assert await rankings.snapshot("another", f"feed{SNAPSHOTS}") is None
            assert all(client.ttl(key) > 0 for key in KEYS.of_ranking(user))
            return full_after, client.hlen(KEYS.ranked(user)), kept, known
        finally:
            client.close()
            await cache.close()

    return asyncio.run(run())


def test_what_the_api_keeps_to_rank_has_a_bound_and_forgets(
    cluster: Cluster, one_server: str
) -> None:
    full_after, feeds, kept, known = _rank(one_server)
    assert 1_950 < full_after < 2_110
    assert feeds == SNAPSHOTS
    assert kept == [False] * 3 + [True] * SNAPSHOTS
    assert all(known[-2_000:])
    assert sum(known[: len(known) - 2 * full_after - 100]) <= 10
    assert _rank(cluster.url) == (full_after, feeds, kept, known)


def test_the_api_follows_a_slot_that_has_moved(cluster: Cluster) -> None:
    async def read() -> tuple[Any, Any, int]:
        cache = RedisCache(cluster.url, PARTITIONS)
        try:
            before = await _page(cache)
            redirections = cluster.errors().get("MOVED", 0)
            await asyncio.to_thread(cluster.move_at_once, KEYS.heavy(0))
            after = await _page(cache)
        finally:
            await cache.close()
        return before, after, cluster.errors().get("MOVED", 0) - redirections

    before, after, redirections = asyncio.run(read())
    assert redirections, "the cache was not redirected"
    assert after == before


# The fence


def test_who_was_taken_over_can_write_no_longer(empty: Cluster) -> None:
    key = KEYS.position(Topic.TIMELINE_WRITES, 3)
    clients = [redis.connect(node.address) for node in empty.nodes[:2]]
    stale, owner = (Fence(client, "log") for client in clients)
    stale.take_over(key)
    with stale.write(key, 5) as pipe:
        pipe.add("SET", "{p3}", "a")
    assert owner.take_over(key) == 5

    def write_stale() -> None:
        with stale.write(key, 6) as pipe:
            pipe.add("SET", "{p3}", "stale")

    with pytest.raises(StoreMovedError):
        write_stale()
    with pytest.raises(StoreMovedError):
        stale.check(key)
    assert clients[0].get("{p3}") == b"a"
    for client in clients:
        client.close()


def test_a_mark_that_goes_to_another_server_amid_a_write_is_found_again(
    empty: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It changed as its writer's server sees it; that is no other writer's doing."""
    monkeypatch.setattr(redis_fence, "COMMANDS_PER_ROUND_TRIP", 2)
    key = KEYS.position(Topic.TIMELINE_WRITES, 3)
    client = redis.connect(empty.url)
    client.set("{p3}", "a")
    fence = Fence(client, "log")
    fence.take_over(key)
    slot, source, target = empty.begin_to_move(key)

    def write(in_the_middle: Callable[[], object]) -> None:
        with fence.write(key, 5) as pipe:
            for value in ("b", "c"):
                pipe.add("SET", "{p3}", value)
            in_the_middle()
            pipe.send_when_long()

    with pytest.raises(TryAgainError, match="is moving"):
        write(lambda: source.ask("MIGRATE", HOST, target.port, key, 0, 5_000))
    assert source.ask("GET", "{p3}") == b"a", "the write had an effect"
    empty.move_keys(slot, source, target, 0)
    empty.end_move(slot, target)
    with pytest.raises(TryAgainError, match="has moved"):
        fence.position(key)
    assert fence.position(key) is None
    write(lambda: None)
    assert client.get("{p3}") == b"c"
    assert Fence(client, "log").take_over(key) == 5
    client.close()


def test_a_script_whose_key_went_in_a_moving_slot_is_run_again(empty: Cluster) -> None:
    """What it is refused for passes with the move; nothing was left to be done by it."""
    user = next(user for user in USERS if partition_of(user, PARTITIONS) == 3)
    client = redis.connect(empty.url)
    store = RedisStore(client, PARTITIONS, "log")
    store.open(Topic.TIMELINE_WRITES, 3)
    push = Write(0, None, None, [*_opened(user), PushEntry("post", "u:a", NOW, [user])])
    store.write(Topic.TIMELINE_WRITES, 3, [push], 1)
    slot, source, target = empty.begin_to_move(KEYS.feed(user))
    removal = Write(1, None, None, [RemoveSource(user, ["u:a"]), RemoveSource(user, ["u:b"])])
    with pytest.raises(ResponseError, match="non local key") as refused:
        store.write(Topic.TIMELINE_WRITES, 3, [removal], 2)
    assert redis.is_passing(refused.value)
    empty.move_keys(slot, source, target, 0)
    empty.end_move(slot, target)
    with pytest.raises(TryAgainError):
        store.write(Topic.TIMELINE_WRITES, 3, [removal], 2)
    store.write(Topic.TIMELINE_WRITES, 3, [removal], 2)
    assert not client.exists(KEYS.feed(user))
    assert Fence(client, "log").take_over(KEYS.position(Topic.TIMELINE_WRITES, 3)) == 2
    client.close()


# What happens to servers while sinks write


class Lists:
    """A store that shows what was done twice, or in part: each write appends its offset to one of
    many lists of the partition."""

    def __init__(self, url: str) -> None:
        self.client = redis.connect(url)
        self._fence = Fence(self.client, "log")

    def open(self, topic: Topic, partition: int) -> int | None:
        return self._fence.take_over(KEYS.position(topic, partition))

    def write(self, topic: Topic, partition: int, writes: Sequence[Write], position: int) -> None:
        key = KEYS.position(topic, partition)
        if self._fence.position(key) == position:
            return
        with self._fence.write(key, position) as pipe:
            for write in writes:
                pipe.add("RPUSH", _list(partition, write.offset), write.offset)

    def check(self, topic: Topic, partition: int) -> None:
        self._fence.check(KEYS.position(topic, partition))

    def fill(self, topic: Topic, partition: int) -> None:
        self._fence.fill(KEYS.position(topic, partition))


def _list(partition: int, offset: int) -> str:
    return f"list:{{p{partition}}}:{offset // 25 * 25}"


TOPIC = Topic.VIEW_SOURCES
BATCH = 10
VALUE = msgspec.msgpack.encode(SourceView("u:a", 1))


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds, while others go on."""
    await asyncio.to_thread(wait_for, condition, what)


class Load:
    """A sink that is handed batch after batch of each partition, and begins again where the store
    stands when that lost writes, as after a restart of its process."""

    def __init__(self, url: str, pool: ThreadPoolExecutor) -> None:
        self.written = [0] * PARTITIONS
        self.waited_for: set[str] = set()
        self.restarts = 0
        self._is_over = False
        self._sink = Sink(
            TOPIC,
            Reach("redis", lambda: Lists(url), self._is_passing),
            app_id="headrace-views",
            mailer=None,  # type: ignore[arg-type]
            pool=pool,
            leaving=lambda: leaving,
            moved=self._moved,
            has_caught_up=lambda _: False,
        )
        leaving = asyncio.Event()

    async def run(self) -> None:
        """Write until it is told to end."""
        async with asyncio.TaskGroup() as group:
            for partition in range(PARTITIONS):
                group.create_task(self._run(partition))

    def end(self) -> None:
        """End behind the batches under way."""
        self._is_over = True

    async def grow(self) -> None:
        """Wait until every partition has got some batches more."""
        aims = [position + 5 * BATCH for position in self.written]
        await until(
            lambda: all(at >= aim for at, aim in zip(self.written, aims, strict=True)),
            "writes of every partition",
        )

    async def waits_for(self, error: str) -> None:
        """Wait until some write was refused with a kind of error, and will be repeated."""
        await until(lambda: error in self.waited_for, f"a write that met {error}")

    def _is_passing(self, error: Exception) -> bool:
        passes = redis.is_passing(error)
        if passes:
            self.waited_for.add(type(error.__cause__ or error).__name__)
        return passes

    def _moved(self, tp: TP, position: int) -> None:
        self.written[tp.partition] = position

    async def _run(self, partition: int) -> None:
        tp = TP(str(TOPIC), partition)
        assert await self._sink.open(partition) is None
        while not self._is_over:
            first = self.written[partition]
            end = first + BATCH
            records = [
                record(VALUE, topic=TOPIC, partition=partition, offset=offset, key=b"k")
                for offset in range(first, end)
            ]
            try:
                await self._sink.process(Batch(tp, records, end))
            except StoreMovedError:
                self.restarts += 1
                self._moved(tp, await self._sink.open(partition) or 0)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "LONGEST_PAUSE_SECONDS", 0.3)


SETTLED_S = 1.0
"""Within it what a killed server had done before is known here."""

Fault = Callable[[Load], Awaitable[None]]


def _under_load(cluster: Cluster, fault: Fault) -> Load:
    """Let a fault happen while a sink writes into all partitions; all that was written must be
    there, once, in order."""

    async def run() -> Load:
        with ThreadPoolExecutor(PARTITIONS) as pool:
            load = Load(cluster.url, pool)
            task = asyncio.create_task(load.run())
            try:
                await load.grow()
                await fault(load)
                await load.grow()
            except BaseException:
                task.cancel()  # it may wait for a server that does not come back
                raise
            load.end()
            await task
            return load

    load = asyncio.run(run())
    client = redis.connect(cluster.url)
    for partition, position in enumerate(load.written):
        keys = dict.fromkeys(_list(partition, offset) for offset in range(position))
        found = [int(offset) for key in keys for offset in client.lrange(key, 0, -1)]
        assert found == list(range(position))
    client.close()
    return load


def test_a_server_that_is_killed_is_waited_for(empty: Cluster) -> None:
    node = next(node for node in empty.nodes[1:] if _partitions_of(empty, node))
    partitions = _partitions_of(empty, node)

    async def kill(load: Load) -> None:
        cache = RedisCache(node.address, PARTITIONS)
        await cache.ping()
        pid = node.child.pid
        node.kill()
        await load.waits_for("ConnectionError")
        await asyncio.sleep(SETTLED_S)
        stood = [load.written[partition] for partition in partitions]
        with pytest.raises(StoreDownError):
            await cache.ping()
        assert [load.written[partition] for partition in partitions] == stood
        await asyncio.to_thread(node.start)
        assert node.child.pid != pid
        await asyncio.to_thread(empty.wait_until_agreed)
        await cache.ping()
        await cache.close()

    # While its disk is busy, Redis confirms what it has not written into its file yet.
    assert _under_load(empty, kill).restarts <= len(partitions)


def test_a_slot_is_moved_key_by_key(empty: Cluster) -> None:
    mark = KEYS.position(TOPIC, 0)

    async def move(load: Load) -> None:
        slot, source, target = empty.begin_to_move(mark)
        await load.waits_for("TryAgainError")  # some keys are there, others are new
        assert await asyncio.to_thread(empty.move_keys, slot, source, target, 0.01) > 1
        await load.waits_for("AskError")  # the mark has gone
        await asyncio.to_thread(empty.end_move, slot, target)
        await load.waits_for("MovedError")
        await until(lambda: empty.owner(mark) is target, "a new owner")

    assert _under_load(empty, move).restarts == 0


def test_a_slot_is_moved_at_once(empty: Cluster) -> None:
    mark = KEYS.position(TOPIC, 0)

    async def move(load: Load) -> None:
        await asyncio.to_thread(empty.move_at_once, mark)
        await load.waits_for("MovedError")

    assert _under_load(empty, move).restarts == 0


def test_a_replica_takes_over_as_it_is_told_to(empty: Cluster) -> None:
    primary, replica = _pair(empty)
    assert _partitions_of(empty, primary)

    async def swap(load: Load) -> None:
        replica.ask("CLUSTER", "FAILOVER")
        await load.waits_for("MovedError")
        assert _pair(empty) == (replica, primary)

    assert _under_load(empty, swap).restarts == 0
    empty.wait_until_agreed()


def test_a_replica_takes_over_when_its_primary_is_killed(empty: Cluster) -> None:
    """Writes that had not reached it are written again, as its mark has not reached it either."""
    primary, replica = _pair(empty)
    assert _partitions_of(empty, primary)

    async def kill(load: Load) -> None:
        primary.kill()
        await load.waits_for("ConnectionError")
        await until(lambda: replica in empty.primaries, "a promoted replica")
        assert not primary.child.is_alive()

    _under_load(empty, kill)


def _pair(cluster: Cluster) -> tuple[Node, Node]:
    """The primary that has a replica, and that replica."""
    pair = (cluster.nodes[0], cluster.replica)
    return pair if pair[0] in cluster.primaries else pair[::-1]


def _partitions_of(cluster: Cluster, node: Node) -> list[int]:
    marks = {partition: KEYS.position(TOPIC, partition) for partition in range(PARTITIONS)}
    return [partition for partition, mark in marks.items() if cluster.owner(mark) is node]
