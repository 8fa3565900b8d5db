"""The load of a chaos run: a seeded crowd at a bounded rate, with what bad producers add."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import takewhile
from random import Random
from types import TracebackType
from typing import Self

from connectors.publisher import Pacer, Publisher, publish
from connectors.sources import (
    endless_activity,
    follow_events,
    generate_network,
    profile_events,
    reading_events,
)
from schemas.events import Event, Follow, FollowAction

DELIVERY_S = 180.0  # longer than any outage
NOISE = 0.1
PLACES = 30
BEFORE_MS = 60_000


def now_ms() -> int:
    """The time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def disturbed(events: Iterable[Event], rng: Random, share: float = NOISE) -> Iterator[Event]:
    """Events of which a `share` comes twice and a `share` late, both by up to 30 places."""
    waiting: dict[int, list[Event]] = {}
    place = 0
    for place, event in enumerate(events):
        chance = rng.random()
        if chance >= share:
            yield event
        if chance < 2 * share:
            later = place + rng.randint(1, PLACES)
            waiting.setdefault(later, []).append(event)
        yield from waiting.pop(place, ())
    for left in sorted(waiting):
        yield from waiting[left]


def sweeper(seed: int) -> str:
    """Who sweeps."""
    return f"sweeper{seed}"


def sweep(count: int, seed: int) -> Iterator[Event]:
    """One reader follows `count` topics and leaves them again: as many removals on one timeline."""
    at = now_ms() - BEFORE_MS
    actions: tuple[FollowAction, ...] = ("follow", "unfollow")
    for step, action in enumerate(actions):
        for number in range(count):
            yield Follow(
                event_id=f"sweep:{seed}:{at}:{step}:{number}",
                action=action,
                user_id=sweeper(seed),
                target=f"t:sweep{number}",
                at=at + step,
            )


class Load:
    """Publishes, from the start of the context to its end, in a thread of its own; who there is and
    who follows whom before, at once.

    Kafka may be down for minutes meanwhile. Leaving the context waits until all is acknowledged.
    """

    def __init__(self, brokers: str, seed: int, *, rate: float, users: int) -> None:
        self.acknowledged = 0
        self._brokers = brokers
        self._rate = rate
        self._rng = Random(f"noise:{seed}")
        self._pairs = generate_network(users, seed)
        self._seed = seed
        self._is_over = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._work: Future[int]

    def __enter__(self) -> Self:
        self.publish_network()
        self._work = self._pool.submit(self._run)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._pool.shutdown()
        if kind is None:
            self.acknowledged += self._work.result()

    def publish_network(self) -> None:
        """Publish who there is and who follows whom, unless that was done."""
        if not self.acknowledged:
            self.acknowledged = publish(self._brokers, self._network()).acknowledged

    def check(self) -> None:
        """Raise what ended the load."""
        if self._work.done():
            self._work.result()

    def _network(self) -> Iterator[Event]:
        at = now_ms() - BEFORE_MS
        people = dict.fromkeys(user for pair in self._pairs for user in pair)
        yield from profile_events(people, at, self._seed)
        yield from reading_events([*list(people)[::2], sweeper(self._seed)], at)
        yield from follow_events(self._pairs, at, prefix=f"chaos{self._seed}")

    def _run(self) -> int:
        """Publish until it is over; the events that Kafka acknowledged."""
        live = endless_activity(self._pairs, self._seed, now_ms)
        live = takewhile(lambda _: not self._is_over.is_set(), live)
        pacer = Pacer(self._rate)
        with Publisher(self._brokers, timeout_seconds=DELIVERY_S) as publisher:
            for event in disturbed(live, self._rng):
                publisher.publish(event)
                pacer.wait()
            publisher.flush()
            return publisher.acknowledged
