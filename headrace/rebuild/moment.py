"""As of when timelines are rebuilt, and what of the log that takes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from connectors.cassandra_tables import TIMELINE_TTL_SECONDS
from headrace.rebuild.log import PartitionLog

DAYS_MS = TIMELINE_TTL_SECONDS * 1000
AHEAD_MS = 600_000
"""How much later than its record an entry may be, at most: 5 min are taken, and clocks differ."""

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AGO = re.compile(r"(?:\d+[smhd])+")
_PARTS = re.compile(r"(\d+)([smhd])")
_PLACE = re.compile(r"(?:(\d+):)?(\d+)")


class MomentError(Exception):
    """The moment is none that timelines can be rebuilt as of."""


class Moment(NamedTuple):
    """A time (ms), or an offset, if need be with its partition."""

    time_ms: int | None = None
    offset: int | None = None
    partition: int | None = None


class Window(NamedTuple):
    """What is folded: from `start` up to `cut`, and what comes at and behind `resume`; without a
    moment all from `start` on. `horizon` is as for `Timelines`, `since` when it begins (ms; None:
    with the first record ever)."""

    start: int
    cut: int | None
    resume: int | None
    horizon: int | None
    since: int | None

    def is_passed_over(self, offset: int) -> bool:
        """Whether a record only takes away."""
        return self.cut is not None and self.resume is not None and self.cut <= offset < self.resume


def parse_moment(text: str, now_ms: int) -> Moment:
    """A moment as it is written: ISO 8601 (UTC without an offset), `2h` or `1d12h` ago, an offset,
    or `partition:offset`.

    Raises:
        MomentError: it is none of these, or in the future.
    """
    place = _PLACE.fullmatch(text)
    if place is not None:
        partition = None if place[1] is None else int(place[1])
        return Moment(offset=int(place[2]), partition=partition)
    time_ms = time_of(text, now_ms)
    if time_ms is None:
        raise MomentError(
            f"{text!r} is neither a time (2026-01-31T12:00:00Z), nor so long ago (2h, 1d12h), nor "
            "an offset (4711) or partition:offset (3:4711)"
        )
    if time_ms > now_ms:
        raise MomentError(f"{text} is in the future")
    return Moment(time_ms=time_ms)


def time_of(text: str, now_ms: int) -> int | None:
    """A time (ms) as it is written: ISO 8601 (UTC without an offset), `2h` or `1d12h` ago; None if
    it is neither."""
    if _AGO.fullmatch(text):
        return now_ms - sum(int(n) * _UNITS_MS[unit] for n, unit in _PARTS.findall(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def window_of(log: PartitionLog, partition: int, moment: Moment | None, now_ms: int) -> Window:
    """What to fold of a partition.

    Raises:
        MomentError: the log does not reach back to the moment, or not up to its offset.
        LogError: Kafka does not say.
    """
    first, end = log.bounds()
    cut, at = end, now_ms
    if moment is not None:
        cut, at = _cut(log, partition, moment, first, end, now_ms)
    start = log.offset_at(at - DAYS_MS)
    start = cut if start is None else min(max(start, first), cut)
    since, horizon = None, None
    if start > 0:
        begins = log.time_at(first) if start == first else None
        since = max(at - DAYS_MS, begins or 0)
        horizon = since + AHEAD_MS
    if moment is None:
        return Window(start, None, None, horizon, since)
    return Window(start, cut, end, horizon, since)


def _cut(
    log: PartitionLog, partition: int, moment: Moment, first: int, end: int, now_ms: int
) -> tuple[int, int]:
    """Up to which offset, and what time that is."""
    if moment.time_ms is not None:
        begins = log.time_at(first) if first > 0 else None
        if begins is not None and moment.time_ms < begins:
            raise MomentError(
                f"timeline-writes/{partition} reaches back to {_iso(begins)} only: it is kept 37 "
                "days.\nHint: give a later time"
            )
        cut = log.offset_at(moment.time_ms)
        return end if cut is None else min(cut, end), moment.time_ms
    assert moment.offset is not None
    if not first <= moment.offset <= end:
        raise MomentError(
            f"timeline-writes/{partition} has the offsets {first} to {end}, not {moment.offset}"
        )
    return moment.offset, log.time_at(moment.offset) or now_ms


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")
