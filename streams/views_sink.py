"""The Redis sink: view topics and timeline writes as keys that the API reads."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis import Redis

from connectors.redis import REMOVE_REASONS, TRIM_FEED, digest_of
from connectors.redis_fence import Fence, FencedPipeline
from connectors.redis_keys import Keys, affinity_rank, member
from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import (
    FillTimeline,
    HeavySource,
    PushEntry,
    RecentActivity,
    RemoveEntry,
    RemoveSource,
    TimelineOp,
)
from streams.engine.sink import Write

FEED_ENTRIES = 1_000
ENTRIES_PER_TRIM = 200
MINE_ENTRIES = 10_000
POST_TTL_SECONDS = 7 * 24 * 60 * 60
MIN_SCORE = 1e-9
_TRIM = digest_of(TRIM_FEED)
_REMOVE = digest_of(REMOVE_REASONS)


class _Feeds:
    """The timeline operations of a batch, folded to one net change per entry and feed.

    The order of operations on one feed is kept: an entry's last operation counts, and what a
    `RemoveSource` meets is what stood before it.

    One in `ENTRIES_PER_TRIM` entries, by chance, has its feed trimmed. So nothing is kept for each
    feed, and one grows beyond `FEED_ENTRIES` by 200 entries on average, by 2,000 once in 20,000
    times.
    """

    def __init__(self, pipe: FencedPipeline, keys: Keys, chance: Callable[[], float]) -> None:
        self._pipe = pipe
        self._keys = keys
        self._chance = chance
        self._net: defaultdict[str, dict[str, int | None]] = defaultdict(dict)
        self._to_trim: set[str] = set()

    def apply(self, operation: TimelineOp) -> None:
        match operation:
            case PushEntry(post_id, reason, at, owners):
                entry = member(post_id, reason)
                for owner in owners:
                    self._net[owner][entry] = at
            case RemoveEntry(post_id, reason, _, owners):
                entry = member(post_id, reason)
                for owner in owners:
                    self._net[owner][entry] = None
            case FillTimeline(owner, entries):
                net = self._net[owner]
                for post_id, reason, at in entries:
                    net[member(post_id, reason)] = at
            case RemoveSource(owner, reasons):
                self._write(owner)
                self._pipe.add("EVALSHA", _REMOVE, 1, self._keys.feed(owner), *reasons)

    def flush(self) -> None:
        for owner in list(self._net):
            self._write(owner)
        for owner in self._to_trim:
            feed, floor = self._keys.feed(owner), self._keys.floor(owner)
            self._pipe.add("EVALSHA", _TRIM, 2, feed, floor, FEED_ENTRIES)

    def _write(self, owner: str) -> None:
        net = self._net.pop(owner, None)
        if not net:
            return
        feed = self._keys.feed(owner)
        added: dict[str, int] = {entry: at for entry, at in net.items() if at is not None}
        removed = [entry for entry, at in net.items() if at is None]
        if added:
            self._pipe.add("ZADD", feed, *_scored(added))
            if self._chance() * ENTRIES_PER_TRIM < len(added):
                self._to_trim.add(owner)
        if removed:
            self._pipe.add("ZREM", feed, *removed)


class RedisStore:
    """Writes views into Redis; every key of a partition carries the partition's hash tag."""

    def __init__(
        self,
        client: Redis,
        partitions: int,
        log_id: str,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._fence = Fence(client, log_id)
        self._keys = Keys(partitions)
        self._chance = chance
        self._writers: dict[Topic, Callable[[FencedPipeline, Sequence[Write]], None]] = {
            Topic.VIEW_POSTS: self._posts,
            Topic.VIEW_COUNTERS: self._counters,
            Topic.VIEW_MINE: self._mine,
            Topic.VIEW_USERS: self._users,
            Topic.VIEW_RELATIONS: self._relations,
            Topic.VIEW_AFFINITY: self._affinity,
            Topic.VIEW_SOURCES: self._sources,
            Topic.VIEW_RECENTS: self._recents,
        }

    def open(self, topic: Topic, partition: int) -> int | None:
        """Take a partition over."""
        return self._fence.take_over(self._keys.position(topic, partition))

    def write(self, topic: Topic, partition: int, writes: Sequence[Write], position: int) -> None:
        """Apply writes in order, and set the position with the last of them.

        Also again after an error, with the same writes.

        Raises:
            StoreMovedError: Redis lost writes, or another worker has taken over.
        """
        key = self._keys.position(topic, partition)
        if self._fence.position(key) == position:  # done before, and the answer was lost
            return
        if topic == Topic.TIMELINE_WRITES:
            with self._fence.write(key, position, (TRIM_FEED, REMOVE_REASONS)) as pipe:
                self._timelines(pipe, writes)
        else:
            with self._fence.write(key, position) as pipe:
                self._writers[topic](pipe, writes)

    def check(self, topic: Topic, partition: int) -> None:
        """See whether the position is where it was left.

        Raises:
            StoreMovedError: Redis lost writes, or another worker has taken over.
        """
        self._fence.check(self._keys.position(topic, partition))

    def _timelines(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        feeds = _Feeds(pipe, self._keys, self._chance)
        for write in writes:
            for operation in write.view or ():
                feeds.apply(operation)
                pipe.send_when_long()
        feeds.flush()

    def _posts(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, raw in _newest(writes):
            pipe.add("SET", self._keys.post(view.post_id), raw, "EX", POST_TTL_SECONDS)

    def _counters(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, raw in _newest(writes):
            pipe.add("SET", self._keys.counters(view.post_id), raw, "EX", POST_TTL_SECONDS)

    def _users(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, raw in _newest(writes):
            pipe.add("SET", self._keys.user(view.user_id), raw)

    def _sources(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, raw in _newest(writes):
            pipe.add("SET", self._keys.source(view.source), raw)

    def _recents(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, _ in _newest(writes):
            match view:
                case HeavySource(source, is_heavy):
                    key = self._keys.heavy(partition_of(source, self._keys.partitions))
                    pipe.add("SADD" if is_heavy else "SREM", key, source)
                case RecentActivity(source, post_id, reason, at, is_held):
                    key, entry = self._keys.recent(source), member(post_id, reason)
                    if is_held:
                        pipe.add("ZADD", key, at, entry)
                    else:
                        pipe.add("ZREM", key, entry)

    def _mine(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        touched: set[str] = set()
        for view, _ in _newest(writes):
            liked, shared = self._keys.liked(view.user_id), self._keys.shared(view.user_id)
            if view.reaction == "like":
                pipe.add("ZADD", liked, view.reacted_at, view.post_id)
            else:
                pipe.add("ZREM", liked, view.post_id)
            if view.is_shared:
                pipe.add("ZADD", shared, view.shared_at, view.post_id)
            else:
                pipe.add("ZREM", shared, view.post_id)
            touched |= {liked, shared}
        for key in touched:
            pipe.add("ZREMRANGEBYRANK", key, 0, -MINE_ENTRIES - 1)

    def _relations(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, _ in _newest(writes):
            following, blocks = self._keys.following(view.user_id), self._keys.blocks(view.user_id)
            if view.is_following:
                pipe.add("ZADD", following, view.followed_at, view.target)
            else:
                pipe.add("ZREM", following, view.target)
            if view.is_blocking or view.is_blocked:
                pipe.add("SADD", blocks, view.target)
            else:
                pipe.add("SREM", blocks, view.target)
            if view.is_muting is not None:
                command = "SADD" if view.is_muting else "SREM"
                pipe.add(command, self._keys.mutes(view.user_id), view.target)

    def _affinity(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, _ in _newest(writes):
            key = self._keys.affinity(view.user_id)
            if view.score > MIN_SCORE:
                pipe.add("ZADD", key, affinity_rank(view.score, view.at), view.target_id)
            else:
                pipe.add("ZREM", key, view.target_id)


def _scored(entries: dict[str, int]) -> Iterator[str | int]:
    """Score and member of each, as ZADD takes them."""
    for entry, at in entries.items():
        yield at
        yield entry


def _newest(writes: Sequence[Write]) -> list[tuple[Any, bytes]]:
    """The newest value per key of a batch, decoded and raw, in the order of first mention."""
    newest = {write.key: write for write in writes if write.value is not None}
    return [(write.view, write.value or b"") for write in newest.values()]
