"""What a system made of the mix: whether the end of it is there, and whether all is right."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from itertools import islice
from operator import eq
from typing import Any, TypeVar

import msgspec
from confluent_kafka import Consumer, TopicPartition
from msgspec.structs import replace
from redis import Redis

from bench.engagements import PARTITIONS, last_posts
from bench.mix import authors, last_users
from bench.mix_tally import AVERSION_PER_DAY, DAY_MS, DECAY_PER_DAY, Actor, Mine, Scores, Tally
from connectors.redis_keys import SEPARATOR, Keys, faded_score
from schemas.topics import Topic
from schemas.views import CommentCountsView, CountersView, NotificationView

EXACT_UP_TO = 1_024
FOUR_SIGMA = 4 * 1.04 / 4096**0.5
TOLERANCE = 1e-6
NEGLIGIBLE = 0.01
_AT_A_TIME = 5_000
_WAIT_S = 30.0
_counters = msgspec.msgpack.Decoder(CountersView)
_comment = msgspec.msgpack.Decoder(CommentCountsView)
_notice = msgspec.msgpack.Decoder(NotificationView)
_mine = msgspec.json.Decoder(Mine)
_group = msgspec.json.Decoder(tuple[int, tuple[Actor, ...]])

Pairs = Iterable[tuple[str, str]]
Counts = dict[str, CountersView]
Comments = dict[tuple[str, str], tuple[int, int]]
Groups = dict[tuple[str, str, str], tuple[int, tuple[Actor, ...]]]
"""(user, kind, post) to how many acts are in force, and some of them."""

Some = TypeVar("Some")


class ProductViews:
    """The product's views: all in Redis but the counts of comments, which are in their topic, as
    the Redis sink does not write all of them."""

    def __init__(self, client: Redis, brokers: str) -> None:
        self._client = client
        self._brokers = brokers
        self._keys = Keys(PARTITIONS)

    def is_over(self) -> bool:
        """Whether the last event of each pair of partitions has come through all folds."""
        by = authors()
        pipe = self._client.pipeline(transaction=False)
        for post_id in last_posts():
            pipe.hget(self._keys.notices(by[post_id]), f"like\0{post_id}")
        for user_id in last_users():
            pipe.zcard(self._keys.affinity(user_id))
        pipe.exists(*map(self._keys.counters, last_posts()))
        found = pipe.execute()
        notices, others = found[:PARTITIONS], found[PARTITIONS:]
        return others == [PARTITIONS] * (len(last_users()) + 1) and all(
            raw is not None and _notice.decode(raw).count == PARTITIONS for raw in notices
        )

    def counts(self, post_ids: Iterable[str]) -> Counts:
        """The counts of posts."""
        found = _values(self._client, {each: self._keys.counters(each) for each in post_ids})
        return {post_id: _counters.decode(raw) for post_id, raw in found.items()}

    def affinities(self, pairs: Pairs, now: int) -> Scores:
        """(user, the other) to the score at a time (ms), of all that these users are close to."""
        found: Scores = {}
        for user_id, close in self._ranked(self._keys.affinity, pairs):
            for other, rank in close:
                found[user_id, other.decode()] = faded_score(rank, now)
        return found

    def aversions(self, pairs: Pairs, now: int) -> Scores:
        """(user, the other) to the score at a time (ms), of all of whom these users are averse."""
        found: Scores = {}
        for user_id, averse in self._ranked(self._keys.aversions, pairs):
            for subject, rank in averse:
                other = subject.decode().removeprefix("u:")
                found[user_id, other] = faded_score(rank, now, AVERSION_PER_DAY)
        return found

    def mine(self, pairs: Pairs) -> dict[tuple[str, str], Mine]:
        """(user, post) to what the user did with it, of all that these users did."""
        pairs = list(pairs)
        shared = dict(self._ranked(self._keys.shared, pairs))
        hidden = dict(self._ranked(self._keys.hidden, pairs))
        kinds = _hashes(self._client, {user_id: self._keys.kinds(user_id) for user_id, _ in pairs})
        found: defaultdict[tuple[str, str], Mine] = defaultdict(Mine)
        for user_id, reacted in self._ranked(self._keys.reacted, pairs):
            for post, at in reacted:
                kind = kinds[user_id].get(post, b"like").decode()
                found[user_id, post.decode()] = Mine(kind, int(at))
            for post, at in shared[user_id]:
                key = (user_id, post.decode())
                found[key] = replace(found[key], shared_at=int(at))
            for post, at in hidden[user_id]:
                key = (user_id, post.decode())
                found[key] = replace(found[key], hidden_at=int(at))
        return dict(found)

    def notifications(self, users: Iterable[str]) -> Groups:
        """The groups of users."""
        hashes = _hashes(self._client, {each: self._keys.notices(each) for each in users})
        found: Groups = {}
        for user_id, groups in hashes.items():
            for key, raw in groups.items():
                kind, _, post_id = key.partition(SEPARATOR)
                view = _notice.decode(raw)
                found[user_id, kind.decode(), post_id.decode()] = (view.count, view.named)
        return found

    def comments(self, _: Pairs) -> Comments:
        """(post, comment) to likes and replies, of those that are there."""
        found: Comments = {}
        for raw in _topic(self._brokers, Topic.VIEW_COMMENT_COUNTS):
            view = _comment.decode(raw)
            key = (view.post_id, view.comment_id)
            found.pop(key, None)
            if not view.is_deleted:
                found[key] = (view.likes, view.replies)
        return found

    def _ranked(
        self, name: Callable[[str], str], pairs: Pairs
    ) -> Iterator[tuple[str, list[tuple[bytes, float]]]]:
        """The sorted set of each user."""
        for users in _parts(dict.fromkeys(user_id for user_id, _ in pairs)):
            pipe = self._client.pipeline(transaction=False)
            for user_id in users:
                pipe.zrange(name(user_id), 0, -1, withscores=True)
            yield from zip(users, pipe.execute(), strict=True)


class PlainViews:
    """JSON under plain keys, and in a hash for each user, as the peer writes it."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def is_over(self) -> bool:
        """Whether the last event of each pair of partitions has come through."""
        by = authors()
        pipe = self._client.pipeline(transaction=False)
        for post_id in last_posts():
            pipe.hget(f"notices:{by[post_id]}", f"like/{post_id}")
        for user_id in last_users():
            pipe.hlen(f"affinity:{user_id}")
        pipe.exists(*(f"counts:{post_id}" for post_id in last_posts()))
        found = pipe.execute()
        notices, others = found[:PARTITIONS], found[PARTITIONS:]
        return others == [PARTITIONS] * (len(last_users()) + 1) and all(
            raw is not None and _group.decode(raw)[0] == PARTITIONS for raw in notices
        )

    def counts(self, post_ids: Iterable[str]) -> Counts:
        """The counts of posts."""
        found = _values(self._client, {each: f"counts:{each}" for each in post_ids})
        return {name: CountersView(name, *msgspec.json.decode(raw)) for name, raw in found.items()}

    def affinities(self, pairs: Pairs, now: int) -> Scores:
        """(user, the other) to the score at a time (ms), of all that these users are close to."""
        return self._faded("affinity", pairs, now, DECAY_PER_DAY)

    def aversions(self, pairs: Pairs, now: int) -> Scores:
        """(user, the other) to the score at a time (ms), of all of whom these users are averse."""
        return self._faded("averse", pairs, now, AVERSION_PER_DAY)

    def mine(self, pairs: Pairs) -> dict[tuple[str, str], Mine]:
        """(user, post) to what the user did with it, of all that these users did."""
        return {
            (user_id, post.decode()): _mine.decode(raw)
            for user_id, post, raw in self._fields("mine", (user_id for user_id, _ in pairs))
        }

    def notifications(self, users: Iterable[str]) -> Groups:
        """The groups of users."""
        found: Groups = {}
        for user_id, about, raw in self._fields("notices", users):
            kind, _, post_id = about.decode().partition("/")
            found[user_id, kind, post_id] = _group.decode(raw)
        return found

    def comments(self, keys: Pairs) -> Comments:
        """(post, comment) to likes and replies."""
        found = _values(self._client, {key: f"comment:{key[0]}/{key[1]}" for key in keys})
        return {key: tuple(msgspec.json.decode(raw)) for key, raw in found.items()}

    def _faded(self, what: str, pairs: Pairs, now: int, per_day: float) -> Scores:
        found: Scores = {}
        for user_id, other, raw in self._fields(what, (user_id for user_id, _ in pairs)):
            score, at = msgspec.json.decode(raw)
            found[user_id, other.decode()] = score * per_day ** ((now - at) / DAY_MS)
        return found

    def _fields(self, what: str, users: Iterable[str]) -> Iterator[tuple[str, bytes, bytes]]:
        hashes = _hashes(self._client, {user_id: f"{what}:{user_id}" for user_id in users})
        for user_id, fields in hashes.items():
            for field, raw in fields.items():
                yield user_id, field, raw


Views = ProductViews | PlainViews


def wrong(views: Views, tally: Tally, now: int) -> str | None:
    """How much differs from the plain fold, None if nothing does; affinity and aversion are
    compared as they are at the time `now` (ms)."""
    counts, comments = tally.counters(), tally.comments()
    close, averse = tally.affinities(now), tally.aversions(now)
    mine, groups = tally.mine(), tally.notifications()
    users = dict.fromkeys(user_id for user_id, _, _ in groups)
    differing = {
        "counts of posts": _differing(counts, views.counts(counts), _is_same_count),
        "comments": _differing(comments, views.comments(comments), eq),
        "affinities": _differing(close, views.affinities(close, now), _is_same_score),
        "aversions": _differing(averse, views.aversions(averse, now), _is_same_score),
        "own acts": _differing(mine, views.mine(mine), eq),
        "notifications": _differing(groups, views.notifications(users), _is_same_group),
    }
    expected: tuple[Sized, ...] = (counts, comments, close, averse, mine, groups)
    total = sum(map(len, expected))
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
            got = replace(got, **{name: count})
    return want == got


def _is_same_score(want: float | None, got: float | None) -> bool:
    """Nearly equal, or both negligible, as what was taken back is."""
    one, other = want or 0.0, got or 0.0
    is_negligible = max(one, other) < NEGLIGIBLE * (1 + TOLERANCE)
    return is_negligible or math.isclose(one, other, rel_tol=TOLERANCE)


def _is_same_group(want: set[Actor] | None, got: tuple[int, tuple[Actor, ...]] | None) -> bool:
    """As many acts, of which some are named."""
    return want is not None and got is not None and len(want) == got[0] and want.issuperset(got[1])


def _values(client: Redis, names: dict[Any, str]) -> dict[Any, bytes]:
    """The values of keys that are there."""
    found: dict[Any, bytes] = {}
    for part in _parts(names):
        values: list[bytes | None] = client.mget([names[each] for each in part])  # type: ignore[assignment]
        found.update((each, raw) for each, raw in zip(part, values, strict=True) if raw is not None)
    return found


def _hashes(client: Redis, names: dict[str, str]) -> dict[str, dict[bytes, bytes]]:
    """The fields of hashes, none of those that are not there."""
    found: dict[str, dict[bytes, bytes]] = {}
    for part in _parts(names):
        pipe = client.pipeline(transaction=False)
        for each in part:
            pipe.hgetall(names[each])
        found.update(zip(part, pipe.execute(), strict=True))
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
