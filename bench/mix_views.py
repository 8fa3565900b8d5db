"""What a system made of the mix: whether the end of it is there, and whether all is right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

import msgspec
from confluent_kafka import Consumer, TopicPartition
from redis import Redis

from bench.engagements import PARTITIONS, last_posts
from bench.mix import DAY_MS, DECAY_PER_DAY, Tally, authors, last_users
from connectors.redis_keys import Keys, faded_score
from schemas.topics import Topic
from schemas.views import CommentView, CountersView

EXACT_UP_TO = 1_024
FOUR_SIGMA = 4 * 1.04 / 4096**0.5
TOLERANCE = 1e-6
NEGLIGIBLE = 0.01
_AT_A_TIME = 5_000
_WAIT_S = 30.0
_counters = msgspec.msgpack.Decoder(CountersView)
_comment = msgspec.msgpack.Decoder(CommentView)

Counts = dict[str, CountersView]
Comments = dict[tuple[str, str], tuple[int, int]]
Affinities = dict[tuple[str, str], float]
Some = TypeVar("Some")


class ProductViews:
    """The product's views: counts and affinity in Redis, comments in their topic, as the Redis
    sink writes none."""

    def __init__(self, client: Redis, brokers: str) -> None:
        self._client = client
        self._brokers = brokers
        self._keys = Keys(PARTITIONS)

    def is_over(self) -> bool:
        """Whether the last event of each pair of partitions has come through all folds."""
        pipe = self._client.pipeline(transaction=False)
        for user_id in last_users():
            pipe.zcard(self._keys.affinity(user_id))
        pipe.exists(*map(self._keys.counters, last_posts()))
        return bool(pipe.execute() == [PARTITIONS] * (len(last_users()) + 1))

    def counts(self, post_ids: Iterable[str]) -> Counts:
        """The counts of posts."""
        found = _values(self._client, {each: self._keys.counters(each) for each in post_ids})
        return {post_id: _counters.decode(raw) for post_id, raw in found.items()}

    def affinities(self, pairs: Iterable[tuple[str, str]], now: int) -> Affinities:
        """(user, the other) to the score at a time (ms), of all that these users are close to."""
        found: Affinities = {}
        for users in _parts(dict.fromkeys(user_id for user_id, _ in pairs)):
            pipe = self._client.pipeline(transaction=False)
            for user_id in users:
                pipe.zrange(self._keys.affinity(user_id), 0, -1, withscores=True)
            for user_id, close in zip(users, pipe.execute(), strict=True):
                for other, rank in close:
                    found[user_id, other.decode()] = faded_score(rank, now)
        return found

    def comments(self, _: Iterable[tuple[str, str]]) -> Comments:
        """(post, comment) to likes and replies, of those that are there."""
        found: Comments = {}
        for raw in _topic(self._brokers, Topic.VIEW_COMMENTS):
            view = _comment.decode(raw)
            key = (view.post_id, view.comment_id)
            found.pop(key, None)
            if not view.is_deleted:
                found[key] = (view.likes, view.replies)
        return found


class PlainViews:
    """JSON under plain keys, as the peer writes it."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def is_over(self) -> bool:
        """Whether the last event of each pair of partitions has come through."""
        by = authors()
        keys = [f"counts:{post_id}" for post_id in last_posts()]
        keys += [f"affinity:{user}/{by[post]}" for user in last_users() for post in last_posts()]
        return bool(self._client.exists(*keys) == len(keys))

    def counts(self, post_ids: Iterable[str]) -> Counts:
        """The counts of posts."""
        found = _values(self._client, {each: f"counts:{each}" for each in post_ids})
        return {name: CountersView(name, *msgspec.json.decode(raw)) for name, raw in found.items()}

    def affinities(self, pairs: Iterable[tuple[str, str]], now: int) -> Affinities:
        """(user, the other) to the score at a time (ms)."""
        names = {pair: f"affinity:{pair[0]}/{pair[1]}" for pair in pairs}
        found: Affinities = {}
        for pair, raw in _values(self._client, names).items():
            score, at = msgspec.json.decode(raw)
            found[pair] = score * DECAY_PER_DAY ** ((now - at) / DAY_MS)
        return found

    def comments(self, keys: Iterable[tuple[str, str]]) -> Comments:
        """(post, comment) to likes and replies."""
        found = _values(self._client, {key: f"comment:{key[0]}/{key[1]}" for key in keys})
        return {key: tuple(msgspec.json.decode(raw)) for key, raw in found.items()}


Views = ProductViews | PlainViews


def wrong(views: Views, tally: Tally, now: int) -> str | None:
    """How much differs from the plain fold, None if nothing does; affinity is compared as it is
    at the time `now` (ms)."""
    counts, comments, close = tally.counters(), tally.comments(), tally.affinities(now)
    differing = {
        "counts of posts": _differing(counts, views.counts(counts), _is_same_count),
        "comments": _differing(comments, views.comments(comments), lambda a, b: a == b),
        "affinities": _differing(close, views.affinities(close, now), _is_same_score),
    }
    total = len(counts) + len(comments) + len(close)
    if not any(differing.values()):
        return None
    said = ", ".join(f"{count:,} {what}" for what, count in differing.items())
    return f"of {total:,} rows are wrong: {said}"


def _differing(wanted: Mapping[Any, Any], found: Mapping[Any, Any], is_same: Any) -> int:
    return sum(not is_same(wanted.get(key), found.get(key)) for key in {*wanted, *found})


def _is_same_count(want: CountersView | None, got: CountersView | None) -> bool:
    """More than 1,024 views or clicks may be estimated, within four standard errors."""
    if want is None or got is None:
        return False
    for name in ("views", "clicks"):
        count, told = getattr(want, name), getattr(got, name)
        if count > EXACT_UP_TO and abs(told - count) <= FOUR_SIGMA * count:
            got = msgspec.structs.replace(got, **{name: count})
    return want == got


def _is_same_score(want: float | None, got: float | None) -> bool:
    """Nearly equal, or both negligible, as what was taken back is."""
    one, other = want or 0.0, got or 0.0
    is_negligible = max(one, other) < NEGLIGIBLE * (1 + TOLERANCE)
    return is_negligible or math.isclose(one, other, rel_tol=TOLERANCE)


def _values(client: Redis, names: dict[Any, str]) -> dict[Any, bytes]:
    """The values of keys that are there."""
    found: dict[Any, bytes] = {}
    for part in _parts(names):
        values: list[bytes | None] = client.mget([names[each] for each in part])  # type: ignore[assignment]
        found.update((each, raw) for each, raw in zip(part, values, strict=True) if raw is not None)
    return found


def _topic(brokers: str, topic: Topic) -> Iterator[bytes]:
    """The values in a topic, each partition in its order, to the end of what is committed."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "bench",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        ended = 0
        while ended < PARTITIONS:
            record = consumer.poll(_WAIT_S)
            if record is None:
                raise TimeoutError(f"the end of {topic} did not come within {_WAIT_S:.0f} s")
            if record.error() is not None:
                ended += 1
            elif (value := record.value()) is not None:
                yield value
    finally:
        consumer.close()


def _parts(names: Iterable[Some]) -> Iterator[list[Some]]:
    remaining = iter(names)
    while part := list(islice(remaining, _AT_A_TIME)):
        yield part
