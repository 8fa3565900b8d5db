"""Feeds as Redis gives them: grouped by post, in the order of times and ids."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from api.held import MANY_ENTRIES, Entries, Held
from connectors.redis_keys import member

POSTS = (
    "p",
    "é",
    "zz",
    "01JZ8B0V3QKX4M5T7N9R2C6DHE",
    "01JZ8B0V3QKX4M5T7N9R2C6DHF",
    "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
    "00000000-0000-0000-0000-000000000001",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
)
REASONS = ("u:ann", "s:01JZ8B0V3QKX4M5T7N9R2C6DHE", "t:#x")

entries = st.dictionaries(
    st.tuples(st.sampled_from(POSTS), st.sampled_from(REASONS)), st.integers(1, 4)
)


def _given(feed: dict[tuple[str, str], int]) -> list[bytes]:
    """As ZREVRANGE gives it."""
    pairs = sorted(((at, member(*entry)) for entry, at in feed.items()), reverse=True)
    return [part for at, entry in pairs for part in (entry, str(at).encode())]


@settings(deadline=None)
@given(
    entries,
    st.lists(entries, max_size=2),
    st.integers(0, 4),
    st.integers(1, 4),
    st.sampled_from([1, MANY_ENTRIES]),
)
def test_posts_come_by_time_and_id_wherever_they_have_entries(
    feed: dict[tuple[str, str], int],
    recents: list[dict[tuple[str, str], int]],
    floor: int,
    at_once: int,
    many: int,
) -> None:
    with patch("api.held.MANY_ENTRIES", many):
        _check(feed, recents, floor, at_once)


def _check(
    feed: dict[tuple[str, str], int],
    recents: list[dict[tuple[str, str], int]],
    floor: int,
    at_once: int,
) -> None:
    held = Held(Entries(_given(feed)), floor, [Entries(_given(recent)) for recent in recents])
    rows = {(at, *entry) for some in (feed, *recents) for entry, at in some.items()}
    places = sorted({(at, post_id) for at, post_id, _ in rows if at > floor}, reverse=True)
    found = list(held.walk(None, at_once))
    assert [each.position for each in found] == places
    for each in found:
        said = [(at - each.at, r) for at, post_id, r in rows if post_id == each.post_id]
        assert set(each.above) == {reason for later, reason in said if later > 0}
        assert set(each.reasons) == {reason for later, reason in said if later == 0}
        assert set(each.below) == {reason for later, reason in said if later < 0}
        assert len(set(each.reasons)) == len(each.reasons)
    for number, place in enumerate(places):
        assert [each.position for each in held.walk(place, at_once)] == places[number + 1 :]
    for at in range(6):
        for post_id in ("", *POSTS, "\U0010ffff"):
            below = [place for place in places if place < (at, post_id)]
            assert [each.position for each in held.walk((at, post_id), at_once)] == below
