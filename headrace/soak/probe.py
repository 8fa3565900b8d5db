"""Probes: posts at a steady rate, and how long each takes until it stands in a feed in Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from connectors import redis
from connectors.publisher import Publisher
from connectors.redis_keys import Keys, member
from connectors.redis_servers import Client
from connectors.stack.addresses import Addresses
from schemas.events import Event, Follow, Post, User

PAIRS = 16
LOST_SECONDS = 60.0
LOOK_SECONDS = 0.02
OPEN_SECONDS = 60.0
DELIVERY_S = 180.0


class Sample(NamedTuple):
    """A post that came: when it was published (seconds since the start), and after how many."""

    at_s: float
    took_s: float


class _Due(NamedTuple):
    feed: str
    entry: bytes
    published: float


class Probe:
    """Publishes `rate` posts a second, whether those before have come or not, each by an author
    whom one reader follows; from the start of the context to its end, in threads of its own."""

    def __init__(self, addresses: Addresses, partitions: int, seed: int, rate: float) -> None:
        self.samples: list[Sample] = []
        self.lost = 0
        """Posts that did not come within 60 s."""
        self._addresses = addresses
        self._keys = Keys(partitions)
        self._seed = seed
        self._rate = rate
        self._due: list[_Due] = []
        self._changing = threading.Lock()
        self._is_over = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(run,), name=run.__name__, daemon=True)
            for run in (self._publish, self._look)
        ]

    def __enter__(self) -> Self:
        with Publisher(self._addresses.kafka) as publisher:
            for event in self._followers():
                publisher.publish(event)
        self._wait_for_feeds()
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """Raise what ended a thread."""
        if self._failures:
            raise self._failures[0]

    def _followers(self) -> Iterator[Event]:
        at = time.time_ns() // 1_000_000
        for number in range(PAIRS):
            reader, author = self._pair(number)
            yield User(event_id=f"{reader}:r", action="active", user_id=reader, at=at)
            yield Follow(
                event_id=f"{reader}:f", action="follow", user_id=reader, target=f"u:{author}", at=at
            )

    def _pair(self, number: int) -> tuple[str, str]:
        return f"soak{self._seed}-reader{number}", f"soak{self._seed}-author{number}"

    def _wait_for_feeds(self) -> None:
        client = redis.connect(self._addresses.redis)
        deadline = time.monotonic() + OPEN_SECONDS
        try:
            for number in range(PAIRS):
                reader, author = self._pair(number)
                following = self._keys.following(reader)
                while client.get(self._keys.floor(reader)) is None or (
                    client.zscore(following, f"u:{author}") is None
                ):
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"{reader} has no feed after {OPEN_SECONDS:.0f} s")
                    time.sleep(LOOK_SECONDS)
        finally:
            client.close()

    def _publish(self) -> None:
        with Publisher(self._addresses.kafka, linger_ms=0, timeout_seconds=DELIVERY_S) as publisher:
            number = 0
            while not self._is_over.wait(self._began + number / self._rate - time.monotonic()):
                reader, author = self._pair(number % PAIRS)
                post_id = f"soak{self._seed}-{number}"
                due = _Due(
                    self._keys.feed(reader), member(post_id, f"u:{author}"), time.monotonic()
                )
                with self._changing:
                    self._due.append(due)
                publisher.publish(
                    Post(
                        event_id=f"{post_id}:e",
                        action="created",
                        post_id=post_id,
                        author_id=author,
                        at=time.time_ns() // 1_000_000,
                        content="How long does this take?",
                    )
                )
                publisher.poll()
                number += 1

    def _look(self) -> None:
        client = redis.connect(self._addresses.redis)
        try:
            while not self._is_over.wait(LOOK_SECONDS) or self._due:
                self._look_once(client)
        finally:
            client.close()

    def _look_once(self, client: Client) -> None:
        with self._changing:
            due = list(self._due)
        pipe = client.pipeline(transaction=False)
        for each in due:
            pipe.zscore(each.feed, each.entry)
        found = pipe.execute()
        now = time.monotonic()
        gone = set()
        for each, score in zip(due, found, strict=True):
            if score is not None:
                self.samples.append(Sample(each.published - self._began, now - each.published))
                gone.add(each)
            elif now - each.published > LOST_SECONDS:
                self.lost += 1
                gone.add(each)
        with self._changing:
            self._due = [each for each in self._due if each not in gone]

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001  (told by `check`)
            self._failures.append(error)
            self._is_over.set()
