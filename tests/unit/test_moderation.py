"""Moderation: when a post is hidden, and when it awaits a verdict."""

from __future__ import annotations

import itertools
from functools import partial

import pytest

from schemas.events import Event
from schemas.topics import Topic
from streams.posts import PostFold
from tests.oracle.moderation import hidden_posts
from tests.unit.folds import Folded, created, deleted, edited, engaged, fold_all, judged

FOLD = partial(PostFold, reports_to_hide=2)
ANN = created("ann", content="spam")


def _reports(*users: str, at: float = 1) -> list[Event]:
    return [engaged("report", user, at) for user in users]


CASES = [
    pytest.param([*_reports("bob")], None, id="too few reports"),
    pytest.param([*_reports("bob", "bob")], None, id="one user counts once"),
    pytest.param([*_reports("bob", "cy")], "reports", id="enough reports"),
    pytest.param([*_reports("bob", "cy"), judged("cleared", 2)], None, id="cleared"),
    pytest.param(
        [*_reports("bob", "cy"), judged("cleared", 2), *_reports("dan", at=3)],
        None,
        id="reports of before do not count again",
    ),
    pytest.param(
        [*_reports("bob", "cy"), judged("cleared", 2), *_reports("bob", "dan", at=3)],
        "reports",
        id="who reports again counts again",
    ),
    pytest.param([judged("hidden", 2)], "moderator", id="hidden by a moderator"),
    pytest.param(
        [judged("hidden", 2), *_reports("bob", "cy", at=3)], "moderator", id="hidden stays hidden"
    ),
    pytest.param([judged("hidden", 2), judged("cleared", 3)], None, id="the newest verdict wins"),
    pytest.param(
        [judged("hidden", 2, id="b"), judged("cleared", 2, id="c")], None, id="ties by event id"
    ),
]


@pytest.mark.parametrize(("events", "hidden_by"), CASES)
def test_what_hides_a_post_in_any_order(events: list[Event], hidden_by: str | None) -> None:
    engagements = [event for event in events if event.action == "report"]
    verdicts = [event for event in events if event.action != "report"]
    assert hidden_posts(engagements, verdicts, 2).get("p") == hidden_by  # type: ignore[arg-type]
    for order in itertools.permutations([ANN, *events]):
        folded = fold_all(FOLD, [*order, order[0]])
        view = folded.view(Topic.VIEW_POSTS)
        assert (view.hidden_by, view.content) == (hidden_by, "spam")
        shown = folded.views(Topic.VIEW_MODERATION)
        assert ("p" in shown and shown["p"].is_awaiting) == (hidden_by == "reports")


def test_a_post_is_shown_as_hidden_only_when_that_changes() -> None:
    folded = Folded(FOLD)
    folded.add(ANN, *_reports("bob")).checkpoint()
    before = len(folded.outputs(Topic.VIEW_POSTS))
    folded.add(*_reports("bob", at=2)).checkpoint()
    assert len(folded.outputs(Topic.VIEW_POSTS)) == before
    folded.add(*_reports("cy", "dan")).checkpoint()
    assert len(folded.outputs(Topic.VIEW_POSTS)) == before + 1


def test_a_deleted_post_awaits_nobody() -> None:
    folded = fold_all(FOLD, [ANN, *_reports("bob", "cy"), deleted(3)])
    assert not folded.view(Topic.VIEW_MODERATION).is_awaiting
    assert folded.view(Topic.VIEW_POSTS).hidden_by is None


def test_an_edit_does_not_show_a_hidden_post_again() -> None:
    folded = fold_all(FOLD, [ANN, *_reports("bob", "cy"), edited("ann", 3, content="still spam")])
    assert folded.view(Topic.VIEW_POSTS).hidden_by == "reports"


def test_reports_are_counted_whatever_the_verdict() -> None:
    events = [ANN, *_reports("bob", "cy"), judged("cleared", 2), *_reports("bob", "dan", at=3)]
    assert fold_all(FOLD, events).view(Topic.VIEW_COUNTERS).reports == 3
