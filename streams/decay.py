"""Sums that fade: what happened long ago counts less."""

from __future__ import annotations

from msgspec import Struct

DAY_MS = 86_400_000


class Faded(Struct, frozen=True, array_like=True, gc=False):
    """A sum as it was at the time `at` (ms), the newest fact's."""

    score: float = 0.0
    at: int = 0


NOTHING = Faded()


def add(faded: Faded, weight: float, at: int, per_day: float) -> Faded:
    """The sum with one more fact: `weight * per_day ** (days since the fact)`, with fractional days
    (003, "Affinity Scoring System", where `per_day` is 0.9). It commutes, and a negative weight
    takes back."""
    newest = max(faded.at, at)
    kept = faded.score * per_day ** ((newest - faded.at) / DAY_MS) if faded.score else 0.0
    added = weight * per_day ** ((newest - at) / DAY_MS)
    return Faded(kept + added, newest)
