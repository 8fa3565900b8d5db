"""Timelines folded from the log are what the Redis sink makes, however it cuts its batches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from connectors.redis import REMOVE_REASONS, TRIM_FEED, digest_of
from connectors.redis_keys import member, pack_reason, split_member
from connectors.redis_shadow import Feed
from headrace.rebuild.compare import compare_feed, feed_wanted
from schemas.topics import Topic
from schemas.views import FillTimeline, PushEntry, RemoveEntry, RemoveSource, TimelineOp
from streams import feeds as feeds_module
from streams.engine.sink import Write
from streams.timelines import Timelines
from streams.views_sink import RedisStore
from tests.unit.test_views_sink import THERE, Client, Command

OWNERS = ("ann", "bob")
LONGEST = 4

owners = st.lists(st.sampled_from(OWNERS), min_size=1, max_size=2, unique=True)
posts = st.sampled_from([*"pqrstu", "01JZ8B0V3QKX4M5T7N9R2C6DHE", str(UUID(int=7))])
reasons = st.sampled_from(["u:x", "s:x", "u:y"])
times = st.integers(1, 9)
operations = st.one_of(
    st.builds(PushEntry, posts, reasons, times, owners),
    st.builds(PushEntry, posts, reasons, times, owners),
    st.builds(
        FillTimeline,
        st.sampled_from(OWNERS),
        st.lists(st.tuples(posts, reasons, times), min_size=1, max_size=4),
    ),
    st.builds(RemoveEntry, posts, reasons, times, owners),
    st.builds(
        RemoveSource, st.sampled_from(OWNERS), st.sampled_from([["u:x", "s:x"], ["u:y", "s:y"]])
    ),
)
records = st.lists(st.lists(operations, min_size=1, max_size=4), max_size=12)


def _raw(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _entry(text: str) -> tuple[str, str]:
    return split_member(_raw(text))


class Feeds:
    """What the commands of the sink leave in Redis."""

    def __init__(self, chances: Iterator[float]) -> None:
        self.found: dict[str, Feed] = {owner: Feed({}, 0) for owner in OWNERS}
        self._client = Client()
        self._client.feeds = {owner.encode(): THERE for owner in OWNERS}
        self._store = RedisStore(self._client, 1, "log", lambda: next(chances))  # type: ignore[arg-type]
        self._store.open(Topic.TIMELINE_WRITES, 0)
        self._client.sent.clear()

    def write(self, first: int, batch: list[list[TimelineOp]]) -> None:
        writes = [Write(first + n, None, None, each) for n, each in enumerate(batch)]
        self._store.write(Topic.TIMELINE_WRITES, 0, writes, first + len(batch))
        for commands in self._client.sent:
            for command in commands:
                self._run(command)
        self._client.sent.clear()

    def _run(self, command: Command) -> None:
        match command:
            case ("ZADD", key, *scored):
                for at, entry in zip(scored[::2], scored[1::2], strict=True):
                    self._of(key).entries[_entry(entry)] = int(at)
            case ("ZREM", key, *gone):
                for entry in gone:
                    self._of(key).entries.pop(_entry(entry), None)
            case ("EVALSHA", script, "1", key, *unwanted) if script == digest_of(REMOVE_REASONS):
                for entry in list(self._of(key).entries):
                    if pack_reason(entry[1]) in map(_raw, unwanted):
                        del self._of(key).entries[entry]
            case ("EVALSHA", script, "2", key, _, limit) if script == digest_of(TRIM_FEED):
                self._trim(key, int(limit))
            case _:
                raise AssertionError(command)

    def _of(self, key: str) -> Feed:
        return self.found[key.rpartition(":")[2]]

    def _trim(self, key: str, limit: int) -> None:
        owner = key.rpartition(":")[2]
        entries, floor = self.found[owner]
        ranked = sorted(entries.items(), key=lambda item: (item[1], member(*item[0])))
        surplus = len(ranked) - limit
        if surplus > 0:
            newest = ranked[surplus - 1][1]
            self.found[owner] = Feed(dict(ranked[surplus:]), max(floor or 0, newest))


def _fold(timelines: Timelines, batch: list[list[TimelineOp]]) -> None:
    for record in batch:
        timelines.apply(record)


@pytest.fixture(autouse=True, scope="module")
def _short_feeds() -> Iterator[None]:
    before = feeds_module.FEED_ENTRIES
    feeds_module.FEED_ENTRIES = LONGEST
    yield
    feeds_module.FEED_ENTRIES = before


@st.composite
def batches(draw: st.DrawFn) -> list[tuple[int, list[list[TimelineOp]]]]:
    """Records, cut into batches, each with the offset of its first."""
    log = draw(records)
    cuts = sorted({0, len(log), *draw(st.lists(st.integers(0, len(log)), max_size=6))})
    return [(first, log[first:end]) for first, end in pairwise(cuts)]


def _chances(draws: list[float]) -> Iterator[float]:
    while True:
        yield from draws


chances = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=7).map(_chances)


@given(batches(), chances)
def test_what_the_sink_leaves_is_no_difference(
    log: list[tuple[int, list[list[TimelineOp]]]], trims: Iterator[float]
) -> None:
    feeds, timelines = Feeds(trims), Timelines(LONGEST)
    for first, batch in log:
        feeds.write(first, batch)
        _fold(timelines, batch)
        for owner in OWNERS:
            found = feeds.found[owner]
            assert not compare_feed(timelines, owner, found)
            wanted = feed_wanted(timelines, owner, found)
            assert len(wanted.entries) == min(LONGEST, len(timelines.of(owner).entries))
            assert not compare_feed(timelines, owner, wanted)
            assert found.floor is not None
            above = {entry: at for entry, at in found.entries.items() if at > found.floor}
            assert above.items() <= timelines.of(owner).entries.items()


@given(batches(), chances, st.integers(0, 6))
def test_a_feed_that_was_swapped_goes_on_as_any(
    log: list[tuple[int, list[list[TimelineOp]]]], trims: Iterator[float], swapped_at: int
) -> None:
    """In the midst of the log, whatever was there before."""
    feeds, timelines = Feeds(trims), Timelines(LONGEST)
    for number, (first, batch) in enumerate(log):
        feeds.write(first, batch)
        _fold(timelines, batch)
        if number < swapped_at:
            feeds.found = {owner: Feed({("lost", "u:x"): 3}, 7) for owner in OWNERS}
        else:
            if number == swapped_at:
                feeds.found = {
                    owner: feed_wanted(timelines, owner, feeds.found[owner]) for owner in OWNERS
                }
            for owner in OWNERS:
                assert not compare_feed(timelines, owner, feeds.found[owner])


HORIZON = 4


def _not_later(operation: TimelineOp) -> TimelineOp:
    """The same, as it may have stood in the log before it begins."""
    match operation:
        case PushEntry() | RemoveEntry():
            return replace(operation, at=min(operation.at, HORIZON))
        case FillTimeline():
            entries = [(post, reason, min(at, HORIZON)) for post, reason, at in operation.entries]
            return replace(operation, entries=entries)
    return operation


@given(batches(), chances, st.integers(0, 12))
def test_what_came_before_the_log_begins_is_no_difference_either(
    log: list[tuple[int, list[list[TimelineOp]]]], trims: Iterator[float], start: int
) -> None:
    feeds, timelines = Feeds(trims), Timelines(LONGEST, horizon=HORIZON)
    for first, batch in log:
        whole = [
            record if first + n >= start else [_not_later(each) for each in record]
            for n, record in enumerate(batch)
        ]
        feeds.write(first, whole)
        _fold(timelines, [record for n, record in enumerate(whole) if first + n >= start])
        for owner in OWNERS:
            found = feeds.found[owner]
            assert not compare_feed(timelines, owner, found)
            wanted = feed_wanted(timelines, owner, found)
            assert not compare_feed(timelines, owner, wanted)
            if found.entries:
                newest = max(found.entries.items(), key=lambda item: (item[1], item[0]))
                assert newest in wanted.entries.items()
