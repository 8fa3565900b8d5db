"""The timelines that a partition of `timeline-writes` makes, folded as the sinks do, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from schemas.views import (
    FillTimeline,
    PushEntry,
    RefillTimeline,
    RemoveEntry,
    RemoveSource,
    TimelineOp,
)

Entry = tuple[str, str]
"""Post id and reason: what a timeline has once."""


class Timeline:
    """What one owner's timeline has, with the time (ms) of each entry.

    `settled` are entries, and reasons, that have gone though they may have come before the log
    begins.
    """

    __slots__ = ("entries", "settled")

    def __init__(self) -> None:
        self.entries: dict[Entry, int] = {}
        self.settled: set[Entry | str] | None = None

    def settle(self, gone: Iterable[Entry | str]) -> None:
        """Know that entries, or all of some reasons, have gone."""
        if self.settled is None:
            self.settled = set()
        self.settled.update(gone)

    def is_settled(self, entry: Entry) -> bool:
        """Whether an entry has gone, or all of its reason."""
        return self.settled is not None and (entry in self.settled or entry[1] in self.settled)


class Timelines:
    """Timelines by their owners, those that `is_wanted` says; operations come in log order.

    The log begins somewhere: what was put on before has no later time than `horizon` (ms; None: the
    log has all). An entry costs 40 to 100 bytes, more where timelines are short.
    """

    def __init__(
        self,
        longest_feed: int,
        is_wanted: Callable[[str], bool] | None = None,
        horizon: int | None = None,
    ) -> None:
        self.longest_feed = longest_feed
        self.horizon = horizon
        self.size = 0
        self._is_wanted = is_wanted
        self._owners: dict[str, Timeline] = {}

    def of(self, owner: str) -> Timeline:
        """An owner's timeline; an empty one where nothing was put on or taken off."""
        return self._owners.get(owner) or Timeline()

    def __len__(self) -> int:
        """How many owners anything is known of."""
        return len(self._owners)

    def owners(self) -> Iterator[str]:
        """Those with an entry."""
        return (owner for owner, timeline in self._owners.items() if timeline.entries)

    def narrow(self, is_wanted: Callable[[str], bool]) -> None:
        """From now on have only those of the owners."""
        self._is_wanted = is_wanted
        self._owners = {owner: row for owner, row in self._owners.items() if is_wanted(owner)}
        self.size = sum(len(row.entries) for row in self._owners.values())

    def is_older(self, owner: str, entry: Entry, at: int) -> bool:
        """Whether an entry that a store has may have come before the log begins, which says
        nothing of it."""
        if self.horizon is None or at > self.horizon:
            return False
        row = self._owners.get(owner)
        if row is None:
            return True
        return not (entry in row.entries or row.is_settled(entry))

    def apply(self, operations: Iterable[TimelineOp]) -> None:
        """Fold one record."""
        for operation in operations:
            match operation:
                case PushEntry(post_id, reason, at, owners):
                    entry = (post_id, reason)
                    for owner in self._wanted(owners):
                        self._put(owner, entry, at)
                case FillTimeline(owner, entries) | RefillTimeline(owner, _, _, entries):
                    for _ in self._wanted((owner,)):
                        for post_id, reason, at in entries:
                            self._put(owner, (post_id, reason), at)
                case RemoveEntry():
                    self._remove(operation)
                case RemoveSource(owner, reasons):
                    for _ in self._wanted((owner,)):
                        self._remove_source(owner, reasons)

    def withdraw(self, operations: Iterable[TimelineOp]) -> None:
        """Fold one record of the time that is passed over: what was withdrawn then stays so, for
        everyone that had it; nothing is put on, and no follow ends."""
        for operation in operations:
            match operation:
                case RemoveEntry():
                    self._remove(operation)
                case PushEntry(post_id, reason, at, owners):
                    for owner in self._wanted(owners):
                        self._settle(owner, (post_id, reason), at)
                case FillTimeline(owner, entries) | RefillTimeline(owner, _, _, entries):
                    for _ in self._wanted((owner,)):
                        for post_id, reason, at in entries:
                            self._settle(owner, (post_id, reason), at)

    def _wanted(self, owners: Iterable[str]) -> Iterable[str]:
        return owners if self._is_wanted is None else filter(self._is_wanted, owners)

    def _row(self, owner: str) -> Timeline:
        row = self._owners.get(owner)
        if row is None:
            row = self._owners[owner] = Timeline()
        return row

    def _put(self, owner: str, entry: Entry, at: int) -> None:
        row = self._row(owner)
        if entry not in row.entries:
            self.size += 1
        row.entries[entry] = at

    def _remove(self, operation: RemoveEntry) -> None:
        entry = (operation.post_id, operation.reason)
        for owner in self._wanted(operation.owners):
            self._settle(owner, entry, operation.at)
            row = self._owners.get(owner)
            if row is not None and entry in row.entries:
                del row.entries[entry]
                self.size -= 1

    def _remove_source(self, owner: str, reasons: list[str]) -> None:
        if self.horizon is not None:
            self._row(owner).settle(reasons)
        row = self._owners.get(owner)
        if row is None:
            return
        gone = [entry for entry in row.entries if entry[1] in reasons]
        for entry in gone:
            del row.entries[entry]
        self.size -= len(gone)

    def _settle(self, owner: str, entry: Entry, at: int) -> None:
        if self.horizon is not None and at <= self.horizon:
            self._row(owner).settle((entry,))


def owners_of(operations: Iterable[TimelineOp]) -> Iterator[str]:
    """Whose timelines operations change."""
    for operation in operations:
        match operation:
            case PushEntry() | RemoveEntry():
                yield from operation.owners
            case _:
                yield operation.owner
