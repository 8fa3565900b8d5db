"""Feeds are swapped while their sink writes: on a real Redis, with the log in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any, cast

import pytest
from redis import Redis

from connectors import redis, redis_fence
from connectors.redis_keys import Keys, member
from connectors.redis_shadow import ShadowFeeds, Swap
from connectors.stack.local import LocalStack
from headrace.rebuild import patience
from headrace.rebuild.feeds import Feeds
from headrace.rebuild.log import PartitionLog, Placed
from headrace.rebuild.moment import Window
from headrace.rebuild.patience import NotWrittenError
from headrace.rebuild.replay import Replay, Share
from headrace.rebuild.report import StoreReport
from headrace.rebuild.withheld import Withheld
from schemas.topics import Topic
from schemas.views import (
    CloseTimeline,
    OpenTimeline,
    PushEntry,
    RefillTimeline,
    RemoveEntry,
    RemoveSource,
    TimelineOp,
)
from streams.engine.sink import Write
from streams.feeds import FEED_ENTRIES
from streams.timelines import Timelines
from streams.views_sink import RedisStore

LOG_ID = "log"
OWNERS = [f"user{n}" for n in range(12)]
KEYS = Keys(1)
ALL = Window(0, None, None, None, None)


class Log:
    """A log in memory, as a rebuild reads it; what is added is committed."""

    def __init__(self) -> None:
        self.records: list[Placed] = []
        self._next = 0

    def add(self, *operations: TimelineOp) -> None:
        self.records.append(Placed(len(self.records), 1, list(operations)))

    def open(self, start: int) -> None:
        self._next = start

    def take(self, position: int) -> Iterator[Placed]:
        while self._next < position:
            self._next += 1
            yield self.records[self._next - 1]

    def peek(self, end: int) -> list[Placed]:
        return self.records[self._next : end]


class Nothing:
    """Withholds nothing."""

    def of(self, _given: Any) -> dict[str, set[Any]]:
        return {}


class World:
    """A log, the sink that writes it into Redis, and a rebuild beside it."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.log = Log()
        self.report = StoreReport(store="Redis")
        self.shadows = ShadowFeeds(client, KEYS, 0)
        self._sink = RedisStore(client, 1, LOG_ID)
        self.position = self._sink.open(Topic.TIMELINE_WRITES, 0) or 0
        self.feeds = Feeds(
            self.shadows,
            cast(Withheld, Nothing()),
            self.report,
            log_id=LOG_ID,
            partition=0,
            is_dry_run=False,
        )

    def sink(self) -> None:
        """Write all that is in the log."""
        batch = self.log.records[self.position :]
        writes = [Write(each.offset, None, None, each.operations) for each in batch]
        end = len(self.log.records)
        self._sink.write(Topic.TIMELINE_WRITES, 0, writes, end)
        self.position = end

    def begin_batch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The sink writes some of a batch, for user1 and user3, and dies."""

        def crash(*_: object) -> None:
            raise ZeroDivisionError

        self.log.add(*(RemoveSource(owner, ["u:none"]) for owner in ("user1", "user3", "user1")))
        self.log.add(PushEntry("r", "u:a", 3, ["user1", "user3"]))
        with monkeypatch.context() as patched:
            patched.setattr(redis_fence, "reach", crash)
            with pytest.raises(ZeroDivisionError):
                self.sink()
        self.client.zadd(KEYS.feed("user1"), {member("r", "u:a"): 3})  # as it may have

    def end_batch(self) -> None:
        """Another sink takes over."""
        self._sink = RedisStore(self.client, 1, LOG_ID)
        self.position = self._sink.open(Topic.TIMELINE_WRITES, 0) or 0
        self.sink()

    def replay(self) -> Replay:
        log = cast(PartitionLog, self.log)
        replay = Replay(log, Timelines(FEED_ENTRIES), ALL, Share())
        replay.begin(self.feeds.position(), None, lambda _: None)
        return replay

    def settle(self) -> None:
        self.feeds.settle(self.replay(), OWNERS)

    def found(self, owner: str) -> dict[tuple[str, str], int]:
        return self.shadows.read([owner]).feeds[owner].entries

    def wanted(self, owner: str) -> dict[tuple[str, str], int]:
        """All that the log says, folded without the product's fold of whole batches."""
        timelines = Timelines(FEED_ENTRIES)
        for placed in self.log.records:
            timelines.apply(placed.operations)
        return timelines.of(owner).entries

    def assert_right(self) -> None:
        for owner in OWNERS:
            assert self.found(owner) == self.wanted(owner), owner
            assert self.client.ttl(KEYS.feed(owner)) in (-1, -2), "a feed expires"
        assert not list(self.client.scan_iter("shadow:*"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A server of this module alone."""
    with LocalStack(tmp_path_factory.mktemp("stack"), fresh=True, parts=("redis",)) as stack:
        client = redis.connect(stack.addresses.redis)
        yield client
        client.close()


@pytest.fixture
def world(server: Redis) -> World:
    """Everybody has two entries, and user1 has lost one of them."""
    server.flushall()
    found = World(server)
    for owner in OWNERS:
        found.log.add(OpenTimeline(owner, "e", 1), RefillTimeline(owner, "e", 0, []))
    found.log.add(PushEntry("p", "u:a", 1, OWNERS), PushEntry("q", "u:b", 2, OWNERS))
    found.sink()
    server.zrem(KEYS.feed("user1"), member("p", "u:a"))
    return found


def _before_first_swap(monkeypatch: pytest.MonkeyPatch, *happens: Any) -> list[Swap]:
    """Have something happen between the look at the mark and the first swap; what came of each."""
    swap, outcomes = ShadowFeeds.swap, list[Swap]()

    def late(self: ShadowFeeds, owners: Any, mark: bytes) -> Swap:
        if not outcomes:
            for each in happens:
                each()
        outcomes.append(swap(self, owners, mark))
        return outcomes[-1]

    monkeypatch.setattr(ShadowFeeds, "swap", late)
    return outcomes


@pytest.mark.parametrize(
    "written",
    [
        pytest.param([PushEntry("r", "u:a", 3, ["user1"])], id="an entry for the same feed"),
        pytest.param([RemoveEntry("p", "u:a", 1, ["user1"])], id="what was lost is removed"),
        pytest.param([RemoveSource("user1", ["u:b", "s:b"])], id="a source is left"),
        pytest.param([PushEntry("r", "u:a", 3, ["user2"])], id="an entry for another feed"),
    ],
)
def test_what_the_sink_writes_before_a_swap_is_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch, written: list[TimelineOp]
) -> None:
    outcomes = _before_first_swap(monkeypatch, lambda: world.log.add(*written), world.sink)
    world.settle()
    assert outcomes[0] == Swap.MOVED
    assert world.report.retries == 1
    world.assert_right()


def test_a_feed_that_is_closed_before_a_swap_stays_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing = CloseTimeline("user1")
    outcomes = _before_first_swap(monkeypatch, lambda: world.log.add(closing), world.sink)
    world.settle()
    assert outcomes == [Swap.MOVED]
    assert not world.client.exists(KEYS.feed("user1"), KEYS.floor("user1"))
    assert not list(world.client.scan_iter("shadow:*"))


def test_a_feed_that_is_not_there_or_being_opened_is_left_alone(world: World) -> None:
    world.log.add(CloseTimeline("user1"), OpenTimeline("user1", "e2", 2))
    world.log.add(RefillTimeline("user1", "e2", 0, []))
    world.sink()
    world.client.zadd(KEYS.feed("stranger"), {member("p", "u:a"): 1})
    world.feeds.settle(world.replay(), ["user1", "stranger"])
    assert world.report.different == 0


def test_what_the_sink_writes_after_a_swap_comes_on_top(world: World) -> None:
    """Its batch was read before the swap."""
    world.log.add(PushEntry("r", "u:a", 3, ["user1"]), RemoveEntry("q", "u:b", 2, ["user1"]))
    world.settle()
    assert (world.report.mended, world.report.retries) == (1, 0)
    world.sink()
    world.assert_right()


def test_a_shadow_that_is_gone_is_built_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expire() -> None:
        world.client.delete(*world.client.scan_iter("shadow:*"))

    outcomes = _before_first_swap(monkeypatch, expire)
    world.settle()
    assert outcomes == [Swap.LOST, Swap.DONE]
    world.assert_right()


def test_shadows_go_by_themselves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a process that was killed."""

    def look() -> None:
        (shadow,) = world.client.scan_iter("shadow:*")
        assert 0 < world.client.ttl(shadow) <= 600

    assert _before_first_swap(monkeypatch, look) == []
    world.settle()
    assert world.report.mended == 1


def test_feeds_that_are_written_in_part_are_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the midst of a batch, and after a crash there: what was written of it would be lost."""
    world.client.delete(KEYS.feed("user2"))
    monkeypatch.setattr(redis_fence, "COMMANDS_PER_ROUND_TRIP", 2 + 3)  # three scripts
    monkeypatch.setattr(patience, "PATIENCE_S", 0.2)
    world.begin_batch(monkeypatch)
    with pytest.raises(NotWrittenError, match="in the midst of a batch"):
        world.settle()
    assert world.found("user2") == world.wanted("user2"), "those that it does not concern"
    assert world.found("user1") == {("q", "u:b"): 2, ("r", "u:a"): 3}
    assert {row.owner for row in world.report.rows} == {"user2"}
    world.end_batch()
    world.settle()
    world.assert_right()


def test_a_batch_that_begins_before_a_swap_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_fence, "COMMANDS_PER_ROUND_TRIP", 2 + 3)
    monkeypatch.setattr(patience, "PATIENCE_S", 0.2)
    outcomes = _before_first_swap(monkeypatch, lambda: world.begin_batch(monkeypatch))
    with pytest.raises(NotWrittenError, match="in the midst of a batch"):
        world.settle()
    assert outcomes == [Swap.MOVED]
    assert world.found("user1") == {("q", "u:b"): 2, ("r", "u:a"): 3}
    world.end_batch()
    world.settle()
    world.assert_right()


def _random_operations(rng: Random) -> Iterable[TimelineOp]:
    owners = rng.sample(OWNERS, rng.randint(1, 4))
    post, author = f"p{rng.randint(0, 30)}", rng.choice("ab")
    yield PushEntry(post, f"u:{author}", rng.randint(1, 9), owners)
    if rng.random() < 0.3:
        yield RemoveEntry(post, f"u:{author}", 1, owners[:2])
    if rng.random() < 0.2:
        yield RemoveSource(owners[0], [f"u:{author}"])


def test_nothing_is_lost_or_doubled_while_the_sink_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of one and of several round trips, and feeds that are damaged again and again."""
    monkeypatch.setattr(redis_fence, "COMMANDS_PER_ROUND_TRIP", 5)
    rng, stop = Random(11), threading.Event()
    writing = Random(12)

    def write_on() -> None:
        while not stop.is_set():
            for _ in range(writing.randint(1, 6)):
                world.log.add(*_random_operations(writing))
            world.sink()

    thread = threading.Thread(target=write_on)
    thread.start()
    try:
        for _ in range(15):
            for owner in rng.sample(OWNERS, 3):
                world.client.zadd(KEYS.feed(owner), {member("strange", "u:x"): 5})
            world.settle()
    finally:
        stop.set()
        thread.join()
    assert world.report.mended >= 20
    assert world.report.retries > 0, "the sink was never quicker"
    world.assert_right()
