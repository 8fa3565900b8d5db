"""The stages of `topology:app` on an in-memory Kafka: real folds, real checkpoints, no I/O.

A partition is a list of committed records; a transaction's commit takes an offset of its own, as
Kafka's markers do. A producer's records become visible when it commits, all at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from unittest import mock

import msgspec
from faust.types import TP

from connectors.batch import Batch
from connectors.records import Record
from schemas.events import Engagement, Event, Feedback, Follow, Moderation, Post, User
from schemas.topics import EXTERNAL, Topic, changelog_of
from schemas.views import (
    CommentCountsView,
    CountersView,
    Notification,
    NotificationView,
    SourceView,
    TimelineOp,
    TrendingView,
    UserView,
)
from streams.engine import stage as stage_module
from streams.engine.replica import MakeFold
from streams.engine.rows import OpenRows, in_memory
from streams.engine.stage import Stage
from streams.engine.state import State
from streams.intake import make_intake
from streams.posts import PostFold
from streams.sources import SourceFold
from streams.users import UserFold
from tests.oracle.trending import Found
from tests.unit.folds import NOW, VIEW_TYPES, Feed, Timelines, feeds, record, timelines

PARTITIONS = 2
HEAVY_FOLLOWERS = 3
REPORTS_TO_HIDE = 2
STAGES: dict[Topic, MakeFold] = {
    Topic.POSTS: partial(make_intake, Post),
    Topic.ENGAGEMENTS: partial(make_intake, Engagement),
    Topic.FOLLOWS: partial(make_intake, Follow),
    Topic.USERS: partial(make_intake, User),
    Topic.MODERATIONS: partial(make_intake, Moderation),
    Topic.FEEDBACK: partial(make_intake, Feedback),
    Topic.BY_POST: partial(PostFold, reports_to_hide=REPORTS_TO_HIDE),
    Topic.BY_USER: UserFold,
    Topic.BY_SOURCE: partial(SourceFold, heavy_followers=HEAVY_FOLLOWERS),
}
TOPIC_OF: dict[type[Event], Topic] = {
    Post: Topic.POSTS,
    Engagement: Topic.ENGAGEMENTS,
    Follow: Topic.FOLLOWS,
    User: Topic.USERS,
    Moderation: Topic.MODERATIONS,
    Feedback: Topic.FEEDBACK,
}

Headers = tuple[tuple[str, bytes], ...]


class Crash(Exception):
    """The process of a stage died."""


class Log:
    """Kafka's partitions: committed records with their offsets."""

    def __init__(self) -> None:
        self.now = NOW
        self._records: dict[tuple[str, int], list[Record]] = {}
        self._ends: dict[tuple[str, int], int] = {}

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> int:
        """Write one record, committed at once; its offset."""
        place = (topic, partition)
        offset = self._ends.get(place, 0)
        self._ends[place] = offset + 1
        self._records.setdefault(place, []).append(
            record(
                value,
                topic=topic,
                partition=partition,
                offset=offset,
                timestamp=self.now,
                key=key,
                headers=headers,
            )
        )
        return offset

    def mark(self, topic: str, partition: int) -> None:
        """A commit marker takes an offset that no record has."""
        self._ends[topic, partition] = self._ends.get((topic, partition), 0) + 1

    def read(self, topic: str, partition: int, start: int = 0) -> list[Record]:
        """The records from an offset on."""
        return [r for r in self._records.get((topic, partition), ()) if r.offset >= start]

    def all_of(self, topic: str) -> Iterator[Record]:
        """A topic's records, each partition in order."""
        for partition in range(PARTITIONS):
            yield from self.read(topic, partition)


class Producer:
    """A transactional producer; `dies` says before or after the commit of which it is the last."""

    def __init__(self, log: Log, wrote: set[str] | None = None) -> None:
        self._log = log
        self._wrote = set() if wrote is None else wrote
        self._open: list[tuple[str, int, bytes | None, bytes | None, Headers]] | None = None
        self._tell: Callable[..., None] | None = None
        self.dies: str | None = None

    def begin_transaction(self) -> None:
        assert self._open is None
        self._open = []

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        headers: list[tuple[str, bytes]] | None = None,
        on_delivery: Callable[..., None] | None = None,
    ) -> None:
        assert self._open is not None
        self._wrote.add(str(topic))
        if on_delivery is not None:
            self._tell = on_delivery
        self._open.append((str(topic), partition, value, key, tuple(headers or ())))

    def commit_transaction(self, _timeout: float) -> None:
        assert self._open is not None
        if self.dies == "before":
            raise Crash
        offsets = [self._log.append(*each) for each in self._open]
        for topic, partition in {each[:2] for each in self._open}:
            self._log.mark(topic, partition)
        self._open = None
        if self.dies == "after":
            raise Crash
        assert self._tell is not None
        self._tell(None, mock.Mock(offset=lambda: offsets[-1]))


class Pipeline:
    """The intake and the three folds, run by hand."""

    def __init__(self, open_rows: OpenRows = in_memory) -> None:
        self.log = Log()
        self.crashes = 0
        self.wrote: dict[Topic, set[str]] = {topic: set() for topic in STAGES}
        """The topics that each stage has put something out to."""
        self._delivered: dict[tuple[Topic, int], int] = {}
        self._stages = {
            topic: Stage(
                topic,
                make_fold,
                app_id="test",
                brokers="",
                partitions=PARTITIONS,
                pool=mock.create_autospec(ThreadPoolExecutor, instance=True),
                open_rows=open_rows,
            )
            for topic, make_fold in STAGES.items()
        }

    def run(self, topic: Topic, partition: int, size: int, *, dies: str | None = None) -> bool:
        """Run a stage on its next records, at most `size`; whether there were any.

        It may die before or after the commit, or be killed (`idle`) with nothing under way; the
        next run restores it.
        """
        stage = self._stages[topic]
        if dies == "idle":
            self._die(topic, partition)
            return True
        if partition not in stage._owned:
            self._open(stage, partition)
        start = self._delivered[topic, partition]
        records = self.log.read(topic, partition, start)[:size]
        if not records and not stage.has_work(partition):
            return False
        owned = stage._owned[partition]
        owned.producer.dies = dies
        end = records[-1].offset + 1 if records else owned.state.position or 0
        batch = Batch(TP(str(topic), partition), records, end)
        try:
            stage._process(batch)
        except Crash:
            self._die(topic, partition)
        else:
            self._delivered[topic, partition] = max(start, batch.next_offset)
        return True

    def drain(self) -> None:
        """Run all stages until nothing waits."""
        places = [(topic, partition) for topic in STAGES for partition in range(PARTITIONS)]
        while any([self.run(topic, partition, 1_000) for topic, partition in places]):
            pass

    def _open(self, stage: Stage, partition: int) -> None:
        def restore(_brokers: str, topic: str, number: int, state: State, *_: object) -> None:
            start = state.snapshot.changelog_offset if state.snapshot else 0
            records = self.log.read(changelog_of(topic), number, start)
            if records:
                changes = {each.key: each.value for each in records}
                state.restore(changes, records[-1].offset + 1, time.time_ns() // 1_000_000)

        with mock.patch.multiple(
            stage_module,
            transactional_producer=lambda *_: Producer(self.log, self.wrote[stage.topic]),
            restore=restore,
        ):
            owned = stage_module._Owned(stage, partition)
        stage._owned[partition] = owned
        # What the group has committed may lag behind the position: earlier records come again.
        self._delivered[stage.topic, partition] = max(0, (owned.state.position or 0) - 2)

    def _die(self, topic: Topic, partition: int) -> None:
        self.crashes += 1
        owned = self._stages[topic]._owned.pop(partition, None)
        if owned is not None:
            owned.state.close()

    def close(self) -> None:
        """End all stages."""
        for topic, stage in self._stages.items():
            for partition in stage.owned:
                self._die(topic, partition)

    # What came out

    def external(self) -> Iterator[tuple[str, int, int, int, bytes | None]]:
        """The records of producers, as the oracle reads them."""
        for topic in EXTERNAL:
            for each in self.log.all_of(topic):
                yield each.topic, each.partition, each.offset, each.timestamp, each.value

    def views(self, topic: Topic) -> dict[str, Any]:
        """Key to the newest value of a view."""
        found = {}
        for each in self.log.all_of(topic):
            view = msgspec.msgpack.decode(each.value, type=VIEW_TYPES[topic])
            found[each.key.decode()] = view
        return found

    def trending(self) -> Found:
        """The newest lists of what is on the rise, of each partition."""
        found: Found = {}
        for partition in range(PARTITIONS):
            for each in self.log.read(Topic.VIEW_TRENDING, partition):
                view = msgspec.msgpack.decode(each.value, type=TrendingView)
                assert view.partition == partition
                place = (view.kind, view.window, partition, view.language)
                found[place] = view.at, [msgspec.structs.astuple(entry) for entry in view.entries]
        return found

    def timelines(self) -> Timelines:
        """What the timeline writes come to."""
        return timelines(self._operations())

    def feeds(self) -> dict[str, Feed]:
        """What they come to in Redis."""
        return feeds(self._operations())

    def _operations(self) -> Iterator[TimelineOp]:
        for each in self.log.all_of(Topic.TIMELINE_WRITES):
            yield from msgspec.msgpack.decode(each.value, type=list[TimelineOp])

    def negative(self) -> list[object]:
        """Values with a negative count that were ever put out."""
        found: list[object] = []
        for topic, kind, counts in _COUNTS:
            for each in self.log.all_of(topic):
                view = msgspec.msgpack.decode(each.value, type=kind)
                if any(count < 0 for count in counts(view)):
                    found.append(view)
        return found


def _of_counters(view: CountersView) -> list[int]:
    rest = (view.comments, view.shares, view.views, view.clicks, view.hides, view.reports)
    return [*view.reactions.values(), *rest]


_COUNTS: list[tuple[Topic, type[Any], Callable[[Any], list[int]]]] = [
    (Topic.VIEW_COUNTERS, CountersView, _of_counters),
    (Topic.VIEW_COMMENT_COUNTS, CommentCountsView, lambda view: [view.likes, view.replies]),
    (Topic.VIEW_SOURCES, SourceView, lambda view: [view.followers, view.posts]),
    (Topic.VIEW_USERS, UserView, lambda view: [view.following]),
    (
        Topic.VIEW_NOTIFICATIONS,
        Notification,
        lambda view: [view.count] if isinstance(view, NotificationView) else [],
    ),
]
