"""Slots: how fetches become batches, and what is fetched next."""

from __future__ import annotations

from unittest import mock

import pytest
from faust.types import TP

from connectors import slots
from connectors.records import Record
from connectors.slots import Slot, due, wanted
from tests.unit.folds import record


def _fetch(start: int, count: int, size: int = 10) -> list[Record]:
    return [record(b"x" * size, offset=start + n, key=b"k") for n in range(count)]


def _slot(*counts: int, size: int = 10) -> Slot:
    slot = Slot(0)
    start = 0
    for count in counts:
        slot.add(_fetch(start, count, size))
        start += count
    return slot


@pytest.mark.parametrize(
    ("fetches", "batches"),
    [
        pytest.param([3], [3], id="a fetch is a batch"),
        pytest.param([3, 4], [7], id="fetches that wait are one batch"),
        pytest.param([6, 4], [10], id="up to the limit"),
        pytest.param([6, 5], [6, 5], id="never cut a fetch"),
        pytest.param([25, 1], [25, 1], id="a fetch above the limit goes alone"),
        pytest.param([1, 25], [1, 25], id="and does not join what is before it"),
        pytest.param([4, 4, 4, 4, 4], [8, 8, 4], id="many"),
    ],
)
def test_batches(monkeypatch: pytest.MonkeyPatch, fetches: list[int], batches: list[int]) -> None:
    monkeypatch.setattr(slots, "BATCH_RECORDS", 10)
    slot = _slot(*fetches)
    taken = []
    while not slot.is_idle:
        taken.append(slot.take())
        slot.land(None)
    assert [len(records) for records in taken] == batches
    offsets = [each.offset for records in taken for each in records]
    assert offsets == list(range(sum(fetches)))


def test_a_slot_is_full_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "PENDING_BYTES", 1_000)
    slot = _slot(9, size=100)
    assert not slot.is_full
    slot.add(_fetch(9, 1, 100))
    assert slot.is_full
    slot.take()
    assert not slot.is_full


def test_the_bytes_of_what_waits_stay_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "PENDING_BYTES", 1_000)
    monkeypatch.setattr(slots, "BATCH_RECORDS", 5)
    slot = _slot(5, 10, size=100)
    slot.take()
    slot.land(5)
    assert slot.is_full
    slot.clear()
    assert not slot.is_full
    assert slot.is_idle


def test_a_slot_in_flight_is_not_idle() -> None:
    slot = Slot(0)
    assert slot.is_idle
    slot.add(_fetch(0, 1))
    slot.take()
    assert not slot.is_idle
    slot.land(1)
    assert slot.is_idle
    assert slot.position == 1


# What is delivered next


def _waiting(*since: float | None) -> dict[TP, Slot]:
    """Slots whose oldest records came then; None holds nothing."""
    held = {}
    for n, moment in enumerate(since):
        held[TP("posts", n)] = slot = Slot(0)
        if moment is not None:
            with mock.patch.object(slots.time, "monotonic", return_value=moment):
                slot.add(_fetch(0, 1))
    return held


def _deliver(held: dict[TP, Slot], now: float, *, rests: bool = False) -> list[int]:
    """Take what is due; the partitions, in order."""
    taken = []
    with mock.patch.object(slots.time, "monotonic", return_value=now):
        while tp := due(held, 2, rests=rests):
            held[tp].take()
            taken.append(tp.partition)
    return taken


def test_who_waits_longest_comes_first() -> None:
    held = _waiting(5.0, None, 3.0, 4.0)
    held[TP("posts", 0)].add(_fetch(1, 1))
    assert _deliver(held, 6.0) == [2, 3]
    assert _deliver(held, 6.1) == [], "two are in flight"
    held[TP("posts", 3)].add(_fetch(1, 1))
    held[TP("posts", 3)].land(1)
    assert _deliver(held, 6.2) == [0], "it came before what its neighbour has got since"


def test_work_comes_when_its_time_has_come_or_nothing_else_waits() -> None:
    held = _waiting(None, 5.0, 5.2)
    held[TP("posts", 0)].has_work = True
    held[TP("posts", 0)].taken_at = 5.0
    assert not held[TP("posts", 0)].is_idle
    assert _deliver(held, 6.0, rests=True) == [1, 2]
    assert _deliver(held, 7.0, rests=True) == [], "it rests"
    assert _deliver(held, 7.0) == [0]
    held = _waiting(None, 5.0, 5.2)
    held[TP("posts", 0)].has_work = True
    held[TP("posts", 0)].taken_at = 5.0
    assert _deliver(held, 6.0) == [1, 0]
    assert held[TP("posts", 0)].in_flight


def test_work_comes_with_the_records_of_its_partition_while_it_rests() -> None:
    held = _waiting(5.0)
    held[TP("posts", 0)].has_work = True
    assert _deliver(held, 6.0, rests=True) == [0]
    held[TP("posts", 0)].land(1)
    assert _deliver(held, 6.0, rests=True) == []


def test_who_has_work_and_no_records_is_fetched_when_all_is_full() -> None:
    held = _waiting(None, 5.0)
    held[TP("posts", 0)].has_work = True
    with mock.patch.object(slots, "TOTAL_BYTES", 1):
        assert wanted(held) == {TP("posts", 0)}


def test_the_next_batch_of_who_lingers_grows_until_its_time_has_come_or_it_is_large() -> None:
    place = TP("posts", 0)
    held = {place: Slot(0, linger_seconds=1.0)}
    slot = held[place]
    with mock.patch.object(slots.time, "monotonic", return_value=5.0):
        slot.add(_fetch(0, 1))
    assert _deliver(held, 5.0) == [0], "the first waits for nothing"
    slot.land(1)
    slot.add(_fetch(1, 1))
    assert _deliver(held, 5.9) == []
    slot.add(_fetch(2, 1))
    assert _deliver(held, 6.0) == [0]
    slot.land(3)
    slot.add(_fetch(3, 1, slots.LINGER_BYTES))
    assert _deliver(held, 6.1) == [0]


def test_what_is_slow_does_not_count() -> None:
    held = _waiting(1.0, 2.0, 3.0, 4.0, 5.0)
    assert _deliver(held, 6.0) == [0, 1]
    held[TP("posts", 0)].add(_fetch(1, 1))
    assert _deliver(held, 6.0 + slots.SLOW_SECONDS + 0.01) == [2, 3], "one batch of each at most"
    held[TP("posts", 2)].land(1)
    assert _deliver(held, 6.4) == [4]
    assert _deliver(held, 9.0) == []


# What is fetched next


def _holding(*counts: int) -> dict[TP, Slot]:
    """Slots that hold so many records of 100 bytes each."""
    return {
        TP("posts", n): _slot(*[count] * (count > 0), size=99) for n, count in enumerate(counts)
    }


def _wanted(held: dict[TP, Slot]) -> set[int]:
    return {tp.partition for tp in wanted(held)}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 bytes a slot, 2,500 in all."""
    monkeypatch.setattr(slots, "PENDING_BYTES", 1_000)
    monkeypatch.setattr(slots, "TOTAL_BYTES", 2_500)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("held", "fetched"),
    [
        pytest.param([0, 0, 0], {0, 1, 2}, id="all when nothing is held"),
        pytest.param([10, 0, 9], {1, 2}, id="not what is full"),
        pytest.param([10, 10, 0], {2}, id="others being full starves nobody"),
        pytest.param([9, 9, 7, 0, 0], {3, 4}, id="at the total only who holds nothing"),
        pytest.param([9, 9, 6, 0, 0], {0, 1, 2, 3, 4}, id="below the total all"),
        pytest.param([9, 9, 9], set(), id="none while all hold too much"),
    ],
)
def test_what_is_fetched(held: list[int], fetched: set[int]) -> None:
    assert _wanted(_holding(*held)) == fetched


@pytest.mark.usefixtures("small")
def test_what_is_in_flight_counts_in_the_total_but_fills_no_slot() -> None:
    held = _holding(20, 4, 0)
    first = held[TP("posts", 0)]
    assert _wanted(held) == {1, 2}
    first.take()
    assert _wanted(held) == {0, 1, 2}, "what waits next may be fetched while a batch is in flight"
    held[TP("posts", 1)].add(_fetch(4, 1, 99))
    assert _wanted(held) == {2}
    first.land(20)
    assert _wanted(held) == {0, 1, 2}


@pytest.mark.usefixtures("small")
def test_no_slot_starves_whatever_the_others_hold() -> None:
    """Fetches bring what they find; a partition that holds nothing is in every one of them."""
    held = _holding(*[0] * 20)
    for _ in range(50):
        to_fetch = wanted(held)
        assert {tp for tp, slot in held.items() if slot.is_idle} <= to_fetch
        for tp in sorted(to_fetch)[:7]:
            held[tp].add(_fetch(0, 5, 99))
    assert all(slot.held_bytes for slot in held.values())
    assert sum(slot.held_bytes for slot in held.values()) <= 20 * 500


def test_a_batch_that_was_given_up_moves_nothing() -> None:
    slot = _slot(3)
    slot.take()
    slot.land(None)
    assert slot.position == 0
    assert slot.is_idle
    assert slot.held_bytes == 0


def test_a_partition_has_caught_up_with_what_its_log_held_when_it_was_opened() -> None:
    assert Slot(7, 7).has_caught_up, "a log without records"
    slot = Slot(7, 9)
    slot.add(_fetch(7, 1))
    slot.take()
    slot.move(8)
    slot.land(8)
    assert not slot.has_caught_up
    slot.reached = 9  # a commit marker
    assert slot.has_caught_up
