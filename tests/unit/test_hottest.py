"""The hottest keys: found out of many, of a batch of any size, and forgotten."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from connectors.records import Record
from schemas.views import FillTimeline, PushEntry, RemoveEntry, TimelineOp
from streams.engine.hottest import (
    COUNTERS,
    HALF_LIFE_S,
    LONGEST,
    LOOKED_AT,
    SHOWN,
    Frequent,
    Hottest,
)
from tests.unit.folds import record


class Clock:
    """A time that is set."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def keyed(*keys: bytes | None) -> list[Record]:
    return [record(b"", key=key) for key in keys]


def shares(hottest: Hottest, what: str = "records") -> dict[str, float]:
    return {each.key: each.share for each in hottest.said()[what]}


def test_nothing_is_hot_at_first() -> None:
    assert Hottest().said() == {"records": [], "deliveries": []}


def test_a_small_batch_is_counted_whole_with_what_has_no_key() -> None:
    hottest = Hottest()
    hottest.note_records(keyed(b"a", b"b", b"a", None), 0, 4)
    assert shares(hottest) == {"a": 0.5, "b": 0.25}


def test_of_a_part_of_a_batch_that_part_counts() -> None:
    hottest = Hottest()
    hottest.note_records(keyed(b"a", b"b", b"c", b"d"), 1, 3)
    assert shares(hottest) == {"b": 0.5, "c": 0.5}
    hottest.note_records(keyed(b"a"), 1, 1)
    assert shares(hottest) == {"b": 0.5, "c": 0.5}


def test_the_entity_of_a_key_in_parts_counts_and_no_more_of_it_than_an_id_has() -> None:
    hottest = Hottest()
    hottest.note_records(keyed(b"ann\0p1", b"ann\0p2", b"x" * 300, b"\xff"), 0, 4)
    assert shares(hottest) == {"ann": 0.5, "x" * LONGEST: 0.25, "\\xff": 0.25}


class Counted(list[Record]):
    """Records that count how many of them are looked at."""

    looked_at = 0

    def __getitem__(self, index: slice) -> list[Record]:  # type: ignore[override]
        found = super().__getitem__(index)
        self.looked_at += len(found)
        return found


def test_of_a_large_batch_few_are_looked_at_and_the_shares_are_right() -> None:
    random = Random(2)
    keys = [random.choices([b"hot", b"warm", b"x"], [30, 10, 60])[0] for _ in range(50_000)]
    records = Counted(keyed(*(key if key != b"x" else b"k%d" % n for n, key in enumerate(keys))))
    hottest = Hottest(seed=1)
    for start in range(0, len(records), 500):
        hottest.note_records(records, start, start + 500)
    assert records.looked_at <= 100 * LOOKED_AT
    found = shares(hottest)
    assert list(found)[:2] == ["hot", "warm"]
    assert found["hot"] == pytest.approx(0.3, abs=0.03)
    assert found["warm"] == pytest.approx(0.1, abs=0.03)
    assert all(share < 0.01 for key, share in found.items() if key.startswith("k"))


def test_counters_are_bounded_and_a_count_is_little_too_low() -> None:
    random, frequent, exact = Random(3), Frequent(Clock()), Counter[bytes]()
    for _ in range(2_000):
        keys = [b"%d" % int(random.paretovariate(0.7)) for _ in range(LOOKED_AT)]
        frequent.add([(key, 1) for key in keys], len(keys))
        exact.update(keys)
        assert len(frequent._counts) <= 2 * COUNTERS
    for key, count in frequent._counts.items():
        assert exact[key] - exact.total() / COUNTERS <= count <= exact[key]
    ten = [name for name, _ in exact.most_common(SHOWN)]
    assert [each.key.encode() for each in frequent.top(SHOWN)] == ten


def test_what_was_hot_fades() -> None:
    clock = Clock()
    frequent = Frequent(clock)
    frequent.add([(b"old", 1_000)], 1_000)
    clock.now += HALF_LIFE_S
    frequent.add([(b"new", 1_000)], 1_000)
    assert [(each.key, each.share) for each in frequent.top(9)] == [
        ("new", 0.6667),
        ("old", 0.3333),
    ]
    clock.now += 20 * HALF_LIFE_S
    assert frequent.top(9) == []


def test_a_steady_rate_is_told_from_the_beginning_on() -> None:
    clock = Clock()
    frequent = Frequent(clock)
    for _ in range(60):
        clock.now += 1
        frequent.add([(b"a", 20)], 20)
    assert frequent.top(1)[0].per_s == pytest.approx(20, rel=0.02)
    for _ in range(1_000):
        clock.now += 1
        frequent.add([(b"a", 20)], 20)
    assert frequent.top(1)[0].per_s == pytest.approx(20, rel=0.02)


def test_a_source_costs_its_deliveries() -> None:
    operations: list[list[TimelineOp]] = [
        [PushEntry("p1", "u:ann", 1, ["x", "y", "z"]), PushEntry("p1", "s:bob", 1, ["x"])],
        [RemoveEntry("p2", "t:rust", 1, ["x"]), RemoveEntry("p3", "u:bob", 1, ["x", "y", "z"])],
        [FillTimeline("cat", [("p1", "u:ann", 1)] * 20)],
    ]
    hottest = Hottest()
    hottest.note_deliveries(operations)
    assert shares(hottest, "deliveries") == {"u:bob": 0.5, "u:ann": 0.375, "t:rust": 0.125}
    assert shares(hottest) == {}


def test_of_many_deliveries_the_shares_are_right() -> None:
    hottest, random = Hottest(seed=4), Random(5)
    for _ in range(100):
        many: list[TimelineOp] = [PushEntry("p", f"u:{n}", 1, ["x"]) for n in range(400)]
        many += [PushEntry("p", "u:star", 1, ["x"] * 10) for _ in range(40)]
        random.shuffle(many)
        hottest.note_deliveries([many])
    assert shares(hottest, "deliveries")["u:star"] == pytest.approx(0.5, abs=0.06)
