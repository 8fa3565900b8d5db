"""How often something may happen: the generic cell rate algorithm (GCRA). Pure.

A key has one number, the theoretical arrival time (TAT): when all that was taken would have been
taken evenly. It allows what a bucket of `count` tokens does that gains one every `interval_us`.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

WINDOW_SECONDS = 60
_WINDOW_US = WINDOW_SECONDS * 1_000_000


class Limit(Struct, frozen=True):
    """At most `count` at once, and as many a minute in the long run; `count` is positive."""

    count: int

    @property
    def interval_us(self) -> int:
        """The time in µs after which one more may happen."""
        return _WINDOW_US // self.count

    @property
    def tolerance_us(self) -> int:
        """How far the TAT may be ahead when one more is to be allowed, in µs."""
        return (self.count - 1) * self.interval_us


class Standing(Struct, frozen=True):
    """Whether something may happen, and how far the TAT is ahead then, in µs."""

    is_allowed: bool
    ahead_us: int

    def remaining(self, limit: Limit) -> int:
        """How many more may happen now."""
        if self.ahead_us > limit.tolerance_us:
            return 0
        return (limit.tolerance_us - self.ahead_us) // limit.interval_us + 1

    def retry_us(self, limit: Limit) -> int:
        """The time in µs until one more may happen, 0 for now."""
        return max(0, self.ahead_us - limit.tolerance_us)


def take(tat_us: int, now_us: int, limit: Limit) -> Standing:
    """What becomes of a key with a TAT when one more wants to happen; O(1)."""
    ahead = max(0, tat_us - now_us)
    if ahead > limit.tolerance_us:
        return Standing(False, ahead)
    return Standing(True, ahead + limit.interval_us)


class Takes:
    """The TATs of some keys in memory, of those that were taken last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tats: OrderedDict[str, int] = OrderedDict()

    def take(self, key: str, now_us: int, limit: Limit) -> Standing:
        """Take one of a key at a time that does not go back."""
        standing = take(self._tats.get(key, 0), now_us, limit)
        if standing.is_allowed:
            self._tats[key] = now_us + standing.ahead_us
            self._tats.move_to_end(key)
            if len(self._tats) > self._most:
                self._tats.popitem(last=False)
        return standing
