"""Likes of comments and answers to them, as a post's log is folded."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest

from schemas.events import Engagement
from schemas.topics import Topic
from schemas.views import CommentCountsView, CommentView
from streams.posts import PostFold
from tests.unit.folds import Folded, engaged, fold_all, time

HEY = engaged("comment", "ann", comment_id="c", text="hey")


def _view(events: Sequence[Engagement], comment_id: str = "c") -> CommentView:
    view: CommentView = fold_all(PostFold, events).views(Topic.VIEW_COMMENTS)[f"p/{comment_id}"]
    return view


def _counts(events: Sequence[Engagement]) -> CommentCountsView:
    views = fold_all(PostFold, events).views(Topic.VIEW_COMMENT_COUNTS)
    view: CommentCountsView = views["p/c"]
    return view


LIKES: list[Any] = [
    pytest.param([engaged("like", comment_id="c")], 1, id="a like"),
    pytest.param([engaged("like", user, comment_id="c") for user in ("bob", "cy")], 2, id="two"),
    pytest.param(
        [engaged("like", comment_id="c"), engaged("like", at=1, comment_id="c")], 1, id="twice"
    ),
    pytest.param([engaged("react", kind="wow", comment_id="c")], 1, id="a reaction of any kind"),
    pytest.param(
        [engaged("like", comment_id="c"), engaged("react", at=1, kind="wow", comment_id="c")],
        1,
        id="a change of mind",
    ),
    pytest.param(
        [engaged("like", comment_id="c"), engaged("unlike", at=1, comment_id="c")],
        0,
        id="taken back",
    ),
    pytest.param([engaged("like", comment_id="d")], 0, id="another comment's"),
    pytest.param([engaged("like")], 0, id="the post's"),
]


@pytest.mark.parametrize(("events", "likes"), LIKES)
def test_likes_in_any_order(events: list[Engagement], likes: int) -> None:
    for order in permutations([HEY, *events]):
        assert _counts(order).likes == likes


def test_a_like_of_a_comment_is_none_of_the_post() -> None:
    likes = [engaged("like", comment_id="c"), engaged("react", "cy", kind="wow", comment_id="c")]
    counters = fold_all(PostFold, [HEY, *likes]).view(Topic.VIEW_COUNTERS)
    assert (counters.reactions, counters.comments) == ({}, 1)


REPLIES: list[Any] = [
    pytest.param([engaged("comment", comment_id="d", parent="c")], 1, id="an answer"),
    pytest.param(
        [engaged("comment", comment_id=name, parent="c") for name in "de"], 2, id="two answers"
    ),
    pytest.param(
        [
            engaged("comment", comment_id="d", parent="c"),
            engaged("comment", comment_id="e", parent="d"),
        ],
        1,
        id="an answer to an answer is another's",
    ),
    pytest.param(
        [
            engaged("comment", comment_id="d", parent="c"),
            engaged("comment_deleted", comment_id="d"),
        ],
        0,
        id="a deleted answer",
    ),
    pytest.param(
        [
            engaged("comment", at=2, comment_id="d", parent="c"),
            engaged("comment", at=1, comment_id="d", parent="x"),
        ],
        0,
        id="an answer that turns out to be another's",
    ),
    pytest.param([engaged("comment", comment_id="d", parent="d")], 0, id="an answer to itself"),
]


@pytest.mark.parametrize(("events", "replies"), REPLIES)
def test_replies_in_any_order(events: list[Engagement], replies: int) -> None:
    for order in permutations([HEY, *events]):
        assert _counts(order).replies == replies


def test_what_is_counted_nothing_of_leaves_no_row() -> None:
    folded = fold_all(
        PostFold,
        [
            engaged("comment", comment_id="d", parent="c"),
            engaged("comment_deleted", comment_id="d"),
        ],
    )
    assert list(folded.state._tables["comment_counts"].scan("p")) == []  # type: ignore[union-attr]


def test_a_deleted_comment_shows_no_counts() -> None:
    gone = engaged("comment_deleted", comment_id="c")
    folded = fold_all(PostFold, [HEY, engaged("like", comment_id="c"), gone]).checkpoint()
    folded.add(engaged("like", "cy", comment_id="c"))
    views = folded.views(Topic.VIEW_COMMENT_COUNTS)
    assert views == {"p/c": CommentCountsView("p", "c", is_deleted=True)}


def test_a_comment_that_is_not_there_shows_no_counts() -> None:
    folded = fold_all(PostFold, [engaged("like", comment_id="c")])
    assert folded.views(Topic.VIEW_COMMENT_COUNTS) == {}


def test_a_like_says_nothing_of_the_text_again() -> None:
    folded = fold_all(PostFold, [HEY]).checkpoint().add(engaged("like", comment_id="c"))
    assert len(folded.outputs(Topic.VIEW_COMMENTS)) == 1
    assert folded.views(Topic.VIEW_COMMENT_COUNTS) == {"p/c": CommentCountsView("p", "c", 1)}


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
def test_a_comment_leaves_the_times_that_it_does_not_have(order: tuple[int, ...]) -> None:
    events = [engaged("comment", at=at, comment_id="c") for at in order]
    view = _view(events)
    assert view.at == time(1)
    assert view.former_times == (time(2), time(3))


def test_a_comment_that_is_made_at_ever_new_times_is_refused() -> None:
    folded = Folded(PostFold)
    for at in range(64):
        folded.add(engaged("comment", at=at, comment_id="c"))
    with pytest.raises(Exception, match="64 other times"):
        folded.add(engaged("comment", at=64, comment_id="c"))
