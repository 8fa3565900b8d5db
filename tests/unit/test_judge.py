"""Candidates of which nothing is unusual are judged by a shorter way, which comes to the same."""

from __future__ import annotations

from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from api import candidates
from api.candidates import Verdict, judge
from api.held import Candidate
from api.views import Absent, Reader
from schemas.views import PostView, UserView

UNUSUAL: dict[str, dict[str, Any]] = {
    "own": {"viewer": "bo"},
    "for followers": {"visibility": "followers"},
    "a reply": {"reply_to": "answered"},
    "deleted": {"is_deleted": True},
    "hidden for all": {"hidden_by": "moderator"},
    "author gone": {"status": "deactivated"},
    "author blocked": {"blocked": {"u:bo"}},
    "sharer blocked": {"blocked": {"u:cy"}},
    "author muted": {"muted": {"u:bo"}},
    "sharer muted": {"muted": {"u:cy"}},
    "topic muted": {"muted": {"t:x"}},
    "hidden by the reader": {"hidden": {"p"}},
    "Redis down": {"down": {"redis"}},
    "shared": {"reasons": ("s:cy",)},
    "viral": {"reasons": ("viral",)},
    "stands above": {"above": ("u:bo",)},
    "stands below": {"below": ("t:x",)},
}


def _given(unusual: set[str]) -> tuple[Reader, Candidate]:
    """A reader and a candidate, usual but for what is said."""
    said: dict[str, Any] = {}
    for name in sorted(unusual):
        said |= UNUSUAL[name]
    of_post = ("visibility", "reply_to", "is_deleted", "hidden_by")
    post = PostView(
        "p", "bo", 1, hashtags=("x",), **{name: said[name] for name in of_post if name in said}
    )
    reader = Reader(mock.Mock(), Absent(), said.get("viewer", "al"))
    reader.down = said.get("down", set())
    reader.known.posts["p"] = post
    reader.known.users["bo"] = UserView("bo", status=said.get("status", "active"))
    reader.known.blocked = said.get("blocked", set())
    reader.known.muted = said.get("muted", set())
    reader.known.hidden = said.get("hidden", set())
    at = Candidate("p", 1, said.get("reasons", ("u:bo",)))
    at.above, at.below = said.get("above", ()), said.get("below", ())
    return reader, at


def _both_come_to_the_same(unusual: set[str]) -> None:
    reader, candidate = _given(unusual)
    found = judge(reader, candidate)
    with mock.patch.object(candidates, "_is_usual", return_value=False):
        assert judge(reader, candidate) == found


def test_both_ways_come_to_the_same_with_one_thing_unusual() -> None:
    for name in UNUSUAL:
        _both_come_to_the_same({name})


@given(st.sets(st.sampled_from(sorted(UNUSUAL)), max_size=4))
def test_both_ways_come_to_the_same_with_several(unusual: set[str]) -> None:
    _both_come_to_the_same(unusual)


def test_what_is_usual_is_asked_no_further() -> None:
    reader, candidate = _given(set())
    with mock.patch.object(Reader, "may_see", side_effect=AssertionError):
        assert judge(reader, candidate) == Verdict(("u:bo",))
