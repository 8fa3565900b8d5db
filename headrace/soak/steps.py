"""The order in which soaking restarts workers, and from which installation each is started."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import NamedTuple

from headrace.installation import THIS, Installation

FIRST, SECOND = "first", "second"
"""Crews: in an upgrade there are two workers of each app, so that versions share its partitions."""

BESIDE = ("archive", "views", "app")
"""What the second crew has."""


class Step(NamedTuple):
    """A worker of a crew is ended, and started from an installation; `may_end` when the run may end
    before it."""

    crew: str
    worker: str
    installation: Installation
    may_end: bool = True


def restarts() -> Iterator[Step]:
    """Each worker in turn, for ever."""
    for worker in cycle(("app", "views", "archive", "api")):
        yield Step(FIRST, worker, THIS)


ORDER = (*((crew, worker) for worker in BESIDE for crew in (FIRST, SECOND)), (FIRST, "api"))
"""The order of an upgrade: who reads comes before who writes, so sinks, folds, the API."""


def upgrades(old: Installation, new: Installation = THIS) -> Iterator[Step]:
    """From the old one to the new, then back in the reverse order, and so on; the run may end when
    all are of the new."""
    while True:
        for crew, worker in ORDER:
            yield Step(crew, worker, new, may_end=False)
        for number, (crew, worker) in enumerate(reversed(ORDER)):
            yield Step(crew, worker, old, may_end=number == 0)
