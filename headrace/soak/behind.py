"""How far the apps are behind while a run goes on, from samples of their lag."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from msgspec import Struct

from connectors.lag import GROUPS, LagReader

LOOK_S = 0.5


class Behind(Struct, frozen=True):
    """The most offsets between where a group stood and the end of its topics, when that was
    (seconds since the start), and how many seconds of the run's mean input they are."""

    offsets: int
    at_s: float
    seconds: float


class LagSample(NamedTuple):
    """At a moment: the offsets that waited for a group, and those that its topics had in all."""

    at_s: float
    waiting: int
    ends: int


def most_behind(samples: Sequence[LagSample]) -> Behind:
    """The worst of a group's samples, of which there are two or more."""
    first, last = samples[0], samples[-1]
    worst = max(samples, key=lambda sample: sample.waiting)
    a_second = max(1.0, (last.ends - first.ends) / (last.at_s - first.at_s))
    return Behind(worst.waiting, round(worst.at_s, 1), round(worst.waiting / a_second, 1))


class LagWatch:
    """Samples the lag of every group, twice a second, from the start of the context to its end, in
    a thread of its own."""

    def __init__(self, brokers: str) -> None:
        self.samples: dict[str, list[LagSample]] = {group: [] for group in GROUPS}
        self._brokers = brokers
        self._is_over = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="lag", daemon=True)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def check(self) -> None:
        """Raise what ended the thread."""
        if self._failure is not None:
            raise self._failure

    def worst(self) -> dict[str, Behind]:
        """By group, of those that were looked at more than once."""
        return {
            group: most_behind(samples)
            for group, samples in self.samples.items()
            if len(samples) > 1
        }

    def _run(self) -> None:
        reader = LagReader(self._brokers)
        try:
            while not self._is_over.wait(LOOK_S):
                for group, samples in self.samples.items():
                    standings = reader.standings(group).values()
                    waiting = sum(max(0, at.end - at.committed) for at in standings)
                    ends = sum(at.end for at in standings)
                    samples.append(LagSample(time.monotonic() - self._began, waiting, ends))
        except BaseException as error:  # noqa: BLE001  (told by `check`)
            self._failure = error
        finally:
            reader.close()
