"""The Redis sink: view topics and timeline writes as keys that the API reads."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from connectors.redis import TRIM_WITH_HASH, digest_of
from connectors.redis_fence import Fence, FencedPipeline
from connectors.redis_keys import Keys, fading_rank, member
from connectors.redis_servers import Client
from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import AVERSION_PER_DAY, DELETED, HeavySource, NotificationsSeen, RecentActivity
from streams.engine.sink import Write
from streams.feeds import SCRIPTS, FeedChanges, Feeds, decode_feeds
from streams.subjects import USER

MINE_ENTRIES = 10_000
NOTIFICATIONS = 500
BEST_COMMENTS = 2_000  # twice what is shown, so that some may go
POST_TTL_SECONDS = 7 * 24 * 60 * 60
TRENDING_TTL_SECONDS = 15 * 60  # lists are shown anew every 5 minutes
MIN_SCORE = 1e-9
LIKE = "like"
_TRIM = digest_of(TRIM_WITH_HASH)


class RedisStore:
    """Writes views into Redis; every key of a partition carries the partition's hash tag."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        log_id: str,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._fence = Fence(client, log_id)
        self._feeds: dict[int, Feeds] = {}
        self._keys = Keys(partitions)
        self._chance = chance
        self._writers: dict[Topic, Callable[[FencedPipeline, Sequence[Write]], None]] = {
            Topic.VIEW_POSTS: self._posts,
            Topic.VIEW_COUNTERS: self._counters,
            Topic.VIEW_COMMENT_COUNTS: self._comment_counts,
            Topic.VIEW_MINE: self._mine,
            Topic.VIEW_USERS: self._users,
            Topic.VIEW_RELATIONS: self._relations,
            Topic.VIEW_AFFINITY: self._affinity,
            Topic.VIEW_SOURCES: self._sources,
            Topic.VIEW_RECENTS: self._recents,
            Topic.VIEW_MODERATION: self._moderation,
            Topic.VIEW_NAMES: self._names,
            Topic.VIEW_DEVICES: self._devices,
            Topic.VIEW_INTERESTS: self._interests,
            Topic.VIEW_NOTIFICATIONS: self._notifications,
            Topic.VIEW_TRENDING: self._trending,
        }

    def open(self, topic: Topic, partition: int) -> int | None:
        """Take a partition over."""
        position = self._fence.take_over(self._keys.position(topic, partition))
        if topic == Topic.TIMELINE_WRITES:
            self._load_feeds(partition)
        return position

    def write(self, topic: Topic, partition: int, writes: Sequence[Write], position: int) -> None:
        """Apply writes in order, and set the position with the last of them.

        Also again after an error, with the same writes.

        Raises:
            StoreMovedError: Redis lost writes, or another worker has taken over.
        """
        key = self._keys.position(topic, partition)
        is_done = self._fence.position(key) == position  # before, and the answer was lost
        if topic == Topic.TIMELINE_WRITES:
            if is_done:
                self._load_feeds(partition)
            else:
                self._timelines(key, partition, writes, position)
        elif not is_done:
            with self._fence.write(key, position, (TRIM_WITH_HASH,)) as pipe:
                self._writers[topic](pipe, writes)

    def check(self, topic: Topic, partition: int) -> None:
        """See whether the position is where it was left.

        Raises:
            StoreMovedError: Redis lost writes, or another worker has taken over.
        """
        self._fence.check(self._keys.position(topic, partition))

    def fill(self, topic: Topic, partition: int) -> None:
        """Say beside the position that the partition is filled.

        Raises:
            StoreMovedError: Redis lost writes, or another worker has taken over.
        """
        self._fence.fill(self._keys.position(topic, partition))

    def _load_feeds(self, partition: int) -> None:
        """Know which feeds are there. O(feeds of the partition), once it is taken over."""
        found: Any = self._client.hgetall(self._keys.opened(partition))
        self._feeds[partition] = decode_feeds(found)

    def _timelines(self, key: str, partition: int, writes: Sequence[Write], position: int) -> None:
        with self._fence.write(key, position, SCRIPTS) as pipe:
            feeds = self._feeds[partition]
            changes = FeedChanges(pipe, self._keys, partition, feeds, self._chance)
            for write in writes:
                for operation in write.view or ():
                    changes.apply(operation)
                    pipe.send_when_long()
            changes.flush()
        changes.take_effect()

    def _posts(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, raw in _newest(writes):
            pipe.add("SET", self._keys.post(view.post_id), raw, "EX", POST_TTL_SECONDS)

    def _counters(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, raw in _newest(writes):
            pipe.add("SET", self._keys.counters(view.post_id), raw, "EX", POST_TTL_SECONDS)

    def _comment_counts(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        touched: dict[str, None] = {}
        for view, _ in _newest(writes):
            key = self._keys.best_comments(view.post_id)
            if view.is_deleted:
                pipe.add("ZREM", key, view.comment_id)
            else:
                pipe.add("ZADD", key, view.likes, view.comment_id)
                touched[key] = None
        for key in touched:
            pipe.add("ZREMRANGEBYRANK", key, 0, -BEST_COMMENTS - 1)

    def _users(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, raw in _newest(writes):
            pipe.add("SET", self._keys.user(view.user_id), raw)
            if view.status == DELETED:
                pipe.add("DEL", self._keys.told(view.user_id))
                pipe.add("DEL", *self._keys.of_ranking(view.user_id))

    def _names(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, _ in _newest(writes):
            key = self._keys.name(view.name)
            if view.user_id:
                pipe.add("SET", key, view.user_id)
            else:
                pipe.add("DEL", key)

    def _devices(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, raw in _newest(writes):
            key = self._keys.devices(view.user_id)
            if view.tokens:
                pipe.add("SET", key, raw)
            else:
                pipe.add("DEL", key)

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

    def _moderation(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, _ in _newest(writes):
            key = self._keys.awaiting(partition_of(view.post_id, self._keys.partitions))
            if view.is_awaiting:
                pipe.add("ZADD", key, view.at, view.post_id)
            else:
                pipe.add("ZREM", key, view.post_id)

    def _trending(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, raw in _newest(writes):
            key = self._keys.trending(view.partition, view.kind, view.window, view.language)
            pipe.add("SET", key, raw, "EX", TRENDING_TTL_SECONDS)

    def _mine(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        touched: set[str] = set()
        for view, _ in _newest(writes):
            reacted, kinds = self._keys.reacted(view.user_id), self._keys.kinds(view.user_id)
            shared = self._keys.shared(view.user_id)
            if view.reaction is None:
                pipe.add("ZREM", reacted, view.post_id)
            else:
                pipe.add("ZADD", reacted, view.reacted_at, view.post_id)
            if view.reaction in (None, LIKE):
                pipe.add("HDEL", kinds, view.post_id)
            else:
                pipe.add("HSET", kinds, view.post_id, view.reaction)
            if view.is_shared:
                pipe.add("ZADD", shared, view.shared_at, view.post_id)
            else:
                pipe.add("ZREM", shared, view.post_id)
            if view.hidden_at:
                hidden = self._keys.hidden(view.user_id)
                pipe.add("ZADD", hidden, view.hidden_at, view.post_id)
                pipe.add("ZREMRANGEBYRANK", hidden, 0, -MINE_ENTRIES - 1)
            elif view.hidden_at == 0:
                pipe.add("ZREM", self._keys.hidden(view.user_id), view.post_id)
            touched.add(view.user_id)
        for user_id in touched:
            keys = self._keys.reacted(user_id), self._keys.kinds(user_id)
            pipe.add("EVALSHA", _TRIM, 2, *keys, MINE_ENTRIES)
            pipe.add("ZREMRANGEBYRANK", self._keys.shared(user_id), 0, -MINE_ENTRIES - 1)

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
            command = "SADD" if view.is_favourite else "SREM"
            pipe.add(command, self._keys.favourites(view.user_id), view.target)
            if view.is_muting is not None:
                command = "SADD" if view.is_muting else "SREM"
                pipe.add(command, self._keys.mutes(view.user_id), view.target)

    def _affinity(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, _ in _newest(writes):
            self._fading(pipe, self._keys.affinity(view.user_id), view.target_id, view)
            self._averse(pipe, f"{USER}{view.target_id}", view)

    def _interests(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        for view, _ in _newest(writes):
            self._fading(pipe, self._keys.interests(view.user_id), view.subject, view)
            self._averse(pipe, view.subject, view)

    def _fading(self, pipe: FencedPipeline, key: str, entry: str, view: Any) -> None:
        if view.score > MIN_SCORE:
            pipe.add("ZADD", key, fading_rank(view.score, view.at), entry)
        else:
            pipe.add("ZREM", key, entry)

    def _averse(self, pipe: FencedPipeline, subject: str, view: Any) -> None:
        """Aversions are rare: only who ever had one has something to take away."""
        if view.averse_at is None:
            return
        key = self._keys.aversions(view.user_id)
        if view.aversion > MIN_SCORE:
            rank = fading_rank(view.aversion, view.averse_at, AVERSION_PER_DAY)
            pipe.add("ZADD", key, rank, subject)
        else:
            pipe.add("ZREM", key, subject)

    def _notifications(self, pipe: FencedPipeline, writes: Sequence[Write]) -> None:
        touched: dict[str, None] = {}
        for view, raw in _newest(writes):
            if isinstance(view, NotificationsSeen):
                key = self._keys.seen(view.user_id)
                if view.at:
                    pipe.add("SET", key, view.at)
                else:
                    pipe.add("DEL", key)
                continue
            keys = self._keys.notifications(view.user_id), self._keys.notices(view.user_id)
            entry = view.key
            if view.count:
                pipe.add("ZADD", keys[0], view.at, entry)
                pipe.add("HSET", keys[1], entry, raw)
                touched[view.user_id] = None
            else:
                pipe.add("ZREM", keys[0], entry)
                pipe.add("HDEL", keys[1], entry)
        for user_id in touched:
            keys = self._keys.notifications(user_id), self._keys.notices(user_id)
            pipe.add("EVALSHA", _TRIM, 2, *keys, NOTIFICATIONS)


def _newest(writes: Sequence[Write]) -> list[tuple[Any, bytes]]:
    """The newest value per key of a batch, decoded and raw, in the order of first mention."""
    newest = {write.key: write for write in writes if write.value is not None}
    return [(write.view, write.value or b"") for write in newest.values()]
