"""The state of a partition: what a batch sees, what it changes, and what is restored."""

from __future__ import annotations

import pytest
from msgspec import Struct

from schemas.formats import FORMAT
from streams.engine.state import State, StateFormatError
from tests.unit.folds import NOW


class Row(Struct, frozen=True, array_like=True):
    """A row of these tests."""

    n: int = 0


class Pair:
    """A state with both kinds of tables."""

    def __init__(self) -> None:
        self.state = State()
        self.table = self.state.table("one", Row)
        self.group = self.state.group_table("many", Row)

    def scanned(self, entity: str = "e") -> dict[str, int]:
        return {sub: row.n for sub, row in self.group.scan(entity)}


def test_a_batch_reads_its_own_changes() -> None:
    pair = Pair()
    assert pair.table.get("e") is pair.group.get("e", "s") is None
    pair.table.put("e", Row(1))
    pair.group.put("e", "s", Row(2))
    assert (pair.table.get("e"), pair.group.get("e", "s")) == (Row(1), Row(2))
    pair.table.delete("e")
    pair.group.delete("e", "s")
    assert pair.table.get("e") is pair.group.get("e", "s") is None


def test_a_rollback_forgets_the_batch_alone() -> None:
    pair = Pair()
    pair.table.put("e", Row(1))
    pair.group.put("e", "s", Row(1))
    pair.state.commit(5, 100 + 5)
    pair.table.put("e", Row(2))
    pair.group.put("e", "s", Row(2))
    pair.group.delete("e", "t")
    pair.state.rollback()
    assert (pair.table.get("e"), pair.group.get("e", "s")) == (Row(1), Row(1))
    assert list(pair.state.changes()) == []
    assert pair.state.position == 5


def test_a_commit_makes_the_changes_the_state() -> None:
    pair = Pair()
    for n in range(3):
        pair.table.put(f"e{n}", Row(n))
        pair.group.put("e", f"s{n}", Row(n))
    pair.state.commit(1, 100 + 1)
    pair.table.delete("e0")
    pair.group.delete("e", "s0")
    pair.group.put("e", "s1", Row(9))
    pair.state.commit(2, 100 + 2)
    assert [pair.table.get(f"e{n}") for n in range(3)] == [None, Row(1), Row(2)]
    assert pair.scanned() == {"s1": 9, "s2": 2}
    assert pair.state.sizes() == {"one": 2, "many": 2}
    assert pair.state.position == 2
    assert list(pair.state.changes()) == []


@pytest.mark.parametrize(
    ("committed", "changed", "scanned"),
    [
        pytest.param({}, {}, {}, id="nothing"),
        pytest.param({"a": 1}, {}, {"a": 1}, id="committed"),
        pytest.param({}, {"a": 1}, {"a": 1}, id="new in this batch"),
        pytest.param({"a": 1, "b": 2}, {"a": 9}, {"a": 9, "b": 2}, id="changed in this batch"),
        pytest.param({"a": 1, "b": 2}, {"a": None}, {"b": 2}, id="removed in this batch"),
        pytest.param({}, {"a": None}, {}, id="removed without having been there"),
    ],
)
def test_a_scan_sees_what_the_batch_sees(
    committed: dict[str, int], changed: dict[str, int | None], scanned: dict[str, int]
) -> None:
    pair = Pair()
    pair.group.put("f", "z", Row(7))
    for sub, n in committed.items():
        pair.group.put("e", sub, Row(n))
    pair.state.commit(1, 100 + 1)
    for sub, new in changed.items():
        if new is None:
            pair.group.delete("e", sub)
        else:
            pair.group.put("e", sub, Row(new))
    assert pair.scanned() == scanned
    pair.state.commit(2, 100 + 2)
    assert pair.scanned() == scanned
    assert pair.scanned("f") == {"z": 7}


@pytest.mark.parametrize("row", [Row(9), None])
def test_a_page_sees_what_was_committed_since_the_one_before(row: Row | None) -> None:
    pair = Pair()
    for sub in "abde":
        pair.group.put("e", sub, Row())
    pair.state.commit(1, 1)
    assert [sub for sub, _ in pair.group.page("e", "", 2)] == ["a", "b"]
    pair.group.put("e", "c", Row(1))
    if row is None:
        pair.group.delete("e", "d")
    else:
        pair.group.put("e", "d", row)
    rest = [("c", Row(1)), ("d", row), ("e", Row())]
    expected = [each for each in rest if each[1] is not None]
    pair.state.commit(2, 2)
    assert pair.group.page("e", "b", 1) == expected[:1]
    assert pair.group.page("e", "b", 9) == expected
    pair.state.discard("a test")
    assert pair.group.page("e", "b", 9) == []


def test_the_last_row_takes_its_entity_along() -> None:
    pair = Pair()
    pair.group.put("e", "s", Row(1))
    pair.state.commit(1, 100 + 1)
    pair.group.delete("e", "s")
    pair.state.commit(2, 100 + 2)
    assert pair.scanned() == {}
    assert pair.state.sizes() == {"one": 0, "many": 0}


def test_changes_are_the_last_of_each_row() -> None:
    pair = Pair()
    pair.table.put("e", Row(1))
    pair.table.put("e", Row(2))
    pair.table.delete("gone")
    pair.group.put("e", "s", Row(3))
    pair.group.delete("e", "t")
    assert dict(pair.state.changes()) == {
        b"one\0e": b"\x91\x02",
        b"one\0gone": None,
        b"many\0e\0s": b"\x91\x03",
        b"many\0e\0t": None,
    }


@pytest.mark.parametrize("entity", ["e", "", "u:ann", "日本"])
@pytest.mark.parametrize("sub", ["s", "view\0bob", "日本"])
def test_a_changelog_restores_the_state(entity: str, sub: str) -> None:
    pair, restored = Pair(), Pair()
    changelog: list[tuple[bytes, bytes | None]] = []

    def checkpoint(position: int) -> None:
        changelog.extend(pair.state.changes())
        changelog.append(State.position_change(position))
        pair.state.commit(position, 100 + position)

    pair.table.put(entity, Row(1))
    pair.table.put("gone", Row(1))
    pair.group.put(entity, sub, Row(2))
    pair.group.put(entity, "gone", Row(2))
    pair.group.put("gone", sub, Row(2))
    checkpoint(300)
    pair.table.delete("gone")
    pair.table.delete("never there")
    pair.group.delete(entity, "gone")
    pair.group.delete("gone", sub)
    pair.group.delete("never there", sub)
    checkpoint(70_000)

    half = len(changelog) // 2
    restored.state.restore(dict(changelog[:half]), 1, NOW)
    restored.state.restore(dict(changelog[half:]), 2, NOW)
    assert restored.table.get(entity) == Row(1)
    assert restored.scanned(entity) == {sub: 2}
    assert restored.state.sizes() == pair.state.sizes() == {"one": 1, "many": 1}
    assert restored.state.position == 70_000
    assert list(restored.state.changes()) == []


def test_a_new_state_stands_nowhere() -> None:
    assert State().position is None
    state = State()
    state.restore(dict([State.position_change(0)]), 1, NOW)
    assert state.position == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param(State.POSITION_KEY, (7).to_bytes(8, "big"), id="the first format"),
        pytest.param(State.POSITION_KEY, b"\xff\xff" + bytes(8), id="a later format"),
        pytest.param(b"three\0e", b"\x91\x02", id="an unknown table"),
        pytest.param(b"one\0e", b"\x91\xa1x", id="another type"),
        pytest.param(b"many\0e\0s", b"\x80", id="another shape"),
        pytest.param(b"one\0e", b"\xc1", id="not msgpack"),
    ],
)
def test_rows_of_another_version_are_refused(key: bytes, value: bytes) -> None:
    with pytest.raises(StateFormatError, match=f"this one reads format {FORMAT}"):
        Pair().state.restore({key: value}, 1, NOW)
