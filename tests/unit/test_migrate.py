"""Adding partitions: what is refused, what topics say, and where each row, view and record goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest

from connectors.admin import PartitionCountError, check_topics
from connectors.redis_keys import Keys
from connectors.settings import Settings
from connectors.sources import Upheaval, generate_activity, generate_network
from headrace.migrate.plan import DOOR, MigrationError, Plan, Stand, plan_for, stand_of
from headrace.migrate.run import FOLDS, owners_of
from headrace.migrate.split import (
    LogSplitter,
    MisplacedError,
    RowSplitter,
    Split,
    WritesSplitter,
    splitter_of,
)
from schemas import generation
from schemas.codec import encode
from schemas.events import Follow, User
from schemas.generation import name_in
from schemas.partitioning import partition_of
from schemas.topics import INTERNAL, OF_A_GENERATION, VIEWS, Topic, changelog_of, declared
from schemas.views import PushEntry, RemoveSource, TimelineOp, TrendingView
from streams import distinct, fan_out, notices
from streams.engine import checkpoint
from streams.engine import stage as stage_module
from streams.engine.outbox import Outbox
from streams.engine.state import State, StateFormatError
from streams.facts import Activity, RelationFact, Tick, encode_fact
from streams.sources import SourceFold
from streams.trend_rows import ListSize
from streams.trends import LISTS, STANDING, list_of
from tests.property.pipeline import PARTITIONS, TOPIC_OF, Pipeline
from tests.unit.folds import record, timelines

ROOT = Path(__file__).parents[2]
AFTER = 3 * PARTITIONS
HOUR_MS = 3_600_000
NOW = 1_700_000_000_000
CROSSING = 12


# The history of a town, with all that is rare; of what it gives rise to, something is put off


@cache
def town() -> Pipeline:
    pairs = generate_network(60, 1)
    people = list(dict.fromkeys(chain.from_iterable(pairs)))
    activity = generate_activity(pairs, 1_500, 1, NOW, hours=30)
    upheaval = Upheaval(people, 1, CROSSING, 2)
    pipeline = Pipeline()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fan_out, "DELIVERIES_AT_ONCE", 2)
        patch.setattr(distinct, "MAX_EXACT", 2)
        patch.setattr(notices, "NAMED", 1)
        patch.setattr(stage_module, "WORK_PER_CHECKPOINT", 3)
        follows = (
            Follow(
                event_id=f"f{n}",
                action="follow",
                user_id=user,
                target=f"u:{other}",
                at=NOW - 40 * HOUR_MS,
                is_favourite=True,
            )
            for n, (user, other) in enumerate(pairs)
        )
        actives = (
            User(event_id=f"a{user}", action="active", user_id=user, at=NOW - 40 * HOUR_MS)
            for user in people
        )
        events = chain(follows, actives, upheaval.among(activity))
        for n, event in enumerate(events):
            pipeline.log.now = max(pipeline.log.now, event.at) if n else event.at
            pipeline.log.append(TOPIC_OF[type(event)], n % PARTITIONS, encode(event))
            if n % 400 == 0:
                _tick(pipeline)
                _some_work(pipeline, 400)
        _tick(pipeline)
        _some_work(pipeline, 60)
    return pipeline


def _tick(pipeline: Pipeline) -> None:
    for topic in INTERNAL:
        for number in range(PARTITIONS):
            pipeline.log.append(topic, number, encode_fact(Tick(pipeline.log.now)))


def _some_work(pipeline: Pipeline, size: int) -> None:
    for topic in TOPIC_OF.values():
        for number in range(PARTITIONS):
            pipeline.run(topic, number, 10_000)
    for topic in INTERNAL:
        for number in range(PARTITIONS):
            pipeline.run(topic, number, size)


def split(number: int) -> Split:
    return Split(number, PARTITIONS, AFTER)


def rows_of(topic: Topic) -> Iterator[tuple[int, str, str, str, bytes | None]]:
    for number in range(PARTITIONS):
        for each in town().log.read(changelog_of(topic), number):
            if each.key != State.POSITION_KEY:
                table, entity, sub = (*each.key.decode().split("\0", 2), "", "")[:3]
                yield number, table, entity, sub, each.value


@pytest.mark.parametrize("topic", INTERNAL)
def test_each_row_is_in_the_partition_of_whose_it_is(topic: Topic) -> None:
    """Of every table of the fold: a table that this history leaves empty is not known to be."""
    owners = owners_of(topic)
    seen: Counter[str] = Counter()
    for number, table, entity, sub, _ in rows_of(topic):
        owner = owners[table](entity, sub)
        seen[table] += 1
        assert owner is None or partition_of(owner, PARTITIONS) == number, (table, entity, sub)
    assert seen.keys() == owners.keys()
    assert {table for table in owners if owners[table]("a", "b") is None} <= {
        "clock",
        "trend_clock",
        LISTS,
    }


@pytest.mark.parametrize("topic", [topic for topic in VIEWS if topic != Topic.VIEW_TRENDING])
def test_each_view_is_in_the_partition_of_whose_it_is(topic: Topic) -> None:
    found = 0
    for number in range(PARTITIONS):
        splitter = splitter_of(topic, split(number))
        for each in town().log.read(topic, number):
            found += 1
            assert splitter._split.part_of(splitter._entity_in(each.key.decode())) % 2 == number
    assert found


def dealt(splitter: Any, topic: str, number: int) -> dict[int, list[tuple[bytes, bytes | None]]]:
    parts: dict[int, list[tuple[bytes, bytes | None]]] = {p: [] for p in split(number).parts}
    for each in town().log.read(topic, number):
        for part, key, value in splitter.copies(each.key, each.value):
            parts[part].append((key, value))
    for part, key, value in splitter.rest():
        parts[part].append((key, value))
    return parts


def state_of(topic: Topic, records: list[tuple[bytes, bytes | None]]) -> State:
    state = State()
    FOLDS[topic](state, Outbox(AFTER))
    state.restore(dict(records), 1, 1)
    return state


@pytest.mark.parametrize("topic", INTERNAL)
def test_the_parts_have_all_rows_of_a_partition(topic: Topic) -> None:
    for number in range(PARTITIONS):
        splitter = RowSplitter(split(number), owners_of(topic))
        changelog = town().log.read(changelog_of(topic), number)
        before = state_of(topic, [(each.key, each.value) for each in changelog])
        parts = dealt(splitter, changelog_of(topic), number)
        after = [state_of(topic, records) for records in parts.values()]
        assert splitter.position == before.position
        assert [each.position for each in after] == [0] * len(after)
        assert all(records[-1][0] == State.POSITION_KEY for records in parts.values())
        sums = Counter[str]()
        for each in after:
            sums.update(each.sizes())
        for table, size in before.sizes().items():
            owner = owners_of(topic)[table]("a", "b")
            if table != LISTS:
                assert sums[table] == (size if owner is not None else len(after) * size), table


@pytest.mark.parametrize("topic", [Topic.BY_POST, Topic.BY_SOURCE])
def test_lists_have_the_size_of_what_stands_in_them(topic: Topic) -> None:
    sizes = 0
    for number in range(PARTITIONS):
        parts = dealt(RowSplitter(split(number), owners_of(topic)), changelog_of(topic), number)
        for records in parts.values():
            standing: Counter[str] = Counter()
            found: dict[str, int] = {}
            for key, value in dict(records).items():
                table, entity, sub = (*key.decode().split("\0", 2), "", "")[:3]
                if table == STANDING and value is not None:
                    standing[list_of(entity)] += 1
                elif table == LISTS and value is not None:
                    found[sub] = msgspec.msgpack.decode(value, type=ListSize).keys
            assert found == standing
            sizes += len(found)
    assert sizes


def test_lists_of_what_is_trending_are_dealt_out() -> None:
    entries = 0
    for number in range(PARTITIONS):
        for each in town().log.read(Topic.VIEW_TRENDING, number):
            view = msgspec.msgpack.decode(each.value, type=TrendingView)
            copies = list(
                splitter_of(Topic.VIEW_TRENDING, split(number)).copies(each.key, each.value)
            )
            parts = [msgspec.msgpack.decode(copy.value, type=TrendingView) for copy in copies]
            assert [part.partition for part in parts] == list(split(number).parts)
            together = [entry for part in parts for entry in part.entries]
            assert sorted(together, key=view.entries.index) == list(view.entries)
            for part in parts:
                assert {partition_of(e.key, AFTER) for e in part.entries} <= {part.partition}
            entries += len(together)
    assert entries


def test_timelines_stay_as_they_are() -> None:
    decode = msgspec.msgpack.Decoder(list[TimelineOp]).decode
    for number in range(PARTITIONS):
        before = [decode(each.value) for each in town().log.read(Topic.TIMELINE_WRITES, number)]
        parts = dealt(WritesSplitter(split(number)), Topic.TIMELINE_WRITES, number)
        after = {part: [decode(value or b"") for _, value in parts[part]] for part in parts}
        for part, records in after.items():
            for operation in chain.from_iterable(records):
                owners = getattr(operation, "owners", None) or [operation.owner]
                assert {partition_of(owner, AFTER) for owner in owners} == {part}
        together = chain.from_iterable(chain.from_iterable(after.values()))
        assert timelines(together) == timelines(chain.from_iterable(before))
        assert before


def test_the_log_is_dealt_out_by_its_keys() -> None:
    """A tick goes to all; what belongs elsewhere, and what is no id, stays."""
    here = next(name for name in map(str, range(99)) if partition_of(name, 2) == 1)
    there = next(name for name in map(str, range(99)) if partition_of(name, 2) == 0)
    splitter = LogSplitter(Split(1, 2, 6))
    assert [copy.partition for copy in splitter.copies(None, b"tick")] == [1, 3, 5]
    assert list(splitter.copies(here.encode(), b"v")) == [
        (partition_of(here, 6), here.encode(), b"v")
    ]
    assert [copy.partition for copy in splitter.copies(there.encode(), b"v")] == [1]
    assert [copy.partition for copy in splitter.copies(b"\xff", b"v")] == [1]


def test_operations_keep_their_order_in_each_part() -> None:
    first, second = (
        [name for name in map(str, range(99)) if partition_of(name, 4) == part][:2]
        for part in (1, 3)
    )
    operations: list[TimelineOp] = [
        PushEntry("p", "u:a", 1, [first[0], second[0], first[1]]),
        RemoveSource(second[0], ["u:a"]),
        PushEntry("q", "u:a", 2, [second[0]]),
    ]
    copies = WritesSplitter(Split(1, 2, 4)).copies(None, msgspec.msgpack.encode(operations))
    found = {c.partition: msgspec.msgpack.decode(c.value, type=list[TimelineOp]) for c in copies}
    assert found == {
        1: [PushEntry("p", "u:a", 1, first)],
        3: [PushEntry("p", "u:a", 1, [second[0]]), *operations[1:]],
    }


def test_a_row_in_another_partition_is_refused() -> None:
    there = next(name for name in map(str, range(99)) if partition_of(name, 2) == 0)
    rows = RowSplitter(Split(1, 2, 4), owners_of(Topic.BY_USER))
    with pytest.raises(MisplacedError, match="HEADRACE_PARTITIONS"):
        rows.copies(f"user\0{there}".encode(), b"\x90")


def test_rows_of_another_version_are_refused() -> None:
    rows = RowSplitter(Split(1, 2, 4), owners_of(Topic.BY_USER))
    with pytest.raises(StateFormatError, match="format 1"):
        rows.copies(State.POSITION_KEY, bytes(8))
    with pytest.raises(StateFormatError, match="a table 'later'"):
        rows.copies(b"later\0a", b"\x90")


# The settings


def test_all_folds_are_split() -> None:
    import topology

    assert {
        topic: topology.app.stages[topic].make_fold for topic in INTERNAL
    }.keys() == FOLDS.keys()
    for topic in INTERNAL:
        made = topology.app.stages[topic].make_fold
        assert getattr(made, "func", made) is FOLDS[topic]
    for topic, stage in topology.app.stages.items():
        if topic not in INTERNAL:
            state = State()
            stage.make_fold(state, Outbox(1))
            assert not state.owners(), "the position is all that goes on with an external topic"


@pytest.mark.parametrize("to", [1, 2, 3, 5, 7, 4_098])
def test_only_multiples_are_taken(to: int) -> None:
    with pytest.raises(MigrationError, match=r"--to 4, 6, 8"):
        plan_for(Settings(HEADRACE_PARTITIONS=2), to)
    assert plan_for(Settings(HEADRACE_PARTITIONS=2, HEADRACE_GENERATION=3), 6) == Plan(3, 2, 6)


PLAN = Plan(1, 2, 4)
OLD = {spec.name: 2 for spec in declared()}
NEW = {name_in(2, name): 4 for name in OF_A_GENERATION}
STAY = [name for name in OLD if name not in OF_A_GENERATION]
DONE = OLD | NEW | dict.fromkeys(STAY, 4)
WITHIN = OLD | NEW | {DOOR: 4, "posts": 4}


@pytest.mark.parametrize(
    ("counts", "stand"),
    [
        (OLD, Stand.NOTHING),
        (OLD | NEW, Stand.NOTHING),
        (OLD | {DOOR: 4}, Stand.CLOSED),
        (WITHIN, Stand.COMMITTED),
        (DONE, Stand.COMMITTED),
    ],
)
def test_a_migration_is_found_where_it_was_left(counts: dict[str, int], stand: Stand) -> None:
    assert stand_of(counts, PLAN) is stand


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        (OLD | {"by-post": 4}, "topic by-post has 4 partitions"),
        ({name: 2 for name in OLD if name != "view.names"}, "view.names has no partitions"),
        (OLD | {"posts": 6}, "--to 6"),
        (OLD | {"posts": 4}, "generation 2 is not whole"),
    ],
)
def test_what_is_not_as_the_settings_say_is_refused(counts: dict[str, int], why: str) -> None:
    with pytest.raises(MigrationError, match=why):
        stand_of(counts, PLAN)


SHRUNK = {name: size for name, size in DONE.items() if name not in OF_A_GENERATION}


@pytest.mark.parametrize(
    ("counts", "partitions", "number", "why"),
    [
        (OLD, 2, 1, ""),
        ({}, 7, 3, ""),
        ({"posts": 2}, 2, 1, ""),  # those that are missing are made
        (OLD, 4, 1, "set HEADRACE_PARTITIONS=2 and HEADRACE_GENERATION=1"),
        (OLD | NEW, 2, 1, ""),
        (OLD | NEW, 4, 2, "set HEADRACE_PARTITIONS=2 and HEADRACE_GENERATION=1"),
        (OLD | {DOOR: 4}, 2, 1, "--to 4` was interrupted"),
        (WITHIN, 4, 2, "--to 4` was interrupted"),
        (DONE, 2, 1, "set HEADRACE_PARTITIONS=4 and HEADRACE_GENERATION=2"),
        (DONE, 4, 1, "set HEADRACE_PARTITIONS=4 and HEADRACE_GENERATION=2"),
    ],
)
def test_workers_refuse_topics_of_another_number(
    counts: dict[str, int], partitions: int, number: int, why: str
) -> None:
    """In a process of a later generation the names are others; see below."""
    config = Settings(HEADRACE_PARTITIONS=partitions, HEADRACE_GENERATION=number)
    if not why:
        check_topics(counts, config)
        return
    with pytest.raises(PartitionCountError, match=why):
        check_topics(counts, config)


def test_a_generation_of_which_nothing_is_there_is_refused() -> None:
    """Whose topics were dropped, or that there never was: it would begin with nothing."""
    for counts, number in ((SHRUNK | NEW, 1), (OLD, 2)):
        size = counts["posts"]
        config = Settings(HEADRACE_PARTITIONS=size, HEADRACE_GENERATION=number)
        with pytest.raises(PartitionCountError, match=f"no topics of generation {number}"):
            check_topics(counts, config)


SCRIPT = """
import json, sys
from connectors.redis_keys import Keys
from schemas import generation
from schemas.topics import OF_A_GENERATION, Topic, declared, in_this_generation
from streams.archive_sink import position_name, timestamp_of, timestamp_of_position
keys = Keys(8)
print(json.dumps({
    "topics": sorted(spec.name for spec in declared()),
    "keys": [keys.feed("ann"), keys.name("ann"), keys.heavy(3), keys.position("view.x", 3)],
    "place": generation.place_of(5),
    "times": [timestamp_of(5, 1), timestamp_of_position(5)],
    "positions": [position_name(Topic.VIEW_POSTS), position_name(Topic.VIEW_RELATIONS)],
    "names": [in_this_generation(n) for n in ("by-post", "by-post.g7", "posts", "strange")],
}))
"""


def said_in(number: str) -> dict[str, Any]:
    environment = {**os.environ, generation.VARIABLE: number}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_names_of_a_later_generation() -> None:
    second = said_in("2")
    assert second["topics"] == sorted(
        name_in(2, spec.name) if spec.name in OF_A_GENERATION else spec.name for spec in declared()
    )
    assert {"by-post.g2", "changelog.by-post.g2", "view.posts.g2", "timeline-writes.g2"} <= set(
        second["topics"]
    )
    keys = Keys(8)
    first = [keys.feed("ann"), keys.name("ann"), keys.heavy(3), keys.position("view.x", 3)]
    assert [key.replace("{p", "{g2p") for key in first] == second["keys"]
    assert second["positions"] == ["view.posts.g2", "view.relations.g2.2"]
    assert second["names"] == ["by-post.g2", "by-post.g2", "posts", "strange"]
    assert second["place"] > generation.place_of(2**36 - 1)
    assert all(later > 2 * 2**50 for later in second["times"])


def test_names_are_read_back() -> None:
    for topic in OF_A_GENERATION:
        for number in (1, 2, 12):
            name = name_in(number, topic)
            assert generation.base_of(name) == topic
            assert generation.generation_of(name) == number
            assert name_in(3, name) == f"{topic}.g3"


@pytest.mark.parametrize(("found", "is_open"), [(2, True), (4, False), (0, True)])
def test_who_comes_back_after_partitions_were_added_ends(found: int, is_open: bool) -> None:
    """Behind its `init_transactions`: who was there before is fenced."""
    calls = []
    producer = mock.Mock()
    producer.init_transactions.side_effect = lambda _: calls.append("fence")
    known = mock.Mock(partitions=dict.fromkeys(range(found)))

    def list_topics(topic: str, _timeout: float) -> Any:
        calls.append(topic)
        return mock.Mock(topics={topic: known})

    producer.list_topics.side_effect = list_topics
    with mock.patch.object(checkpoint, "Producer", return_value=producer):
        if is_open:
            assert checkpoint.transactional_producer("", "app", "posts", 1, 2) is producer
        else:
            with pytest.raises(PartitionCountError, match="partitions were added meanwhile"):
                checkpoint.transactional_producer("", "app", "posts", 1, 2)
    assert calls == ["fence", DOOR]


# What was in the log before is before all that is in the new one


def test_a_follow_of_an_earlier_generation_is_older_than_what_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state, outbox = State(), Outbox(1)
    fold = SourceFold(state, outbox)
    follow = RelationFact("u:ann", "bob", "follow", 1, "e1")
    activity = Activity("u:ann", "u:ann", "p1", 2, "public", (), "ann")
    fold.apply(record(encode_fact(follow), offset=5_000))
    monkeypatch.setattr(generation, "GENERATION", 2)
    fold.apply(record(encode_fact(activity), offset=3))
    (pushed,) = [each for some in outbox.operations for each in some if "bob" in each.owners]
    assert pushed.post_id == "p1"
