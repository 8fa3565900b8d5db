"""What a store has of a timeline, beside what it must have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from connectors.redis_shadow import Feed
from headrace.rebuild.moment import DAYS_MS
from schemas.views import (
    FillTimeline,
    PushEntry,
    RefillTimeline,
    RemoveEntry,
    RemoveSource,
    TimelineOp,
)
from streams.timelines import Timelines

EXPIRY_MARGIN_MS = 3_600_000

Row = tuple[str, str, int]
"""Post id, reason, time in ms."""


class Difference(NamedTuple):
    """What one store has wrong of one owner's timeline."""

    missing: list[Row]
    extra: list[Row]

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra)

    def without(self, withheld: Collection[Row]) -> Difference:
        """The same, where some rows are not missed."""
        missing = [row for row in self.missing if row not in withheld]
        return self._replace(missing=missing)


def compare_feed(timelines: Timelines, owner: str, found: Feed) -> Difference:
    """A feed in Redis: every entry above the floor, and none that the timeline has not. Of who does
    not read there is none, and nothing is wanted."""
    if found.floor is None:
        return Difference([], [])
    wanted = timelines.of(owner).entries
    missing = [
        (*entry, at)
        for entry, at in wanted.items()
        if at > found.floor and found.entries.get(entry) != at
    ]
    extra = [
        (*entry, at)
        for entry, at in found.entries.items()
        if wanted.get(entry) != at and not timelines.is_older(owner, entry, at)
    ]
    return Difference(missing, extra)


def feed_wanted(
    timelines: Timelines, owner: str, found: Feed, withheld: Collection[Row] = ()
) -> Feed:
    """What a feed must have: the newest of the timeline without what is `withheld`, and of what is
    there what the log says nothing of."""
    entries = {
        entry: at
        for entry, at in timelines.of(owner).entries.items()
        if (*entry, at) not in withheld
    }
    for entry, at in found.entries.items():
        if timelines.is_older(owner, entry, at):
            entries[entry] = at
    if len(entries) <= timelines.longest_feed:
        return Feed(entries, _floor_of_older(timelines.horizon, found))
    newest = sorted(entries.items(), key=lambda item: (item[1], item[0]), reverse=True)
    dropped = newest[timelines.longest_feed][1]
    return Feed(dict(newest[: timelines.longest_feed]), dropped)


def _floor_of_older(horizon: int | None, found: Feed) -> int:
    """The floor of a feed that has all that the log says: of what is older, as much is there as
    before, or nothing."""
    if horizon is None:
        return 0
    return min(found.floor or 0, horizon) if found.entries else horizon


def compare_rows(
    timelines: Timelines, owner: str, found: Collection[Row], now_ms: int
) -> Difference:
    """The rows in Cassandra: all of the last 30 days. Those about to expire may be there or not."""
    wanted = {(*entry, at) for entry, at in timelines.of(owner).entries.items()}
    oldest = now_ms - DAYS_MS + EXPIRY_MARGIN_MS
    there = set(found)
    missing = [row for row in wanted - there if row[2] > oldest]
    extra = [
        row for row in there - wanted if not timelines.is_older(owner, (row[0], row[1]), row[2])
    ]
    return Difference(sorted(missing), sorted(extra))


def without_pending(
    found: Mapping[str, Difference], operations: Iterable[TimelineOp]
) -> dict[str, Difference]:
    """What differs by owner, without the rows that operations concern which are being written:
    of these it cannot be told."""
    rows: set[tuple[str, Row]] = set()
    sources: set[tuple[str, str]] = set()
    for operation in operations:
        match operation:
            case PushEntry(post_id, reason, at, owners) | RemoveEntry(post_id, reason, at, owners):
                rows.update((owner, (post_id, reason, at)) for owner in owners if found.get(owner))
            case FillTimeline(owner, entries) | RefillTimeline(owner, _, _, entries):
                if found.get(owner):
                    rows.update((owner, entry) for entry in entries)
            case RemoveSource(owner, reasons):
                sources.update((owner, reason) for reason in reasons)

    def is_certain(owner: str, row: Row) -> bool:
        return (owner, row) not in rows and (owner, row[1]) not in sources

    return {
        owner: each._replace(
            missing=[row for row in each.missing if is_certain(owner, row)],
            extra=[row for row in each.extra if is_certain(owner, row)],
        )
        for owner, each in found.items()
    }
