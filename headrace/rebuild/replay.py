"""The timelines of a partition, folded up to a place that moves on with the store's."""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

from headrace.rebuild.log import PartitionLog, Placed
from headrace.rebuild.moment import Window
from streams.timelines import Timelines, owners_of

ENTRIES = 5_000_000
"""Entries that are folded together, at 40 to 100 bytes each. Of a partition with more, a part of
the owners is folded after the other."""
MAX_BITS = 32
TOLD = 1_000


class Share:
    """A part of the owners: those whose hash ends in `value`, in `bits` bits."""

    def __init__(self, bits: int = 0, value: int = 0) -> None:
        self.bits = bits
        self.value = value

    def has(self, owner: str) -> bool:
        """Whether an owner is among them."""
        return crc32(owner.encode()) & ((1 << self.bits) - 1) == self.value

    def halves(self) -> tuple[Share, Share]:
        """Two shares of which each has about half of these owners."""
        more = self.bits + 1
        return Share(more, self.value), Share(more, self.value | 1 << self.bits)


class Replay:
    """Folds the log into the timelines of a share, all below `position`, as far as it is told."""

    def __init__(
        self, log: PartitionLog, timelines: Timelines, window: Window, share: Share
    ) -> None:
        self.timelines = timelines
        self.share = share
        self.position = window.start
        self.records = 0
        self._log = log
        self._window = window
        log.open(window.start)

    def begin(self, position: int, limit: int | None, moved: Callable[[int], None]) -> list[Share]:
        """Fold up to a position; `moved` is told of the records folded. With more than `limit`
        entries the share is halved; returns what is left of it for later.

        Raises:
            LogError: the log cannot be read.
        """
        later: list[Share] = []
        for placed in self._log.take(position):
            self._fold(placed)
            if limit is not None and self._is_too_large(limit):
                self.share, other = self.share.halves()
                self.timelines.narrow(self.share.has)
                later.append(other)
            if self.records % TOLD == 0:
                moved(self.records)
        self.position = max(self.position, position)
        return later

    def advance(self, position: int) -> set[str]:
        """Fold on to a position; the owners whose timelines that may have changed.

        Raises:
            WentBackError: that is behind where it stands.
            LogError: the log cannot be read.
        """
        if position < self.position and position >= self._window.start:
            raise WentBackError
        changed: set[str] = set()
        for placed in self._log.take(position):
            self._fold(placed)
            changed.update(owners_of(placed.operations))
        self.position = max(self.position, position)
        return changed

    def pending(self, end: int | None) -> list[Placed]:
        """What stands from here up to `end` in the log, and is not folded yet.

        Raises:
            FarBehindError: there is too much of it.
            LogError: the log cannot be read.
        """
        return [] if end is None else self._log.peek(end)

    def _is_too_large(self, limit: int) -> bool:
        """Whether the share is to be halved; one owner is not."""
        timelines = self.timelines
        return timelines.size > limit and len(timelines) > 1 and self.share.bits < MAX_BITS

    def _fold(self, placed: Placed) -> None:
        self.records += 1
        if self._window.is_passed_over(placed.offset):
            self.timelines.withdraw(placed.operations)
        else:
            self.timelines.apply(placed.operations)


class WentBackError(Exception):
    """A store lost what it had."""

    def __init__(self) -> None:
        super().__init__(
            "the store went back to an earlier place of the log while it was compared: it lost "
            "writes.\nHint: its sink writes them again; run this again then"
        )
