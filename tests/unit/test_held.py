"""Feeds as Redis gives them: grouped by post, in the order of times and ids."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.held import Entries, Held
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


@given(entries, st.lists(entries, max_size=2), st.integers(0, 4))
def test_posts_stand_by_time_and_id(
    feed: dict[tuple[str, str], int], recents: list[dict[tuple[str, str], int]], floor: int
) -> None:
    held = Held(Entries(_given(feed)), floor, [Entries(_given(recent)) for recent in recents])
    newest: dict[str, int] = {}
    reasons: dict[str, set[str]] = {}
    for some in (feed, *recents):
        for (post_id, reason), at in some.items():
            newest[post_id] = max(at, newest.get(post_id, 0))
            reasons.setdefault(post_id, set()).add(reason)
    places = sorted(((at, post_id) for post_id, at in newest.items()), reverse=True)
    places = [place for place in places if place[0] > floor]
    found = list(held.walk(None))
    assert [each.position for each in found] == places
    assert [set(each.reasons) for each in found] == [reasons[post_id] for _, post_id in places]
    assert list(held.post_ids()) == [post_id for _, post_id in places]
    for number, place in enumerate(places):
        assert [each.position for each in held.walk(place)] == places[number + 1 :]
    for at in range(6):
        for post_id in ("", *POSTS, "\U0010ffff"):
            below = [place for place in places if place < (at, post_id)]
            assert [each.position for each in held.walk((at, post_id))] == below
