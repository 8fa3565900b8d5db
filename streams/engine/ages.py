"""How old events are when what they did can be read, by their own time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from schemas.views import PushEntry, TimelineOp

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Of the histogram, in seconds."""


class Ages:
    """A histogram of ages in seconds: of entries as they come onto timelines. What a new follow
    brings is older, and left out; what a producer sends late is old, and counts."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """The sum of all."""
        self._counts = [0] * (len(BOUNDS) + 1)

    def note(self, operations: Iterable[TimelineOp], now_s: float) -> None:
        """Operations on timelines were written at a time (s since 1970)."""
        for operation in operations:
            if isinstance(operation, PushEntry):
                age = max(0.0, now_s - operation.at / 1000)
                self._counts[bisect_left(BOUNDS, age)] += 1
                self.seconds += age

    def buckets(self) -> list[tuple[str, float]]:
        """How many are at most as old as each bound, as Prometheus has it."""
        names = (*map(str, BOUNDS), "+Inf")
        return [(name, float(n)) for name, n in zip(names, accumulate(self._counts), strict=True)]
