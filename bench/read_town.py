"""The readers of `headrace bench read`: what they follow, and what Redis holds of it."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import msgspec
from redis import Redis

from api.ids import as_id
from connectors.redis_fence import Fence
from connectors.redis_keys import Keys, fading_rank, member
from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import CountersView, PostView, UserView

ENTRIES = 1_000
FOLLOWED = 500
HEAVY_FOLLOWED = 20
HELD = 100
"""By a heavy source."""

PAGE = 20
RANKED = 500
"""Of the newest candidates, which a ranked feed is made of."""

_AUTHORS = 2_000
_HEAVY = 100
_POSTS = 20
"""Of an author who is not heavy."""

_CLOSE = 100
_TOPICS = [f"topic{number}" for number in range(30)]
_HOURS_MS = 48 * 3_600_000
_DAY_MS = 86_400_000
_AT_ONCE = 5_000
_SEED = 7


class Place(NamedTuple):
    """Where a post stands on timelines."""

    at: int
    post_id: str
    author: str


class Town:
    """Readers, and the posts of all whom they may follow; the same for a seed and a time (ms)."""

    def __init__(self, readers: int, now: int) -> None:
        random = Random(_SEED)
        self._now = now
        self._random = random
        light = [f"author{number:04}" for number in range(_AUTHORS)]
        heavy = [f"star{number:03}" for number in range(_HEAVY)]
        self._posts = {
            **{name: self._posts_by(name, _POSTS) for name in light},
            **{name: self._posts_by(name, HELD) for name in heavy},
        }
        self._heavy = set(heavy)
        self.followed = {
            f"reader{number:04}": [
                *random.sample(light, FOLLOWED - HEAVY_FOLLOWED),
                *random.sample(heavy, HEAVY_FOLLOWED),
            ]
            for number in range(readers)
        }

    def newest(self, reader: str, count: int) -> list[str]:
        """The posts at the top of a reader's timeline, newest first."""
        pulled = (place for name in self._heavy_of(reader) for place in self._posts[name])
        places = sorted([*self._pushed(reader), *pulled], reverse=True)
        return [place.post_id for place in places[:count]]

    def write(self, url: str, partitions: int) -> None:
        """Fill an empty Redis with what the sink would have left there."""
        keys = Keys(partitions)
        with Redis.from_url(url) as client:
            pipe = client.pipeline(transaction=False)
            for number, command in enumerate(self._commands(keys), 1):
                pipe.execute_command(*command)
                if number % _AT_ONCE == 0:
                    pipe.execute()
            pipe.execute()
            fence = Fence(client, "town")
            for topic in (Topic.VIEW_RELATIONS, Topic.VIEW_MINE):
                for mark in (keys.position(topic, partition) for partition in range(partitions)):
                    fence.take_over(mark)
                    fence.fill(mark)

    def _posts_by(self, author: str, count: int) -> list[Place]:
        random = self._random
        times = (self._now - random.randrange(_HOURS_MS) for _ in range(count))
        return [Place(at, as_id(at << 80 | random.getrandbits(79)), author) for at in times]

    def _heavy_of(self, reader: str) -> list[str]:
        return [name for name in self.followed[reader] if name in self._heavy]

    def _pushed(self, reader: str) -> list[Place]:
        light = (name for name in self.followed[reader] if name not in self._heavy)
        return sorted((p for name in light for p in self._posts[name]), reverse=True)[:ENTRIES]

    def _commands(self, keys: Keys) -> Iterator[tuple[object, ...]]:
        encode = msgspec.msgpack.encode
        for name, places in self._posts.items():
            yield "SET", keys.user(name), encode(UserView(name, name, f"The {name}"))
            for place in places:
                yield "SET", keys.post(place.post_id), encode(self._post(place))
                yield "SET", keys.counters(place.post_id), encode(self._counters(place))
        for name in self._heavy:
            source = f"u:{name}"
            yield "SADD", keys.heavy(partition_of(source, keys.partitions)), source
            yield "ZADD", keys.recent(source), *_scored(self._posts[name])
        for reader, followed in self.followed.items():
            yield "SET", keys.user(reader), encode(UserView(reader, reader))
            pushed = self._pushed(reader)
            yield "ZADD", keys.feed(reader), *_scored(pushed)
            yield "SET", keys.floor(reader), str(pushed[-1].at - 1)
            yield (
                "ZADD",
                keys.following(reader),
                *(part for n, name in enumerate(followed) for part in (self._now - n, f"u:{name}")),
            )
            close = self._random.sample(followed, _CLOSE)
            yield (
                "ZADD",
                keys.affinity(reader),
                *(part for n, name in enumerate(close, 1) for part in (self._rank(n), name)),
            )
            yield (
                "ZADD",
                keys.interests(reader),
                *(
                    part
                    for n, name in enumerate(_TOPICS[:10], 1)
                    for part in (self._rank(n), f"t:{name}")
                ),
            )

    def _rank(self, score: float) -> float:
        return fading_rank(score, self._now - _DAY_MS)

    def _post(self, place: Place) -> PostView:
        tags = tuple(self._random.sample(_TOPICS, 2))
        text = "A view of the mill in the morning, " * 4 + " ".join(f"#{tag}" for tag in tags)
        return PostView(place.post_id, place.author, place.at, text, language="en", hashtags=tags)

    def _counters(self, place: Place) -> CountersView:
        random = self._random
        likes = {"like": random.randrange(300), "love": random.randrange(20)}
        return CountersView(
            place.post_id,
            likes,
            random.randrange(30),
            random.randrange(20),
            random.randrange(2_000),
        )


def _scored(places: list[Place]) -> list[object]:
    return [
        part for place in places for part in (place.at, member(place.post_id, f"u:{place.author}"))
    ]
