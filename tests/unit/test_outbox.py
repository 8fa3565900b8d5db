"""The outbox: order, absolute views, and timeline operations in few records."""

from __future__ import annotations

import msgspec
import pytest

from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import (
    FillTimeline,
    PushEntry,
    RemoveEntry,
    RemoveSource,
    SourceView,
    TimelineOp,
)
from streams.engine.outbox import MAX_OPERATIONS_PER_RECORD, MAX_RECORD_BYTES, Outbox, Output
from streams.facts import Tick, encode_fact

PARTITIONS = 3
USERS = [f"user{n}" for n in range(30)]


def _records(outbox: Outbox) -> list[tuple[int, list[TimelineOp]]]:
    decode = msgspec.msgpack.Decoder(list[TimelineOp]).decode
    return [
        (output.partition, decode(output.value or b""))
        for output in outbox.outputs()
        if output.topic == Topic.TIMELINE_WRITES
    ]


def test_what_is_routed_keeps_its_order_and_bytes() -> None:
    outbox = Outbox(PARTITIONS)
    outbox.route(Topic.BY_POST, "p", b"one", (("tags", b"t"),))
    outbox.tell(Topic.BY_USER, "bob", Tick(1))
    outbox.route(Topic.BY_POST, "p", b"two")
    letter = Output(Topic.DEAD_LETTERS, 2, None, b"x")
    outbox.add(letter)
    place = partition_of("p", PARTITIONS)
    assert list(outbox.outputs()) == [
        Output(Topic.BY_POST, place, b"p", b"one", (("tags", b"t"),)),
        Output(Topic.BY_USER, partition_of("bob", PARTITIONS), b"bob", encode_fact(Tick(1))),
        Output(Topic.BY_POST, place, b"p", b"two"),
        letter,
    ]
    assert outbox.deliveries == 0


def test_only_the_last_value_of_a_view_is_written() -> None:
    outbox = Outbox(PARTITIONS)
    outbox.show(Topic.VIEW_SOURCES, "a", "a", SourceView("a", 1))
    outbox.show(Topic.VIEW_SOURCES, "b", "b", SourceView("b", 1))
    outbox.show(Topic.VIEW_SOURCES, "a", "a", SourceView("a", 2))
    outbox.show(Topic.VIEW_USERS, "a", "a", SourceView("a", 3))
    shown = {
        (output.topic, output.key): (
            output.partition,
            msgspec.msgpack.decode(output.value or b"", type=SourceView).followers,
        )
        for output in outbox.outputs()
    }
    assert shown == {
        (Topic.VIEW_SOURCES, b"a"): (partition_of("a", PARTITIONS), 2),
        (Topic.VIEW_SOURCES, b"b"): (partition_of("b", PARTITIONS), 1),
        (Topic.VIEW_USERS, b"a"): (partition_of("a", PARTITIONS), 3),
    }
    assert len(list(outbox.outputs())) == 3


def test_a_view_lives_in_its_owners_partition() -> None:
    outbox = Outbox(PARTITIONS)
    owner = next(user for user in USERS if partition_of(user, PARTITIONS) == 2)
    outbox.show(Topic.VIEW_MINE, owner, f"{owner}\0p", SourceView("x", 1))
    (output,) = outbox.outputs()
    assert (output.partition, output.key) == (2, f"{owner}\0p".encode())


@pytest.mark.parametrize("kind", [PushEntry, RemoveEntry])
def test_an_entry_is_one_operation_per_partition(kind: type[PushEntry | RemoveEntry]) -> None:
    outbox = Outbox(PARTITIONS)
    write = outbox.push if kind is PushEntry else outbox.remove
    write("p", "u:a", 7, USERS)
    assert outbox.deliveries == len(USERS)
    records = _records(outbox)
    assert len(records) == PARTITIONS
    for partition, operations in records:
        there = [user for user in USERS if partition_of(user, PARTITIONS) == partition]
        assert operations == [kind("p", "u:a", 7, there)]


def test_operations_of_a_timeline_keep_their_order() -> None:
    outbox = Outbox(PARTITIONS)
    outbox.push("p", "u:a", 1, ["bob"])
    outbox.remove_source("bob", ["u:a", "s:a"])
    outbox.fill("bob", [("q", "u:b", 2), ("r", "u:b", 3)])
    outbox.remove("q", "u:b", 2, ["bob"])
    assert _records(outbox) == [
        (
            partition_of("bob", PARTITIONS),
            [
                PushEntry("p", "u:a", 1, ["bob"]),
                RemoveSource("bob", ["u:a", "s:a"]),
                FillTimeline("bob", [("q", "u:b", 2), ("r", "u:b", 3)]),
                RemoveEntry("q", "u:b", 2, ["bob"]),
            ],
        )
    ]
    assert outbox.deliveries == 1 + 1 + 2 + 1


def test_nobody_is_no_operation() -> None:
    outbox = Outbox(PARTITIONS)
    outbox.push("p", "u:a", 1, [])
    outbox.remove("p", "u:a", 1, [])
    assert list(outbox.outputs()) == []
    assert outbox.deliveries == 0


def _filled(kind: str, letters: int) -> Outbox:
    """An outbox of one partition with a great deal for it."""
    outbox = Outbox(1)
    user = "x" * letters
    match kind:
        case "one push to many":
            outbox.push("p", "u:a", 1, [f"{user}{n}" for n in range(25_000)])
        case "many pushes to one":
            for n in range(12_000):
                outbox.push(f"p{n}", "u:a", 1, [user])
        case "many removals of sources":
            for n in range(12_000):
                outbox.remove_source(f"{user}{n}", ["u:a", "s:a"])
        case "many fillings":
            for n in range(1_000):
                outbox.fill(f"{user}{n}", [(f"p{k}", "u:a", k) for k in range(20)])
    return outbox


def _singles(operations: list[TimelineOp]) -> int:
    total = 0
    for operation in operations:
        match operation:
            case PushEntry(owners=owners) | RemoveEntry(owners=owners):
                total += len(owners)
            case FillTimeline(entries=entries):
                total += len(entries)
            case RemoveSource():
                total += 1
    return total


@pytest.mark.parametrize("letters", [1, 250], ids=["short ids", "long ids"])
@pytest.mark.parametrize(
    "kind",
    ["one push to many", "many pushes to one", "many removals of sources", "many fillings"],
)
def test_records_are_bounded(kind: str, letters: int) -> None:
    outbox = _filled(kind, letters)
    total = outbox.deliveries
    outputs = list(outbox.outputs())
    records = [operations for _, operations in _records(outbox)]
    assert len(records) > 1
    assert sum(map(_singles, records)) == total
    assert all(_singles(operations) <= MAX_OPERATIONS_PER_RECORD for operations in records)
    assert all(len(output.value or b"") <= MAX_RECORD_BYTES for output in outputs)


def test_little_is_one_record() -> None:
    outbox = Outbox(1)
    for n in range(500):
        outbox.push(f"p{n}", "u:a", n, ["bob", "cy"])
    assert len(_records(outbox)) == 1


def test_a_cleared_outbox_is_empty() -> None:
    outbox = Outbox(PARTITIONS)
    outbox.route(Topic.BY_POST, "p", b"one")
    outbox.show(Topic.VIEW_SOURCES, "a", "a", SourceView("a", 1))
    outbox.push("p", "u:a", 1, ["bob"])
    outbox.clear()
    assert list(outbox.outputs()) == []
    assert outbox.deliveries == 0
