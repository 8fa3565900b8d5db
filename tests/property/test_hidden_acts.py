"""Acts that a receiver may not see change nothing of what is told of notifications."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from api.stores import Told
from connectors.push.notice import Notice
from schemas.views import NoticeKind, NotificationView
from streams.notices import NAMED
from tests.unit.api_fakes import NOW
from tests.unit.test_deliveries import Desk

PATH = "/api/v1/notifications"
SEEN = ("ann", "bob")
UNSEEN = ("muted", "blocked", "blocking", "deactivated", "deleted")
OF_POSTS = ("reply", "favourite_post")

Act = tuple[int, str, str]


def _desk(seen_to: int) -> Desk:
    desk = Desk()
    views = desk.views
    for name in ("muted", "blocked", "blocking", "cy"):
        views.user(name)
    views.user("deactivated", status="deactivated")
    views.user("deleted", status="deleted")
    views.mute("al", "u:muted")
    views.block("al", "blocked")
    views.block("blocking", "al")
    views.post("seen", "ann")
    views.post("unseen", "ann", visibility="custom", audience=("cy",))
    views.seen = seen_to
    return desk


@st.composite
def acts(draw: st.DrawFn, kind: NoticeKind) -> tuple[tuple[Act, ...], tuple[Act, ...]]:
    """Acts, newest first, all of them and those that may be seen."""
    times = draw(st.lists(st.integers(-9, 0), unique=True, min_size=1, max_size=NAMED))
    all_acts = [
        (NOW + at, draw(st.sampled_from(SEEN + UNSEEN)), draw(st.sampled_from(["seen", "unseen"])))
        for at in sorted(times, reverse=True)
    ]
    seen = [
        act for act in all_acts if act[1] in SEEN and (kind not in OF_POSTS or act[2] == "seen")
    ]
    return tuple(all_acts), tuple(seen)


def _answers(
    kind: NoticeKind, named: tuple[Act, ...], seen_to: int, told: Told
) -> tuple[Any, list[Notice]]:
    """What the list says, and what is delivered when the group comes."""
    desk = _desk(seen_to)
    subject = {"follow": "", "favourite_post": "ann"}.get(kind, "mine")
    follow = NotificationView("al", "follow", "", 1, ((NOW - 5, "ann", ""),))
    if kind != "follow":
        desk.views.notices.append(follow)
    group = NotificationView("al", kind, subject, len(named), named)
    desk.views.told["al", group.key] = told
    if named:
        desk.views.notices.append(group)
    return desk.world.ask("GET", PATH, "al").json(), desk.hand(group)


@given(
    st.data(),
    st.sampled_from(get_args(NoticeKind)),
    st.integers(NOW - 10, NOW + 1),
    st.builds(Told, st.integers(0, 4), st.integers(NOW - 10, NOW)),
)
def test_what_may_not_be_seen_does_not_show(
    data: st.DataObject, kind: NoticeKind, seen_to: int, told: Told
) -> None:
    all_acts, seen = data.draw(acts(kind))
    assert _answers(kind, all_acts, seen_to, told) == _answers(kind, seen, seen_to, told)
