"""The benchmark's events, fold and judgement."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from typing import Any, NamedTuple
from unittest import mock

import msgspec
import pytest

from bench.core import CoreReport
from bench.counts import PlainCounts, ViewCounts, wrong
from bench.engagements import PARTITIONS, Tally, engagements, last_posts
from bench.figures import Figures, Machine, Target, measured
from bench.latency import PROBE_EVERY_S, Probes
from bench.likes import LikeFold
from bench.load import AHEAD, Ahead
from bench.workers import patience_s
from connectors.lag import Lag, LagReader
from headrace.commands.bench import SMOKE_EVENTS
from schemas.codec import encode
from schemas.partitioning import partition_of
from schemas.views import CountersView
from streams.engine.outbox import Outbox
from streams.engine.state import State
from tests.unit.folds import record

EVENTS = 5_000


class Stored(NamedTuple):
    """A Redis that holds these values."""

    values: dict[str, bytes]

    def mget(self, keys: list[str]) -> list[bytes | None]:
        return [self.values.get(key) for key in keys]


def tally(events: Any) -> dict[str, int]:
    found = Tally()
    for event in events:
        found.add(event)
    return found.likes()


def test_events_are_as_described() -> None:
    events = list(engagements(EVENTS))
    assert len(events) == EVENTS
    assert events == list(engagements(EVENTS))
    assert events != list(engagements(EVENTS, seed=2))
    actions = Counter(event.action for event in events)
    assert actions["unlike"] / EVENTS == pytest.approx(0.06, abs=0.01)
    repeated = EVENTS - len({event.event_id for event in events})
    assert repeated / EVENTS == pytest.approx(0.03, abs=0.01)
    popular = Counter(event.post_id for event in events).most_common(1)[0][1]
    assert popular > 10 * EVENTS / len({event.post_id for event in events})


def test_the_last_event_of_each_partition_is_the_only_one_of_its_post() -> None:
    last = {}
    for event in engagements(EVENTS):
        assert event.post_id is not None
        last[partition_of(event.post_id, PARTITIONS)] = event.post_id
    assert [last[partition] for partition in range(PARTITIONS)] == last_posts()
    posts = Counter(event.post_id for event in engagements(EVENTS))
    assert {posts[post_id] for post_id in last_posts()} == {1}


def test_the_tally_counts_a_like_once_and_the_newest_wins() -> None:
    like, *_ = engagements(EVENTS)
    post_id = like.post_id
    assert post_id is not None
    later = type(like)(
        event_id="e9", action="unlike", user_id=like.user_id, post_id=post_id, at=like.at + 1
    )
    assert tally([like, like]) == {post_id: 1}
    assert tally([like, later]) == tally([later, like]) == {post_id: 0}


def test_the_fold_counts_as_the_tally() -> None:
    state, outbox = State(), Outbox(PARTITIONS)
    fold = LikeFold(state, outbox)
    events = list(engagements(EVENTS))
    for event in events:
        fold.apply(record(encode(event)))
    counts = ViewCounts()
    shown = {
        output.key.decode(): counts.likes(output.value)
        for output in outbox.outputs()
        if output.key is not None and output.value is not None
    }
    likes = tally(events)
    assert {post_id: shown.get(post_id, 0) for post_id in likes} == likes


def test_wrong_counts_are_counted() -> None:
    likes = {"a": 2, "b": 0, "c": 1, "d": 3}
    plain = Stored({"likes:a": b"2", "likes:c": b"2"})
    assert wrong(plain, PlainCounts(), likes) == 2  # type: ignore[arg-type]
    views = ViewCounts()
    view = CountersView("a", {"like": 2})
    stored = Stored({views.key("a"): msgspec.msgpack.encode(view)})
    assert wrong(stored, views, {"a": 2}) == 0  # type: ignore[arg-type]
    assert wrong(stored, views, {"a": 3}) == 1  # type: ignore[arg-type]


def test_no_more_than_allowed_waits_for_the_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.load._LOOK_EVERY_S", 0.0)
    lags = iter([AHEAD, AHEAD + 5, AHEAD - 2, AHEAD, AHEAD - 1])
    reader = mock.Mock(spec=LagReader)
    reader.read.side_effect = lambda: Lag({("fold", "events", 0): next(lags)})
    pace = Ahead(reader)
    assert not any(pace.wait() for _ in range(AHEAD)), "so many may go at once"
    assert pace.wait(), "then it looks until there is room again"
    assert not pace.wait()
    assert reader.read.call_count == 3, "as much as there was room for"
    assert pace.wait()
    assert next(lags, None) is None


def test_a_smoke_run_gives_up_before_its_test_does() -> None:
    assert patience_s(SMOKE_EVENTS) < 150
    assert patience_s(1_000_000) == 600


def report(**systems: Figures) -> CoreReport:
    found = CoreReport(machine=Machine(2, "", ""), events=1_000, limits={}, systems=systems)
    found.compare()
    return found


def test_ratios_and_targets() -> None:
    mine = measured(1_000, 0.0, 1.0, {"fold": 0.006, "sink": 0.002})
    assert (mine.cpu_seconds, mine.records_per_cpu_s) == (0.008, 125_000)
    found = report(
        headrace=mine,
        stock=measured(100, 0.0, 2.0, {"stock": 2.0}),
        kafka_streams=measured(1_000, 0.0, 0.5, {"kafka_streams": 0.01}),
    )
    assert found.ratio_to_stock == 20
    assert found.ratio_to_stock_per_cpu == 2_500
    assert found.ratio_to_kafka_streams == 0.5
    assert found.ratio_to_kafka_streams_per_cpu == 1.25
    assert [target.verdict for target in found.targets()] == [
        "MISS",
        "PASS",
        "not measured",
        "not measured",
        "PASS",
    ]
    assert not found.is_void


def test_a_void_figure_has_no_ratio() -> None:
    void = Figures(events=1_000, load=0.0, void="3 of 9 counts are wrong")
    found = report(headrace=void, stock=measured(100, 0.0, 2.0, {"stock": 2.0}))
    assert found.ratio_to_stock is None
    assert found.is_void


def test_a_target_that_is_met_exactly_passes() -> None:
    assert Target("ratio_to_stock", 25, 25.0).verdict == "PASS"
    assert Target("ratio_to_stock", 25, 24.999).verdict == "MISS"
    assert Target("p50_ms", 150, 150.0, is_most=True).verdict == "PASS"
    assert Target("p50_ms", 150, 150.1, is_most=True).verdict == "MISS"


def test_a_probe_that_is_late_is_sent_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who leaves out what was due while nothing moved, leaves out the slowest."""
    due: list[float] = []

    def send(probes: Probes, at: float) -> None:
        probes.sent += 1
        due.append(at)
        if len(due) == 1:
            time.sleep(5 * PROBE_EVERY_S)

    monkeypatch.setattr(Probes, "_send", send)
    with closing(Probes("127.0.0.1:1", "redis://127.0.0.1:1")) as probes:
        probes.run(4 * PROBE_EVERY_S)
    assert len(due) == 4
