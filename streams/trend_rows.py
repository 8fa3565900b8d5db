"""The rows of what is trending: acts, where keys stand, and which keys wait to be looked at."""

from __future__ import annotations

from msgspec import Struct

from streams.trend_scores import BUCKET_MS, Depths


class Kept(Struct, frozen=True, array_like=True, gc=False):
    """A user acted upon a key in a bucket; `times` counts what brings that: of a topic, posts."""

    times: int = 1


class Trend(Struct, frozen=True, array_like=True, gc=False):
    """About how many acts of a key are kept, and of how many; the queue in which it waits to be
    looked at; and where it stands, as of then: the score in tenths by window, in which lists."""

    size: int = 0
    depths: Depths = ()
    queue: str = ""
    levels: tuple[int, int] = (0, 0)
    lists: tuple[str, ...] = ()

    @property
    def is_due(self) -> bool:
        """Whether it is to be looked at with the next ticks, in its turn."""
        return self.queue.startswith("n")


class Waiting(Struct, frozen=True, array_like=True, gc=False):
    """A key is to be looked at: at a tick, or when a bucket begins."""


class ListSize(Struct, frozen=True, array_like=True, gc=False):
    """How many keys stand in a list of a window and language, and whether it is shown."""

    keys: int = 0
    is_shown: bool = False


class TrendClock(Struct, frozen=True, array_like=True, gc=False):
    """The newest tick, its number, and the oldest tick and bucket of which keys may still wait."""

    at: int = 0
    number: int = 0
    oldest_number: int = 1
    oldest_bucket: int = 0

    @property
    def bucket(self) -> int:
        return self.at // BUCKET_MS

    @property
    def next_queue(self) -> str:
        """Of what is looked at with the next tick."""
        return f"n{self.number + 1}"
