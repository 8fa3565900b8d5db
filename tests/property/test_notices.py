"""A group of notifications is the same in whatever order its acts come and go."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import Topic
from schemas.views import NotificationView
from streams import notices
from streams.facts import Notice
from streams.users import UserFold
from tests.oracle.notices import Act, grouped
from tests.unit.folds import NOW, Folded

KINDS = ("like", "comment", "reply")
ACTS = st.builds(
    lambda at, who, item: (NOW + at, f"user{who}", f"c{item}"),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 2),
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[Act, int]], set[Act]]:
    """Acts that come and go, each in its own order and all in any; and those that stay."""
    acts = draw(st.lists(ACTS, unique=True, min_size=1, max_size=40))
    left = {act: draw(st.integers(1, 3)) for act in acts}
    staying = {act for act, times in left.items() if times % 2}
    changes = [act for act, times in left.items() for _ in range(times)]
    come: set[Act] = set()
    history = []
    for act in draw(st.permutations(changes)):
        come ^= {act}
        history.append((act, 1 if act in come else -1))
    return history, staying


def _fold(kind: str, history: list[tuple[Act, int]], cuts: set[int]) -> Folded:
    folded = Folded(UserFold)
    for n, ((at, who, item), change) in enumerate(history):
        folded.add(Notice("ann", kind, "p", who, at, item, change))  # type: ignore[arg-type]
        if n in cuts:
            folded.checkpoint()
    return folded.checkpoint()


def _shown(folded: Folded) -> Any:
    view = folded.view(Topic.VIEW_NOTIFICATIONS)
    assert isinstance(view, NotificationView)
    return view.count, view.named


@given(histories(), st.sampled_from(KINDS), st.sets(st.integers(0, 100)))
def test_a_group_names_its_newest_acts(
    drawn: tuple[list[tuple[Act, int]], set[Act]], kind: str, cuts: set[int]
) -> None:
    history, staying = drawn
    folded = _fold(kind, history, cuts)
    group = ("ann", kind, "p")
    want = grouped((group, act) for act in staying).get(group, (0, ()))
    assert _shown(folded) == want
    sizes = folded.state.sizes()
    assert sizes["notice_older"] == want[0] - len(want[1])
    assert sizes["notice"] == bool(staying)


@given(histories(), st.sampled_from(KINDS), st.sets(st.integers(0, 100)))
def test_what_is_kept_is_bounded_and_right(
    drawn: tuple[list[tuple[Act, int]], set[Act]], kind: str, cuts: set[int]
) -> None:
    history, staying = drawn
    with patch.object(notices, "KEPT", 2):
        folded = _fold(kind, history, cuts)
    count, named = _shown(folded)
    assert count == len(staying)
    assert set(named) <= staying
    assert list(named) == sorted(set(named), reverse=True)
    assert folded.state.sizes()["notice_older"] <= 4
