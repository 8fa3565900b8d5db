"""No more is kept than the bound, and nothing that was forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.kept import Kept

MOST = 10

keys = st.sampled_from("abcde")
steps = st.lists(st.tuples(keys, st.none() | st.integers(0, MOST)), max_size=50)


@given(steps)
def test_what_is_kept_is_what_was_kept_last_within_the_bound(steps: list[tuple[str, int]]) -> None:
    kept: Kept[range] = Kept(MOST)
    last: dict[str, int | None] = {}
    for key, size in steps:
        last[key] = size
        if size is None:
            kept.forget(key)
        else:
            kept.keep(key, range(size))
            assert kept.get(key) == range(size)
        found = {each: kept.get(each) for each in last}
        held = {each: len(value) for each, value in found.items() if value is not None}
        assert all(last[each] == length for each, length in held.items())
        assert all((each in kept) == (each in held) for each in last)
        assert sum(1 + length for length in held.values()) <= MOST or len(held) == 1


def test_all_is_forgotten_when_there_would_be_more() -> None:
    kept: Kept[range] = Kept(MOST)
    for key, size in (("a", 3), ("b", 4)):
        kept.keep(key, range(size))
    kept.keep("a", range(4))
    assert "b" in kept
    kept.keep("c", range(0))
    assert "a" not in kept
    assert kept.get("c") == range(0)


def test_what_was_cleared_leaves_its_room() -> None:
    kept: Kept[range] = Kept(MOST)
    for _ in range(3):
        kept.keep("a", range(9))
        kept.clear()
    kept.keep("b", range(4))
    kept.keep("c", range(4))
    assert "b" in kept
    assert "c" in kept
