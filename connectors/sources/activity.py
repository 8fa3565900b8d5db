"""Generated activity: a given number of events that end at a given time, or without an end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from itertools import count as counting
from math import exp, pi, sin
from random import Random

from connectors.sources.crowd import VIRAL_FADE_MS, Crowd
from schemas.events import Event

HOUR_MS = 60 * 60 * 1000
NOISE = 0.01
"""The share of events that a noisy producer sends again, and the share that it sends late."""

_LATE_BY = 20  # events
_AGAIN_AFTER = 50  # events
_DAILY_SWING = 0.6
_SPIKE = 1.5
_STEPS = 4_096
_VIRAL_EVERY_MS = 6 * HOUR_MS
_VIRAL_EVERY_LIVE_MS = HOUR_MS // 4
_VIRAL_LAST_MS = 40 * 60 * 1000  # before the end, so that something is trending then


def generate_activity(
    pairs: Iterable[tuple[str, str]],
    count: int,
    seed: int,
    end_at_ms: int,
    *,
    hours: float = 72,
    noise: bool = True,
) -> Iterator[Event]:
    """Exactly `count` events of the people in `pairs` (follower, followee), in time order.

    The last are at about `end_at_ms`, the first `hours` before. There is a daily rhythm, and
    a post goes viral every few hours, with a hashtag of its own, the last one 40 minutes before the
    end. The same arguments give the same events.

    Args:
        pairs: Who follows whom at first; at least one pair.
        count: Events, duplicates included.
        seed: Names all ids (`g<seed>:...`), so different seeds can be published together.
        end_at_ms: Milliseconds since 1970 UTC.
        hours: The time that the events cover.
        noise: 1 % of the events are there twice, and 1 % up to 20 places late.

    Raises:
        ValueError: no pairs, or a negative count.
    """
    if count < 0 or hours <= 0:
        raise ValueError(f"count must be at least 0 and hours above 0, not {count} and {hours}")
    rng = Random(f"activity:{seed}")
    start = end_at_ms - int(hours * HOUR_MS)
    viral_at = list(_viral_times(rng, start, _VIRAL_EVERY_MS, end_at_ms))
    if start < end_at_ms - _VIRAL_LAST_MS:
        viral_at = sorted({*viral_at, end_at_ms - _VIRAL_LAST_MS})
    crowd = Crowd(pairs, seed, iter(viral_at))
    again = int(count * NOISE) if noise else 0
    wanted = count - again
    events = map(crowd.event, _times(rng, wanted, start, end_at_ms, viral_at))
    return _noisy(events, wanted, again, rng) if noise else events


def endless_activity(
    pairs: Iterable[tuple[str, str]], seed: int, clock: Callable[[], int]
) -> Iterator[Event]:
    """Events without an end, each at `clock()` (milliseconds since 1970) when it is taken.

    Nothing is sent twice or late.
    """
    now = clock()
    crowd = Crowd(pairs, seed, _viral_times(Random(f"live:{seed}"), now, _VIRAL_EVERY_LIVE_MS))
    while True:
        now = max(now, clock())
        yield crowd.event(now)


def _viral_times(rng: Random, start: int, mean_ms: float, end: int | None = None) -> Iterator[int]:
    at = float(start)
    while True:
        at += rng.expovariate(1 / mean_ms)
        if end is not None and at >= end:
            return
        yield int(at)


def _times(rng: Random, count: int, start: int, end: int, viral_at: list[int]) -> Iterator[int]:
    """`count` ascending times in [start, end], denser by day and after a post went viral."""
    step = (end - start) / _STEPS
    sums = [0.0]
    for n in range(_STEPS):
        sums.append(sums[-1] + _intensity(start + (n + 0.5) * step, viral_at))
    place = 0
    for n in range(count):
        target = (n + rng.random()) / count * sums[-1]
        while sums[place + 1] < target:
            place += 1
        within = (target - sums[place]) / (sums[place + 1] - sums[place])
        yield int(start + (place + within) * step)


def _intensity(at: float, viral_at: list[int]) -> float:
    hour = at % (24 * HOUR_MS) / HOUR_MS
    daily = 1 + _DAILY_SWING * sin((hour - 10) / 24 * 2 * pi)  # lowest at 4, highest at 16 UTC
    return daily + sum(_SPIKE * exp((v - at) / VIRAL_FADE_MS) for v in viral_at if v <= at)


def _noisy(events: Iterator[Event], count: int, again: int, rng: Random) -> Iterator[Event]:
    """The `count` events with exactly `again` duplicates, and some a few places late."""
    held: list[tuple[int, int, Event]] = []
    order = counting()
    for place, event in enumerate(events):
        chance = rng.random()
        if chance < NOISE:
            heappush(held, (place + 1 + int(rng.random() * _LATE_BY), next(order), event))
        else:
            yield event
        if again and rng.random() * (count - place) < again:
            again -= 1
            heappush(held, (place + 1 + int(rng.random() * _AGAIN_AFTER), next(order), event))
        while held and held[0][0] <= place:
            yield heappop(held)[2]
    while held:
        yield heappop(held)[2]
