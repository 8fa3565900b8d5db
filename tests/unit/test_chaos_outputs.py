"""What the folds put out is judged record by record: one that is lost or twice is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import msgspec
import pytest

from connectors.sources import follow_events, generate_activity, generate_network
from headrace.chaos import outputs
from headrace.chaos.outputs import judge
from schemas.codec import encode
from schemas.events import Follow
from schemas.topics import Topic
from streams import fan_out
from streams.facts import Tick, encode_fact
from tests.property.pipeline import PARTITIONS, STAGES, TOPIC_OF, Pipeline
from tests.unit.folds import NOW

Records = list[Any]
SEED = 5
EVENTS = 400


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    """A pipeline that has folded the events of a small crowd, in batches, with crashes."""
    pipeline = Pipeline()
    pairs = generate_network(12, SEED)
    events = [
        *follow_events(pairs, NOW - 60_000, prefix="f"),
        *generate_activity(pairs, EVENTS, SEED, NOW),
        *(
            Follow(
                event_id=f"x{n}", action="unfollow", user_id=user_id, target=f"u:{other}", at=NOW
            )
            for n, (user_id, other) in enumerate(pairs)
        ),
    ]
    for place, event in enumerate(events):
        pipeline.log.append(TOPIC_OF[type(event)], place % PARTITIONS, encode(event))
    for topic in (Topic.BY_POST, Topic.BY_USER, Topic.BY_SOURCE):
        pipeline.log.append(topic, 0, b"\xc1neither an event nor a fact")
        pipeline.log.append(topic, 1, encode_fact(Tick(NOW)))
    for number, topic in enumerate(TOPIC_OF.values()):
        pipeline.run(topic, 0, 20, dies=("before", "after")[number % 2])
    with mock.patch.object(fan_out, "DELIVERIES_AT_ONCE", 0):  # so that some leave meanwhile
        pipeline.drain()
    return pipeline


@pytest.fixture
def judged(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Topic, Callable[[Records], None]], outputs.Outputs]:
    """What is found when a topic's records were changed."""

    def judged(changed: Topic, change: Callable[[Records], None]) -> outputs.Outputs:
        def read(_brokers: str, topics: tuple[Topic, ...]) -> Any:
            for topic in topics:
                records = list(pipeline.log.all_of(topic))
                if topic == changed:
                    change(records)
                for each in records:
                    yield each.topic, each.partition, each.offset, each.timestamp, each.value

        monkeypatch.setattr(outputs, "read_topics", read)
        monkeypatch.setitem(outputs.FOLDS, Topic.BY_SOURCE, STAGES[Topic.BY_SOURCE])
        return judge("", PARTITIONS)

    return judged


def last(records: Records, kind: str) -> int:
    """The place of the last record of which a fact or operation has this tag."""
    return max(
        place
        for place, record in enumerate(records)
        if record.value[0] not in (0, 0xC1) and kind in str(msgspec.msgpack.decode(record.value))
    )


def test_all_is_there(judged: Any) -> None:
    found = judged(Topic.BY_POST, lambda _: None)
    assert found.implied > EVENTS / 2
    assert (found.missing, found.surplus, found.wrong) == (0, 0, [])


@pytest.mark.parametrize(
    ("topic", "kind"),
    [
        pytest.param(Topic.BY_USER, "affinity", id="a fact of PostFold"),
        pytest.param(Topic.BY_SOURCE, "relation", id="a fact of UserFold"),
        pytest.param(Topic.TIMELINE_WRITES, "push", id="operations of SourceFold"),
    ],
)
def test_what_is_lost_or_twice_is_found(judged: Any, topic: Topic, kind: str) -> None:
    def lose(records: Records) -> None:
        del records[last(records, kind)]

    def double(records: Records) -> None:
        records.append(records[last(records, kind)])

    lost, doubled = judged(topic, lose), judged(topic, double)
    assert lost.missing > 0
    assert lost.wrong[0] == f"{lost.missing:,} outputs missing"
    assert doubled.surplus > 0
    assert doubled.wrong[-1] == f"{doubled.surplus:,} outputs too many"


def test_what_stands_in_another_partition_is_found(judged: Any) -> None:
    def move(records: Records) -> None:
        place = last(records, "push")
        records[place] = replace(records[place], partition=1 - records[place].partition)

    found = judged(Topic.TIMELINE_WRITES, move)
    assert found.missing == found.surplus > 0
