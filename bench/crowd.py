"""A crowd that follows, reads and posts, and how its events are published."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
from confluent_kafka import Producer

from bench.engagements import PARTITIONS
from connectors.sources import reading_events
from schemas.codec import encode
from schemas.events import Event, Follow, Post, User
from schemas.topics import Topic

_QUEUED = 200_000
_HOUR_MS = 3_600_000


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """`sources` with `audience` followers each among `users`, who post `posts` times each."""

    name: str
    users: int
    sources: int
    audience: int
    posts: int
    began_at: int = msgspec.field(default_factory=lambda: time.time_ns() // 1_000_000 - _HOUR_MS)

    @property
    def deliveries(self) -> int:
        """The entries that all posts come to, without those of the authors."""
        return self.sources * self.audience * self.posts

    @property
    def rows(self) -> int:
        """The entries on all timelines."""
        return self.deliveries + self.sources * self.posts

    def user(self, number: int) -> str:
        """The id of a user."""
        return f"{self.name}r{number:07}"

    def source(self, number: int) -> str:
        """The id of an author."""
        return f"{self.name}a{number:07}"

    def followers(self, source: int) -> Iterator[str]:
        """Who follows an author."""
        start = source * self.audience
        return (self.user((start + n) % self.users) for n in range(self.audience))

    def post(self, source: int, number: int) -> str:
        """The id of a post, a ULID as the API gives them."""
        return f"{number:010}{source:014}{self.name}"

    def reads(self) -> Iterator[User]:
        """All read, so that Redis keeps their timelines."""
        return reading_events(map(self.user, range(self.users)), self.began_at)

    def follows(self) -> Iterator[Follow]:
        """Who follows whom."""
        for source in range(self.sources):
            target = f"u:{self.source(source)}"
            for user_id in self.followers(source):
                event_id = f"{user_id}{target}"
                yield Follow(
                    event_id=event_id,
                    action="follow",
                    user_id=user_id,
                    target=target,
                    at=self.began_at,
                )

    def written(self) -> Iterator[Post]:
        """What is posted, the authors by turns."""
        for number in range(self.posts):
            for source in range(self.sources):
                post_id = self.post(source, number)
                yield Post(
                    event_id=post_id,
                    action="created",
                    post_id=post_id,
                    author_id=self.source(source),
                    at=self.began_at + number,
                    content="nothing new",
                )


def publish(brokers: str, topic: Topic, events: Iterator[Event]) -> None:
    """Write events as a producer does.

    Raises:
        TimeoutError: not all were acknowledged.
    """
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": _QUEUED,
        }
    )
    for number, event in enumerate(events):
        while True:
            try:
                producer.produce(str(topic), encode(event), None, number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.05)
    if producer.flush(60):
        raise TimeoutError(f"{topic}: not all events were acknowledged")
