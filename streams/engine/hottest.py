"""The hottest keys of a topic: which entities have cost the most records, and which sources the
most deliveries, lately.

A batch costs the same however large it is: of many records a few are looked at, evenly spread, each
for as many as it stands for. What is seen is counted as frequent items are in Apache DataSketches
(Anderson et al., "A High-Performance Algorithm for Identifying Frequent Items in Data Streams",
IMC 2017): counters are bounded, and lowered together when there are too many. Counts fade by
exponential decay (Cormode et al., "Forward Decay", ICDE 2009).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from heapq import nlargest
from itertools import chain
from math import log
from random import Random
from threading import Lock
from typing import Protocol

from msgspec import Struct

from schemas.views import PushEntry, RemoveEntry, TimelineOp

COUNTERS = 128
"""That are kept when they are lowered; a count is too low by at most the 128th part of all."""

LOOKED_AT = 32
"""Of a batch."""

HALF_LIFE_S = 300.0
FADE_S = 1.0
NOTHING = 0.01
LONGEST = 256
SHOWN = 10
SEPARATOR = b"\0"


class Keyed(Protocol):
    """A record, as far as it matters here."""

    @property
    def key(self) -> bytes | None: ...


class Hot(Struct, frozen=True):
    """A key, how many it has had a second, and its share of all; both at least."""

    key: str
    per_s: float
    share: float


class Frequent:
    """Counts of keys that fade, those of frequent ones nearly exact. For several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[bytes, float] = {}
        self._total = 0.0
        self._began = self._faded = clock()
        self._lock = Lock()

    def add(self, keys: Iterable[tuple[bytes, int]], total: int) -> None:
        """Count keys with their weights, out of as much in `total`. Amortised O(1) each."""
        with self._lock:
            self._fade()
            self._total += total
            counts = self._counts
            for key, weight in keys:
                counts[key] = counts.get(key, 0.0) + weight
            if len(counts) > 2 * COUNTERS:
                self._lower()

    def top(self, most: int) -> list[Hot]:
        """The keys with most, in that order."""
        with self._lock:
            self._fade()
            if not self._total:
                return []
            seen = 1 - 0.5 ** (max(FADE_S, self._faded - self._began) / HALF_LIFE_S)
            a_second = log(2) / HALF_LIFE_S / seen
            return [
                Hot(
                    key.decode(errors="backslashreplace"),
                    round(count * a_second, 2),
                    round(min(1.0, count / self._total), 4),
                )
                for key, count in nlargest(most, self._counts.items(), lambda item: item[1])
            ]

    def _fade(self) -> None:
        passed = self._clock() - self._faded
        if passed < FADE_S:
            return
        left = 0.5 ** (passed / HALF_LIFE_S)
        self._total *= left
        faded = {key: count * left for key, count in self._counts.items()}
        self._counts = {key: count for key, count in faded.items() if count > NOTHING}
        self._faded += passed

    def _lower(self) -> None:
        least = sorted(self._counts.values(), reverse=True)[COUNTERS]
        self._counts = {key: count - least for key, count in self._counts.items() if count > least}


class Hottest:
    """What is hot in a topic: by the keys of its records, and by the sources of deliveries."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, seed: int | None = None
    ) -> None:
        self._records = Frequent(clock)
        self._deliveries = Frequent(clock)
        self._random = Random(seed)

    def note_records(self, records: Sequence[Keyed], start: int, stop: int) -> None:
        """Records were processed, from `start` to before `stop`. Of a key in parts the first
        counts: the entity that the rest is about."""
        step = self._step(stop - start)
        keys = [record.key for record in records[start + self._begin(step) : stop : step]]
        self._records.add(
            [(key[:LONGEST].partition(SEPARATOR)[0], step) for key in keys if key is not None],
            stop - start,
        )

    def note_deliveries(self, operations: Iterable[Sequence[TimelineOp]]) -> None:
        """Operations on timelines were put out, or written: pushes and removals count."""
        every = [
            operation
            for operation in chain.from_iterable(operations)
            if isinstance(operation, PushEntry | RemoveEntry)
        ]
        if not every:
            return
        step = self._step(len(every))
        some = [
            (_source(operation.reason), step * len(operation.owners))
            for operation in every[self._begin(step) :: step]
        ]
        self._deliveries.add(some, sum(weight for _, weight in some))

    def said(self) -> dict[str, list[Hot]]:
        """The hottest, by what they cost."""
        return {"records": self._records.top(SHOWN), "deliveries": self._deliveries.top(SHOWN)}

    @staticmethod
    def _step(size: int) -> int:
        return -(-size // LOOKED_AT) or 1

    def _begin(self, step: int) -> int:
        return self._random.randrange(step) if step > 1 else 0


def _source(reason: str) -> bytes:
    """Who brings an entry: what is shared comes from the sharer."""
    return (f"u:{reason[2:]}" if reason.startswith("s:") else reason).encode()
