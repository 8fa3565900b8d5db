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

AUTHORS = ("al", "bo", "cy")
REASONS = ("u:al", "u:bo", "s:cy", "t:x", "viral", "popular")
SOURCES = ("u:al", "u:bo", "u:cy", "t:x")

few_sources = st.sets(st.sampled_from(SOURCES), max_size=1)
reasons = st.lists(st.sampled_from(REASONS), max_size=2, unique=True).map(tuple)
posts = st.builds(
    PostView,
    st.just("p"),
    st.sampled_from(AUTHORS),
    st.just(1),
    visibility=st.sampled_from(("public", "public", "followers", "friends")),
    reply_to=st.sampled_from((None, None, "answered")),
    is_deleted=st.sampled_from((False, False, True)),
    hidden_by=st.sampled_from((None, None, "moderator")),
    hashtags=st.sampled_from(((), ("x",))),
)
candidates_of_it = st.builds(
    Candidate,
    st.just("p"),
    st.just(1),
    st.lists(st.sampled_from(REASONS), min_size=1, max_size=2, unique=True).map(tuple),
    above=st.just(()) | reasons,
    below=st.just(()) | reasons,
)


@given(
    st.sampled_from(AUTHORS),
    posts,
    candidates_of_it,
    st.sampled_from(("active", "active", "deactivated")),
    st.fixed_dictionaries({"blocked": few_sources, "muted": few_sources}),
    st.sets(st.just("p")),
    st.sampled_from([set[str](), set[str](), {"redis"}]),
)
def test_both_ways_come_to_the_same(
    viewer: str,
    post: PostView,
    candidate: Candidate,
    status: Any,
    stands: dict[str, set[str]],
    hidden: set[str],
    down: set[str],
) -> None:
    reader = Reader(mock.Mock(), Absent(), viewer)
    reader.down = down
    reader.known.posts["p"] = post
    reader.known.users[post.author_id] = UserView(post.author_id, status=status)
    reader.known.blocked, reader.known.muted = stands["blocked"], stands["muted"]
    reader.known.hidden = hidden
    found = judge(reader, candidate)
    with mock.patch.object(candidates, "_is_usual", return_value=False):
        assert judge(reader, candidate) == found


def test_what_is_usual_is_asked_no_further() -> None:
    reader = Reader(mock.Mock(), Absent(), "al")
    reader.known.posts["p"] = PostView("p", "bo", 1)
    with mock.patch.object(Reader, "may_see", side_effect=AssertionError):
        assert judge(reader, Candidate("p", 1, ("u:bo",))) == Verdict(("u:bo",))
