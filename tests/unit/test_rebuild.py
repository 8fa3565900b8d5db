"""Rebuilding timelines: the fold, what differs, as of when, and what is not given back."""

from __future__ import annotations

from typing import Any, cast
from unittest import mock

import pytest
from cassandra.cluster import Session

from connectors.redis_shadow import Feed
from headrace.rebuild import run as run_module
from headrace.rebuild.compare import (
    Difference,
    compare_feed,
    compare_rows,
    feed_wanted,
    without_pending,
)
from headrace.rebuild.log import PartitionLog, Placed
from headrace.rebuild.moment import AHEAD_MS, DAYS_MS, Moment, MomentError, parse_moment, window_of
from headrace.rebuild.replay import Replay, Share, WentBackError
from headrace.rebuild.rows import CorrectionError, TimelineRows, missed_removals
from headrace.rebuild.run import Options, Rebuild, partitions_of
from headrace.rebuild.withheld import Now, PostNow
from schemas.partitioning import partition_of
from schemas.views import (
    FillTimeline,
    PushEntry,
    RefillTimeline,
    RemoveEntry,
    RemoveSource,
    TimelineOp,
)
from streams.archive_sink import timestamp_of
from streams.timelines import Timelines
from tests.unit.folds import DAY, NOW

LONGEST = 2
PUSH_P = PushEntry("p", "u:a", 1, ["bob", "eve"])
PUSH_Q = PushEntry("q", "u:b", 2, ["bob"])
REMOVE_P = RemoveEntry("p", "u:a", 1, ["bob"])
FILL = FillTimeline("bob", [("r", "u:a", 3), ("s", "s:a", 4)])
LEAVE_A = RemoveSource("bob", ["u:a", "s:a"])


def fold(*operations: TimelineOp, horizon: int | None = None) -> Timelines:
    timelines = Timelines(LONGEST, horizon=horizon)
    for operation in operations:
        timelines.apply([operation])
    return timelines


# The fold


@pytest.mark.parametrize(
    ("operations", "entries"),
    [
        pytest.param([PUSH_P], {("p", "u:a"): 1}, id="pushed"),
        pytest.param([PUSH_P, REMOVE_P], {}, id="removed"),
        pytest.param([REMOVE_P, PUSH_P], {("p", "u:a"): 1}, id="pushed again"),
        pytest.param([FILL], {("r", "u:a"): 3, ("s", "s:a"): 4}, id="filled"),
        pytest.param([FILL, PUSH_Q, LEAVE_A], {("q", "u:b"): 2}, id="a source is left"),
        pytest.param([LEAVE_A, PUSH_P], {("p", "u:a"): 1}, id="and followed again"),
        pytest.param(
            [PUSH_P, PushEntry("p", "u:a", 9, ["bob"])], {("p", "u:a"): 9}, id="at another time"
        ),
    ],
)
def test_operations_are_folded(
    operations: list[TimelineOp], entries: dict[tuple[str, str], int]
) -> None:
    timelines = fold(*operations)
    assert timelines.of("bob").entries == entries
    assert timelines.size == len(entries) + len(timelines.of("eve").entries)


@pytest.mark.parametrize(
    ("since", "entries"),
    [
        pytest.param([PUSH_Q], {("p", "u:a"): 1}, id="nothing is put on"),
        pytest.param([FILL], {("p", "u:a"): 1}, id="nothing is filled in"),
        pytest.param([LEAVE_A], {("p", "u:a"): 1}, id="what a follow had brought comes back"),
        pytest.param([REMOVE_P], {}, id="what was withdrawn does not"),
    ],
)
def test_the_time_that_is_passed_over_only_takes_away(
    since: list[TimelineOp], entries: dict[tuple[str, str], int]
) -> None:
    timelines = fold(PUSH_P)
    timelines.withdraw(since)
    assert timelines.of("bob").entries == entries


def test_only_the_owners_wanted_are_folded() -> None:
    timelines = Timelines(LONGEST, {"eve"}.__contains__)
    timelines.apply([PUSH_P, PUSH_Q, FILL, REMOVE_P, LEAVE_A])
    assert list(timelines.owners()) == ["eve"]
    assert timelines.size == 1


def test_shares_are_halved_until_they_fit() -> None:
    share, names = Share(), [f"user{n}" for n in range(64)]
    low, high = share.halves()
    lower, upper = high.halves()
    parts = [{name for name in names if part.has(name)} for part in (low, lower, upper)]
    assert set().union(*parts) == set(names)
    assert sum(map(len, parts)) == len(names)
    assert all(parts)


# What differs

FULL = fold(PUSH_P, PUSH_Q)


@pytest.mark.parametrize(
    ("found", "missing", "extra"),
    [
        ({("p", "u:a"): 1, ("q", "u:b"): 2}, [], []),
        ({("p", "u:a"): 1}, [("q", "u:b", 2)], []),
        ({("p", "u:a"): 1, ("q", "u:b"): 2, ("x", "u:a"): 1}, [], [("x", "u:a", 1)]),
        (
            {("p", "u:a"): 2, ("q", "u:b"): 1},
            [("p", "u:a", 1), ("q", "u:b", 2)],
            [("p", "u:a", 2), ("q", "u:b", 1)],
        ),
        ({}, [("p", "u:a", 1), ("q", "u:b", 2)], []),
    ],
)
def test_a_feed_is_compared(found: dict[tuple[str, str], int], missing: Any, extra: Any) -> None:
    assert compare_feed(FULL, "bob", Feed(found, 0)) == (missing, extra)
    wanted = feed_wanted(FULL, "bob", Feed(found, 0))
    assert wanted == Feed({("p", "u:a"): 1, ("q", "u:b"): 2}, 0)


def test_below_the_floor_entries_may_be_missing() -> None:
    entries = {("q", "u:b"): 2, ("r", "u:a"): 3}
    trimmed = fold(PUSH_P, PUSH_Q, PushEntry("r", "u:a", 3, ["bob"]))
    assert not compare_feed(trimmed, "bob", Feed(entries, 1))
    assert compare_feed(trimmed, "bob", Feed(entries, 0)) == ([("p", "u:a", 1)], [])
    assert feed_wanted(trimmed, "bob", Feed({}, 99)) == Feed(entries, 1)


def test_nothing_is_wanted_of_a_feed_that_is_not_there() -> None:
    assert not compare_feed(FULL, "bob", Feed({}, None))
    assert not compare_feed(FULL, "bob", Feed({("x", "u:a"): 1}, None))


def test_what_a_source_answered_is_on_the_timeline() -> None:
    timelines = fold(RefillTimeline("bob", "e", 0, [("p", "u:a", 1)]))
    assert compare_feed(timelines, "bob", Feed({}, 0)) == ([("p", "u:a", 1)], [])


HORIZON = 5


@pytest.mark.parametrize(
    ("operations", "is_extra"),
    [
        pytest.param([], False, id="the log says nothing of it"),
        pytest.param([LEAVE_A], True, id="its source was left"),
        pytest.param([RemoveEntry("old", "u:a", 4, ["bob"])], True, id="it was removed"),
        pytest.param([PushEntry("old", "u:a", 3, ["bob"])], True, id="it has another time"),
    ],
)
def test_what_is_older_than_the_log_is_left(operations: list[TimelineOp], is_extra: bool) -> None:
    timelines = fold(PUSH_Q, *operations, horizon=HORIZON)
    found = Feed({("old", "u:a"): 4, ("q", "u:b"): 2}, 0)
    extra = compare_feed(timelines, "bob", found).extra
    assert extra == ([("old", "u:a", 4)] if is_extra else [])
    wanted = feed_wanted(timelines, "bob", found).entries
    assert (wanted.get(("old", "u:a")) == 4) is not is_extra


def test_what_was_filled_in_since_is_not_older_than_the_log() -> None:
    timelines = fold(horizon=HORIZON)
    timelines.withdraw([FILL])
    found = Feed({("r", "u:a"): 3}, 0)
    assert compare_feed(timelines, "bob", found).extra == [("r", "u:a", 3)]


def test_a_feed_that_was_lost_sends_readers_to_cassandra_for_what_is_older() -> None:
    timelines = fold(PUSH_Q, horizon=HORIZON)
    assert feed_wanted(timelines, "bob", Feed({}, 0)).floor == HORIZON
    assert feed_wanted(timelines, "bob", Feed({("x", "u:a"): 1}, 3)).floor == 3
    assert feed_wanted(timelines, "bob", Feed({("x", "u:a"): 1}, 9)).floor == HORIZON
    assert feed_wanted(timelines, "bob", Feed({("x", "u:a"): 1}, 0)).floor == 0


def test_rows_about_to_expire_may_be_there_or_not() -> None:
    old, new = NOW - DAYS_MS + 60_000, NOW - DAY
    timelines = fold(PushEntry("p", "u:a", old, ["bob"]), PushEntry("q", "u:a", new, ["bob"]))
    assert compare_rows(timelines, "bob", [], NOW) == ([("q", "u:a", new)], [])
    assert not compare_rows(timelines, "bob", [("p", "u:a", old), ("q", "u:a", new)], NOW)
    extra = compare_rows(timelines, "bob", [("q", "u:a", new), ("q", "u:a", old)], NOW).extra
    assert extra == [("q", "u:a", old)]


@pytest.mark.parametrize(
    ("operation", "left"),
    [
        (PushEntry("x", "u:a", 1, ["bob"]), ["p"]),
        (RemoveEntry("p", "u:a", 1, ["bob"]), ["x"]),
        (RemoveEntry("p", "u:a", 1, ["eve"]), ["p", "x"]),
        (RemoveEntry("p", "u:a", 2, ["bob"]), ["p", "x"]),
        (FillTimeline("bob", [("p", "u:a", 1)]), ["x"]),
        (LEAVE_A, []),
        (RemoveSource("bob", ["u:b"]), ["p", "x"]),
    ],
)
def test_what_is_being_written_is_no_difference(operation: TimelineOp, left: list[str]) -> None:
    found = {"bob": Difference([("p", "u:a", 1)], [("x", "u:a", 1)])}
    rest = without_pending(found, [operation])["bob"]
    assert [row[0] for row in rest.missing + rest.extra] == left


# As of when


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", Moment(time_ms=NOW - 7_200_000)),
        ("1d12h", Moment(time_ms=NOW - 36 * 3_600_000)),
        ("4711", Moment(offset=4711)),
        ("3:4711", Moment(offset=4711, partition=3)),
        ("2023-11-14T22:13:00Z", Moment(time_ms=NOW - 20_000)),
        ("2023-11-14T22:13:00", Moment(time_ms=NOW - 20_000)),
        ("2023-11-14T23:13:00+01:00", Moment(time_ms=NOW - 20_000)),
    ],
)
def test_a_moment_is_read(text: str, moment: Moment) -> None:
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2x", "1:2:3", "2099-01-01T00:00:00Z"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(MomentError):
        parse_moment(text, NOW)


class Log:
    """A log by the times of its records; those below `first` are deleted."""

    def __init__(self, times: list[int], first: int = 0) -> None:
        self._times = times
        self._first = first

    def bounds(self) -> tuple[int, int]:
        return self._first, len(self._times)

    def offset_at(self, time_ms: int) -> int | None:
        return next(
            (n for n, at in enumerate(self._times) if at >= time_ms and n >= self._first), None
        )

    def time_at(self, offset: int) -> int | None:
        return self._times[offset] if offset < len(self._times) else None


TIMES = [NOW - 35 * DAY, NOW - 29 * DAY, NOW - 3 * DAY, NOW - DAY]


@pytest.mark.parametrize(
    ("first", "moment", "window"),
    [
        pytest.param(0, None, (1, None, None, NOW - DAYS_MS), id="now"),
        pytest.param(2, None, (2, None, None, TIMES[2]), id="what is left of the log"),
        pytest.param(
            0, Moment(time_ms=NOW - 2 * DAY), (1, 3, 4, NOW - 2 * DAY - DAYS_MS), id="a time"
        ),
        pytest.param(0, Moment(time_ms=NOW - 10 * DAY), (0, 2, 4, None), id="all of the log"),
        pytest.param(0, Moment(offset=2), (1, 2, 4, TIMES[2] - DAYS_MS), id="an offset"),
        pytest.param(0, Moment(offset=4), (1, 4, 4, NOW - DAYS_MS), id="its end"),
    ],
)
def test_the_30_days_before_are_folded(first: int, moment: Moment | None, window: Any) -> None:
    found = window_of(cast(PartitionLog, Log(TIMES, first)), 3, moment, NOW)
    assert (found.start, found.cut, found.resume, found.since) == window
    assert found.horizon == (None if found.since is None else found.since + AHEAD_MS)


def test_what_is_between_the_moment_and_the_beginning_is_passed_over() -> None:
    found = window_of(cast(PartitionLog, Log(TIMES)), 3, Moment(offset=2), NOW)
    passed_over = [offset for offset in range(6) if found.is_passed_over(offset)]
    assert passed_over == [2, 3]


@pytest.mark.parametrize(
    ("moment", "what"),
    [
        (Moment(time_ms=NOW - 4 * DAY), "reaches back to 2023-11-11T22:13:20"),
        (Moment(offset=1), "has the offsets 2 to 4, not 1"),
        (Moment(offset=5), "has the offsets 2 to 4, not 5"),
    ],
)
def test_a_moment_before_the_log_is_refused(moment: Moment, what: str) -> None:
    with pytest.raises(MomentError, match=what):
        window_of(cast(PartitionLog, Log(TIMES, 2)), 3, moment, NOW)


def test_an_offset_needs_its_partition() -> None:
    bob = partition_of("bob", 8)
    assert partitions_of(Options(), 3) == [0, 1, 2]
    assert partitions_of(Options(users=("bob",)), 8) == [bob]
    assert partitions_of(Options(users=("bob",), moment=Moment(offset=1)), 8) == [bob]
    assert partitions_of(Options(moment=Moment(offset=1, partition=3)), 8) == [3]
    for options in (
        Options(moment=Moment(offset=1)),
        Options(moment=Moment(offset=1, partition=8)),
        Options(users=("bob",), moment=Moment(offset=1, partition=(bob + 1) % 8)),
    ):
        with pytest.raises(MomentError):
            partitions_of(options, 8)


# What is not given back

LIVE = PostNow("ann", 1, "public", frozenset({"tea"}))


@pytest.mark.parametrize(
    ("row", "is_there"),
    [
        (("p", "u:ann", 1), True),
        (("p", "u:ann", 2), False),
        (("p", "u:bob", 1), False),
        (("p", "t:tea", 1), True),
        (("p", "t:coffee", 1), False),
        (("p", "s:cid", 5), True),
        (("p", "s:cid", 6), False),
        (("p", "s:dan", 5), False),
        (("p", "s:eve", 5), False),
        (("gone", "u:ann", 1), False),
        (("hers", "u:eve", 1), False),
        (("hidden", "u:ann", 1), True),
        (("hidden", "t:tea", 1), False),
        (("hidden", "s:cid", 5), False),
    ],
)
def test_what_is_there_no_longer_is_not_given(row: Any, is_there: bool) -> None:
    posts = {"p": LIVE, "hers": LIVE._replace(author_id="eve")}
    posts["hidden"] = LIVE._replace(visibility="followers")
    shares = {("cid", "p"): 5, ("eve", "p"): 5, ("cid", "hidden"): 5}
    assert Now(posts, shares, {"eve"}).has(row) is is_there


# Cassandra's write times


class Positions:
    """A session that keeps positions."""

    def __init__(self, last: int | None) -> None:
        self.last = last

    def prepare(self, query: str) -> str:
        return query

    def execute(self, query: str, values: tuple[Any, ...]) -> Any:
        if query.startswith("INSERT"):
            self.last = values[3]
        return self

    def one(self) -> Any:
        return None if self.last is None else Row(self.last)


class Row:
    """A row of `positions`."""

    log_id = "log"

    def __init__(self, position: int) -> None:
        self.position = position


def _rows(last: int | None) -> TimelineRows:
    return TimelineRows(cast(Session, Positions(last)), "log", 0)


def test_a_correction_comes_after_all_that_was_written_and_before_all_that_will_be() -> None:
    rows = _rows(None)
    times = [rows.time_of_correction(7) for _ in range(3)] + [rows.time_of_correction(8)]
    assert times == sorted(set(times))
    assert timestamp_of(6, 9_999) < times[0]
    assert times[2] < timestamp_of(7, 0) < timestamp_of(7, 9_999) < times[3] < timestamp_of(8, 0)


def test_there_is_no_correction_behind_a_later_one() -> None:
    with pytest.raises(CorrectionError):
        _rows(timestamp_of(7, 0)).time_of_correction(7)
    with pytest.raises(CorrectionError):
        _rows(timestamp_of(7, 0) - 1).time_of_correction(7)


def test_a_source_that_is_removed_meanwhile_takes_what_was_given() -> None:
    """The sink deletes the rows that it finds, and may have looked before."""
    given = [("bob", ("p", "u:a", 1)), ("bob", ("q", "u:b", 1)), ("eve", ("p", "u:a", 1))]
    since = [Placed(40, 1, [PUSH_Q]), Placed(41, 1, [PUSH_P, LEAVE_A])]
    assert list(missed_removals(given, since)) == [
        ("bob", ("p", "u:a", 1), timestamp_of(41, 1)),
    ]


def test_a_store_that_went_back_is_found_out() -> None:
    log = cast(PartitionLog, Records([Placed(n, 1, [PUSH_P]) for n in range(4)]))
    replay = Replay(log, Timelines(LONGEST), window_of_all(), Share())
    assert replay.begin(2, None, lambda _: None) == []
    assert replay.advance(3) == {"bob", "eve"}
    with pytest.raises(WentBackError):
        replay.advance(2)


def window_of_all() -> Any:
    return window_of(cast(PartitionLog, Log([NOW])), 0, None, NOW)


class Records:
    """A log in memory."""

    def __init__(self, records: list[Placed]) -> None:
        self._left = list(records)

    def open(self, _start: int) -> None:
        return

    def take(self, position: int) -> Any:
        while self._left and self._left[0].offset < position:
            yield self._left.pop(0)


def test_many_owners_are_folded_part_by_part() -> None:
    names = [f"user{n}" for n in range(50)]
    shares, seen, passes = [Share()], set[str](), 0
    while shares:
        share = shares.pop()
        records = [Placed(n, 1, [PushEntry("p", "u:a", 1, names)]) for n in range(2)]
        timelines = Timelines(LONGEST, share.has)
        replay = Replay(cast(PartitionLog, Records(records)), timelines, window_of_all(), share)
        shares += replay.begin(2, 10, lambda _: None)
        found = set(timelines.owners())
        assert not seen & found
        seen |= found
        passes += 1
    assert seen == set(names)
    assert passes > 3


def test_a_share_of_one_owner_is_not_halved() -> None:
    log = cast(PartitionLog, Records([Placed(0, 1, [FILL])]))
    replay = Replay(log, Timelines(LONGEST), window_of_all(), Share())
    assert replay.begin(1, 1, lambda _: None) == []
    assert replay.timelines.size == 2


def test_a_partition_of_which_nothing_was_written_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its sink has no position yet, and there is nothing to compare."""
    ends = {0: 0, 1: 7, 2: 0}
    looked_at: list[int] = []

    def log_of(_brokers: str, partition: int) -> Any:
        log = mock.MagicMock(partition=partition)
        log.__enter__.return_value = log
        log.end.return_value = ends[partition]
        return log

    def each_share(log: Any, *_: Any) -> None:
        looked_at.append(log.partition)

    monkeypatch.setattr(run_module, "PartitionLog", log_of)
    for name in ("scan_owners", "scan_buckets", "window_of"):
        monkeypatch.setattr(run_module, name, lambda *_: {})
    rebuild = Rebuild.__new__(Rebuild)
    for name in ("_brokers", "_keys", "_redis", "_session", "_progress", "_note"):
        setattr(rebuild, name, mock.Mock())
    for name in ("_feeds", "_archive", "_log_id", "_withheld"):
        setattr(rebuild, name, mock.Mock())
    rebuild._options, rebuild._partitions = Options(), len(ends)
    monkeypatch.setattr(rebuild, "_each_share", each_share, raising=False)
    rebuild.run()
    assert looked_at == [1, 1], "in Redis and in Cassandra"
