"""Intake and folds under crashes, duplicates and disorder: the views are what the rules say.

Hypothesis publishes events, runs stages on batches of any size, kills them at any point and
restores them from their changelogs. In the end the views must equal the oracle's, which is
computed from the published events apart from the product.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
)

from schemas.codec import encode
from schemas.dead_letters import DeadLetter
from schemas.events import Engagement, Event, Follow, Post
from schemas.partitioning import partition_of
from schemas.topics import EXTERNAL, INTERNAL, Topic
from schemas.views import HeavySource, NotificationView, RecentActivity
from streams import fan_out, sources, trend_scores
from streams.engine import stage
from streams.engine.disk import DiskStore
from streams.engine.records import decode_record
from streams.facts import Handling, Tick, decode_fact, encode_fact
from tests.oracle import affinity, interests
from tests.oracle import timelines as oracle_timelines
from tests.oracle import trending as oracle_trending
from tests.oracle.compare import Tally
from tests.oracle.events import collect
from tests.oracle.expected import Expected, expect
from tests.oracle.names import OfName
from tests.oracle.read_log import OfSource
from tests.oracle.users import NOBODY
from tests.property import strategies
from tests.property.pipeline import (
    HEAVY_FOLLOWERS,
    PARTITIONS,
    REPORTS_TO_HIDE,
    STAGES,
    TOPIC_OF,
    Pipeline,
)
from tests.unit.folds import DAY, NOW

HELD, BACKFILLED, DELIVERIES = 3, 2, 2
TRENDING_USERS = 2
LATE = NOW - 30_000

partitions = st.integers(0, PARTITIONS - 1)
stages = st.sampled_from(list(STAGES))


@pytest.fixture(autouse=True, scope="module")
def _small_limits() -> Iterator[None]:
    """Limits that a few events reach, in the product and in the oracle."""
    with (
        mock.patch.object(sources, "RECENT_ACTIVITIES", HELD),
        mock.patch.object(sources, "BACKFILL_ACTIVITIES", BACKFILLED),
        mock.patch.object(oracle_timelines, "HELD", HELD),
        mock.patch.object(oracle_timelines, "BACKFILLED", BACKFILLED),
        mock.patch.object(trend_scores, "MIN_USERS", TRENDING_USERS),
        mock.patch.object(oracle_trending, "LEAST_USERS", TRENDING_USERS),
        mock.patch.object(stage, "MAX_DELIVERIES_PER_CHECKPOINT", DELIVERIES),
        mock.patch.object(stage, "WORK_PER_CHECKPOINT", DELIVERIES),
        mock.patch.object(stage, "MAX_BACKLOG", HELD),
        mock.patch.object(fan_out, "DELIVERIES_AT_ONCE", 1),
        mock.patch.object(fan_out, "DELIVERIES_PER_TURN", 1),
        mock.patch.object(stage, "log"),
    ):
        yield


class Machine(RuleBasedStateMachine):
    """Producers, the stages, and whatever may befall them."""

    published: Bundle[Event] = Bundle("published")

    def __init__(self) -> None:
        super().__init__()
        self.pipeline = self.make_pipeline()
        self.count = 0

    def make_pipeline(self) -> Pipeline:
        """Stages with their rows in memory."""
        return Pipeline()

    def _publish(self, event: Event, partition: int) -> Event:
        self.count += 1
        new = strategies.numbered(event, self.count)
        self._write(new, partition)
        return new

    def _write(self, event: Event, partition: int) -> None:
        self.pipeline.log.append(TOPIC_OF[type(event)], partition, encode(event))

    @rule(target=published, event=strategies.events, partition=partitions)
    def publish(self, event: Event, partition: int) -> Event:
        """A producer writes an event; its time says nothing about when it comes."""
        return self._publish(event, partition)

    @rule(target=published, event=strategies.creations, partition=partitions)
    def publish_post(self, event: Event, partition: int) -> Event:
        """A producer writes a post, which most others need."""
        return self._publish(event, partition)

    @rule(target=published, event=strategies.follows, partition=partitions)
    def publish_follow(self, event: Event, partition: int) -> Event:
        """A producer writes a follow."""
        return self._publish(event, partition)

    @rule(target=published, some=st.lists(strategies.events, max_size=8), data=st.data())
    def publish_some(self, some: list[Event], data: st.DataObject) -> Any:
        """Producers write events that have come in disorder."""
        return multiple(*(self._publish(event, data.draw(partitions)) for event in some))

    @rule(
        target=published,
        blog=strategies.blogs(),
        reader=strategies.user_ids,
        partition=partitions,
        is_read_late=st.booleans(),
    )
    def publish_blog(
        self, blog: list[Post], reader: str, partition: int, is_read_late: bool
    ) -> Any:
        """An author writes more than a new follower is given; someone follows after that."""
        published: list[Event] = [self._publish(post, partition) for post in blog]
        if is_read_late:
            self.pipeline.drain()
        follow = Follow(
            event_id="f",
            action="follow",
            user_id=reader,
            target=f"u:{blog[0].author_id}",
            at=LATE,
            is_favourite=True,
        )
        return multiple(*published, self._publish(follow, partition))

    @rule(target=published, talk=strategies.talks(), partition=partitions)
    def publish_talk(self, talk: list[Event], partition: int) -> Any:
        """Users comment on a post, and answer each other."""
        return multiple(*(self._publish(event, partition) for event in talk))

    @rule(target=published, event=published, sharer=strategies.user_ids, partition=partitions)
    def share_or_leave(self, event: Event, sharer: str, partition: int) -> Any:
        """Someone shares a post; whoever follows leaves."""
        if isinstance(event, Post):
            share = Engagement(
                event_id="s", action="share", user_id=sharer, post_id=event.post_id, at=LATE
            )
            return self._publish(share, partition)
        if isinstance(event, Follow):
            leave = msgspec.structs.replace(event, action="unfollow", at=event.at + 1)
            return self._publish(leave, partition)
        return multiple()

    @rule(
        target=published,
        event=strategies.erasures,
        partition=partitions,
        is_wanted=st.sampled_from([False, False, True]),
    )
    def erase(self, event: Event, partition: int, is_wanted: bool) -> Any:
        """A user is erased; what others publish about the user goes on coming."""
        return self._publish(event, partition) if is_wanted else multiple()

    @rule(event=published, partition=partitions)
    def publish_again(self, event: Event, partition: int) -> None:
        """A producer writes an event a second time, maybe elsewhere."""
        self._write(event, partition)

    @rule(
        topic=st.sampled_from(EXTERNAL),
        partition=partitions,
        event=strategies.events,
        cut=st.integers(0, 20),
    )
    def publish_nonsense(self, topic: Topic, partition: int, event: Event, cut: int) -> None:
        """A producer writes what is no event, or one of another topic."""
        self.count += 1
        self.pipeline.log.append(topic, partition, encode(event)[:-cut])

    @precondition(lambda self: self.count > 0)
    @rule(topic=stages, partition=partitions, size=st.integers(1, 20))
    def run_stage(self, topic: Topic, partition: int, size: int) -> None:
        """A stage processes a batch of what waits for it."""
        self.pipeline.run(topic, partition, size)

    @precondition(lambda self: self.count > 0)
    @rule(size=st.integers(1, 20))
    def run_stages(self, size: int) -> None:
        """All stages process a batch each."""
        for topic in STAGES:
            for partition in range(PARTITIONS):
                self.pipeline.run(topic, partition, size)

    @precondition(lambda self: self.count > 0)
    @rule()
    def drain(self) -> None:
        """All stages process all that waits."""
        self.pipeline.drain()

    @precondition(lambda self: self.count > 0)
    @rule(
        topic=stages,
        partition=partitions,
        size=st.integers(1, 20),
        dies=st.sampled_from(["before", "after", "idle"]),
    )
    def crash(self, topic: Topic, partition: int, size: int, dies: str) -> None:
        """A stage dies: before or after its commit, or between batches."""
        self.pipeline.run(topic, partition, size, dies=dies)

    @precondition(lambda self: self.count > 0)
    @rule(dies=st.sampled_from(["before", "after", "idle"]), is_drained=st.booleans())
    def crash_everything(self, dies: str, is_drained: bool) -> None:
        """The machine under all stages dies."""
        if is_drained:
            self.pipeline.drain()
        for topic in STAGES:
            for partition in range(PARTITIONS):
                self.pipeline.run(topic, partition, 20, dies=dies)

    @rule(topic=st.sampled_from(INTERNAL), partition=partitions, minutes=st.integers(-30, 90))
    def tick(self, topic: Topic, partition: int, minutes: int) -> None:
        """The clock writes the time; clocks of workers are not the same."""
        value = encode_fact(Tick(NOW + minutes * 60_000))
        self.pipeline.log.append(topic, partition, value)

    @rule(
        source=strategies.targets,
        how=st.sampled_from(["auto", "heavy", "light"]),
        at=st.integers(0, 3),
    )
    def handle(self, source: str, how: Any, at: int) -> None:
        """An operator says how a source is to be handled."""
        self.count += 1
        name = source.casefold() if source.startswith("t:") else source
        fact = Handling(name, how, NOW + at, f"h{self.count}")
        partition = partition_of(name, PARTITIONS)
        self.pipeline.log.append(Topic.BY_SOURCE, partition, encode_fact(fact))

    @invariant()
    def nothing_is_negative(self) -> None:
        """No count was ever below nought."""
        assert self.pipeline.negative() == []

    def teardown(self) -> None:
        """Everything is processed, and compared."""
        self.pipeline.drain()
        check(self.pipeline, tick_once_more(self.pipeline))


def tick_once_more(pipeline: Pipeline) -> dict[tuple[str, int], int]:
    """The clock moves on, in each partition from where it was; to where, by what it lists."""
    ended = {}
    for kind, topic in (("posts", Topic.BY_POST), ("topics", Topic.BY_SOURCE)):
        for partition in range(PARTITIONS):
            facts = (decode_record(each.value) for each in pipeline.log.read(topic, partition))
            ticks = [fact.at for fact in facts if isinstance(fact, Tick)]
            ended[kind, partition] = max(ticks, default=NOW) + 1
            pipeline.log.append(topic, partition, encode_fact(Tick(ended[kind, partition])))
    pipeline.drain()
    return ended


def check(pipeline: Pipeline, ticks: dict[tuple[str, int], int]) -> None:
    """The views are what the oracle expects, and what is refused is in the dead letters. `ticks`
    are the newest, of what each partition lists."""
    log = (
        (each.partition, fact)
        for each in pipeline.log.all_of(Topic.BY_SOURCE)
        if isinstance(fact := decode_fact(each.value), OfSource)
    )
    claims = (
        fact
        for each in pipeline.log.all_of(Topic.BY_USER)
        if each.value[0] and isinstance(fact := decode_fact(each.value), OfName)
    )
    expected = expect(collect(pipeline.external()), log, claims, HEAVY_FOLLOWERS, REPORTS_TO_HIDE)
    assert expected.name_claims.differences == []
    assert _names(pipeline) == expected.names
    assert _devices(pipeline) == expected.devices
    assert expected.by_source_log.differences == []
    assert _timelines(pipeline) == _expected_timelines(expected)
    _check_feeds(pipeline, expected)
    assert _recents(pipeline) == expected.timelines.recents()
    assert _heavy(pipeline) == expected.heavy()
    assert _counters(pipeline) == expected.counters
    assert _posts(pipeline) == expected.posts
    assert _awaiting(pipeline) == expected.awaiting()
    assert _comments(pipeline) == expected.comments
    assert _comment_counts(pipeline) == expected.comment_counts
    assert _mine(pipeline) == expected.mine
    assert _users(pipeline) == expected.users
    assert _following(pipeline) == expected.following()
    assert _favourites(pipeline) == expected.favourites().keys()
    assert _blocks(pipeline) == set(expected.blocks())
    assert _mutes(pipeline) == set(expected.mutes())
    assert _blocked(pipeline) == set(expected.blocked())
    assert _audiences(pipeline) == expected.audiences()
    assert _affinity(pipeline) == pytest.approx(_expected_affinity(expected), abs=1e-9)
    assert expected.mentions.differences == []
    for found, wanted in zip(_interests(pipeline), _expected_interests(expected), strict=True):
        assert found == pytest.approx(wanted, abs=1e-9)
    _check_notices(pipeline, expected)
    assert _dead_letters(pipeline) == expected.rejected
    trending = Tally("trending", "kafka")
    oracle_trending.compare_trending(
        trending, expected.trending, pipeline.trending(), PARTITIONS, ticks
    )
    assert trending.differences == []


def _timelines(pipeline: Pipeline) -> dict[str, dict[tuple[str, str], int]]:
    return pipeline.timelines()


def _expected_timelines(expected: Expected) -> dict[str, dict[tuple[str, str], int]]:
    return {
        user_id: {(post_id, reason): at for at, post_id, reason in entries}
        for user_id in expected.timelines.rows
        if (entries := list(expected.timelines.entries(user_id)))
    }


def _check_feeds(pipeline: Pipeline, expected: Expected) -> None:
    """Feeds are those of the readers; above its floor each is the timeline, below it a part."""
    timelines = _expected_timelines(expected)
    feeds = pipeline.feeds()
    assert feeds.keys() == expected.readers
    for user_id, feed in feeds.items():
        assert feed.missing == 0
        if user_id not in expected.timelines.shrunk:  # by a source that is followed no more
            assert feed.floor <= expected.timelines.floor_of(user_id)
        whole = timelines.get(user_id, {})
        assert feed.entries.items() <= whole.items()
        assert _above(feed.floor, feed.entries) == _above(feed.floor, whole)


def _above(floor: int, entries: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return {entry: at for entry, at in entries.items() if at > floor}


def _recents(pipeline: Pipeline) -> dict[tuple[str, str, str], int]:
    return {
        (view.source, view.post_id, view.reason): view.at
        for view in pipeline.views(Topic.VIEW_RECENTS).values()
        if isinstance(view, RecentActivity) and view.is_held
    }


def _heavy(pipeline: Pipeline) -> dict[str, bool]:
    return {
        view.source: True
        for view in pipeline.views(Topic.VIEW_RECENTS).values()
        if isinstance(view, HeavySource) and view.is_heavy
    }


def _fields(view: msgspec.Struct, *left_out: str) -> dict[str, object]:
    return {k: v for k, v in msgspec.structs.asdict(view).items() if k not in left_out}


def _counters(pipeline: Pipeline) -> dict[str, dict[str, object]]:
    rows = {
        post_id: _fields(view, "post_id")
        for post_id, view in pipeline.views(Topic.VIEW_COUNTERS).items()
    }
    return {post_id: row for post_id, row in rows.items() if any(row.values())}


def _posts(pipeline: Pipeline) -> dict[str, dict[str, object]]:
    return {
        post_id: {"author_id": view.author_id, "at": view.at, "is_deleted": True}
        if view.is_deleted
        else _fields(view, "post_id", "former_places")
        for post_id, view in pipeline.views(Topic.VIEW_POSTS).items()
    }


def _devices(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    views = pipeline.views(Topic.VIEW_DEVICES)
    return {user_id: view.tokens for user_id, view in views.items() if view.tokens}


def _names(pipeline: Pipeline) -> dict[str, str]:
    views = pipeline.views(Topic.VIEW_NAMES)
    return {name: view.user_id for name, view in views.items() if view.user_id}


def _awaiting(pipeline: Pipeline) -> dict[str, int]:
    views = pipeline.views(Topic.VIEW_MODERATION)
    return {post_id: view.at for post_id, view in views.items() if view.is_awaiting}


def _comments(pipeline: Pipeline) -> dict[tuple[str, str], dict[str, object]]:
    return {
        (view.post_id, view.comment_id): _fields(
            view, "post_id", "comment_id", "is_deleted", "former_times"
        )
        for view in pipeline.views(Topic.VIEW_COMMENTS).values()
        if not view.is_deleted
    }


def _comment_counts(pipeline: Pipeline) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (view.post_id, view.comment_id): (view.likes, view.replies)
        for view in pipeline.views(Topic.VIEW_COMMENT_COUNTS).values()
        if not view.is_deleted
    }


def _mine(pipeline: Pipeline) -> dict[tuple[str, str], dict[str, object]]:
    return {
        (view.user_id, view.post_id): {
            "reaction": view.reaction,
            "reacted_at": view.reacted_at if view.reaction else 0,
            "is_shared": view.is_shared,
            "shared_at": view.shared_at if view.is_shared else 0,
            "hidden_at": view.hidden_at or 0,
        }
        for view in pipeline.views(Topic.VIEW_MINE).values()
        if view.reaction or view.is_shared or view.hidden_at
    }


def _users(pipeline: Pipeline) -> dict[str, dict[str, object]]:
    rows = {
        user_id: _fields(view, "user_id")
        for user_id, view in pipeline.views(Topic.VIEW_USERS).items()
    }
    return {user_id: row for user_id, row in rows.items() if row != NOBODY}


def _following(pipeline: Pipeline) -> dict[tuple[str, str], int]:
    return {
        (view.user_id, view.target): view.followed_at
        for view in pipeline.views(Topic.VIEW_RELATIONS).values()
        if view.is_following
    }


def _favourites(pipeline: Pipeline) -> set[tuple[str, str]]:
    return {
        (view.user_id, view.target)
        for view in pipeline.views(Topic.VIEW_RELATIONS).values()
        if view.is_favourite
    }


def _blocks(pipeline: Pipeline) -> set[tuple[str, str]]:
    return {
        (view.user_id, view.target)
        for view in pipeline.views(Topic.VIEW_RELATIONS).values()
        if view.is_blocking or view.is_blocked
    }


def _blocked(pipeline: Pipeline) -> set[tuple[str, str]]:
    return {
        (view.user_id, view.target)
        for view in pipeline.views(Topic.VIEW_RELATIONS).values()
        if view.is_blocking
    }


def _mutes(pipeline: Pipeline) -> set[tuple[str, str]]:
    return {
        (view.user_id, view.target)
        for view in pipeline.views(Topic.VIEW_RELATIONS).values()
        if view.is_muting
    }


def _audiences(pipeline: Pipeline) -> dict[str, tuple[int, int]]:
    return {
        source: (view.followers, view.posts)
        for source, view in pipeline.views(Topic.VIEW_SOURCES).items()
        if view.followers or view.posts
    }


def _affinity(pipeline: Pipeline) -> dict[tuple[str, str], float]:
    scores = {
        (view.user_id, view.target_id): affinity.decayed(view.score, view.at, NOW + DAY)
        for view in pipeline.views(Topic.VIEW_AFFINITY).values()
    }
    return {pair: score for pair, score in scores.items() if abs(score) > 1e-9}


def _expected_affinity(expected: Expected) -> dict[tuple[str, str], float]:
    return expected.affinity(NOW + DAY)


def _interests(pipeline: Pipeline) -> list[dict[tuple[str, str], float]]:
    """Likings, and aversions to subjects and to users."""
    likings: dict[tuple[str, str], float] = {}
    aversions: dict[tuple[str, str], float] = {}
    far = partial(affinity.decayed, now_ms=NOW + DAY, per_day=interests.AVERSION_PER_DAY)
    for view in pipeline.views(Topic.VIEW_INTERESTS).values():
        key = (view.user_id, view.subject)
        likings[key] = affinity.decayed(view.score, view.at, NOW + DAY)
        aversions[key] = far(view.aversion, view.averse_at or 0)
    for view in pipeline.views(Topic.VIEW_AFFINITY).values():
        aversions[view.user_id, f"u:{view.target_id}"] = far(view.aversion, view.averse_at or 0)
    return [
        {key: score for key, score in scores.items() if abs(score) > 1e-9}
        for scores in (likings, aversions)
    ]


def _expected_interests(expected: Expected) -> list[dict[tuple[str, str], float]]:
    return [expected.interests(NOW + DAY), expected.aversions(NOW + DAY)]


def _check_notices(pipeline: Pipeline, expected: Expected) -> None:
    views = pipeline.views(Topic.VIEW_NOTIFICATIONS).values()
    groups = {
        (view.user_id, view.kind, view.subject): (view.count, view.named)
        for view in views
        if isinstance(view, NotificationView) and view.count
    }
    assert groups == expected.notices
    seen = {view.user_id: view.at for view in views if not isinstance(view, NotificationView)}
    assert {user_id: at for user_id, at in seen.items() if at} == expected.notices_seen


def _dead_letters(pipeline: Pipeline) -> dict[tuple[str, int, int], str]:
    letters = [
        msgspec.msgpack.decode(each.value, type=DeadLetter)
        for each in pipeline.log.all_of(Topic.DEAD_LETTERS)
    ]
    found = {(each.topic, each.partition, each.offset): each.code for each in letters}
    assert len(found) == len(letters)
    return found


class DiskMachine(Machine):
    """The same with the rows on disk: who dies goes on from the rows of its last checkpoint."""

    def make_pipeline(self) -> Pipeline:
        self.directory = tempfile.TemporaryDirectory()
        root = Path(self.directory.name)
        return Pipeline(
            lambda topic, partition: DiskStore(
                root / topic / str(partition), "log", str(topic), partition
            )
        )

    def teardown(self) -> None:
        with self.directory, contextlib.closing(self.pipeline):
            super().teardown()


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=100, stateful_step_count=50)
TestDiskMachine = DiskMachine.TestCase
TestDiskMachine.settings = settings(max_examples=10, stateful_step_count=25)
