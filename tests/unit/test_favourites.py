"""New posts of favourites: who is told, of what, and what is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from schemas.events import Event
from schemas.topics import Topic
from schemas.views import NotificationView
from streams import fan_out
from streams.facts import Activity, Fact, FollowerErased, Notice, NoticesGone, SourceErased
from streams.posts import PostFold
from streams.sources import SourceFold
from streams.users import UserFold
from tests.unit.folds import (
    Folded,
    activity,
    created,
    edited,
    fold_all,
    followed,
    noticed,
    relation,
    removal,
    time,
    user,
)

FAVOURED = relation("follow", at=1, is_favourite=True)
POST = activity(at=5)


def _told(folded: Folded) -> set[tuple[str, str]]:
    """Who is told of which post."""
    found = noticed(folded.facts(Topic.BY_USER))
    assert {(kind, subject, actor) for _, kind, subject, actor, _, _ in found} <= {
        ("favourite_post", "ann", "ann")
    }
    return {(receiver, post_id) for receiver, _, _, _, _, post_id in found}


@pytest.mark.parametrize(
    ("facts", "is_told"),
    [
        pytest.param([FAVOURED, POST], True, id="a post"),
        pytest.param([relation("follow", at=1), POST], False, id="no favourite"),
        pytest.param([POST, FAVOURED], False, id="of before"),
        pytest.param([FAVOURED, activity(at=-9)], True, id="an old post that comes later"),
        pytest.param(
            [relation("follow", at=1), relation("follow", at=2, is_favourite=True), POST],
            True,
            id="favoured later",
        ),
        pytest.param(
            [relation("follow", at=2), FAVOURED, POST], False, id="the newest follow counts"
        ),
        pytest.param([FAVOURED, POST, relation("follow", at=2)], False, id="favoured no more"),
        pytest.param(
            [FAVOURED, POST, relation("follow", at=2, is_favourite=True)], True, id="said again"
        ),
        pytest.param([FAVOURED, POST, relation("unfollow", at=2)], False, id="left"),
        pytest.param([relation("unfollow", at=2), FAVOURED, POST], False, id="left before"),
        pytest.param([FAVOURED, POST, relation("block", at=2)], False, id="blocks"),
        pytest.param([FAVOURED, POST, relation("blocked", at=2)], False, id="is blocked"),
        pytest.param(
            [
                FAVOURED,
                POST,
                relation("unfollow", at=2),
                relation("follow", at=3, is_favourite=True),
            ],
            False,
            id="back, and told of what comes",
        ),
        pytest.param([FAVOURED, POST, removal(POST)], False, id="deleted"),
        pytest.param([POST, FAVOURED, removal(POST)], False, id="deleted, and never told"),
        pytest.param([FAVOURED, activity(sharer="ann", author="cy")], False, id="a share"),
        pytest.param([FAVOURED, activity(is_reply=True)], False, id="a reply"),
        pytest.param([FAVOURED, activity(visibility="followers")], True, id="followers"),
        pytest.param([FAVOURED, activity(visibility="friends")], True, id="friends"),
        pytest.param([FAVOURED, activity(visibility="private")], False, id="private"),
        pytest.param(
            [FAVOURED, activity(visibility="custom", audience=("bob",))], True, id="for one"
        ),
        pytest.param(
            [FAVOURED, activity(visibility="custom", audience=("cy",))], False, id="for others"
        ),
        pytest.param([FAVOURED, POST, SourceErased("u:ann")], False, id="the author is erased"),
        pytest.param(
            [FAVOURED, POST, FollowerErased("u:ann", "bob")], False, id="the receiver is erased"
        ),
    ],
)
def test_who_is_told_of_a_post(facts: list[Fact], is_told: bool) -> None:
    folded = fold_all(SourceFold, facts).checkpoint()
    while folded.fold.backlog:
        folded.fold.work(10)
        folded.checkpoint()
    assert _told(folded) == ({("bob", "p")} if is_told else set())


def test_what_is_erased_leaves_no_row() -> None:
    folded = fold_all(SourceFold, [FAVOURED, POST, activity("q"), SourceErased("u:ann")])
    folded.checkpoint()
    while folded.fold.backlog:
        folded.fold.work(1)
        folded.checkpoint()
    sizes = folded.state.sizes()
    assert [sizes[name] for name in ("favourer", "favourers", "announced")] == [0, 0, 0]


def test_a_post_that_changes_who_may_see_it_is_told_to_these() -> None:
    for_bob = activity(visibility="custom", audience=("bob",))
    for_cy = activity(visibility="custom", audience=("cy",))
    folded = fold_all(
        SourceFold,
        [FAVOURED, relation("follow", "cy", 1, is_favourite=True), for_bob],
    )
    assert _told(folded) == {("bob", "p")}
    assert _told(folded.add(removal(for_bob), for_cy)) == {("cy", "p")}


@pytest.fixture
def few_at_once() -> Iterator[None]:
    with (
        mock.patch.object(fan_out, "DELIVERIES_AT_ONCE", 3),
        mock.patch.object(fan_out, "DELIVERIES_PER_TURN", 2),
    ):
        yield


@pytest.mark.usefixtures("few_at_once")
def test_many_are_told_piece_by_piece() -> None:
    names = [f"user{n}" for n in range(8)]
    folded = fold_all(
        SourceFold, [relation("follow", name, 1, is_favourite=True) for name in names]
    ).checkpoint()
    folded.add(*(relation("follow", f"other{n}", 1) for n in range(50))).checkpoint()
    folded.add(POST).checkpoint()
    assert _told(folded) == set()
    folded.fold.work(4)
    assert len(_told(folded.checkpoint())) == 2
    folded.add(
        removal(POST),
        activity("q"),
        relation("unfollow", "user0", 2),
        relation("unfollow", "user7", 2),
        relation("follow", "user7", 3, is_favourite=True),
    ).checkpoint()
    while folded.fold.backlog:
        folded.fold.work(4)
        folded.checkpoint()
    assert _told(folded) == {(name, "q") for name in names[1:7]}
    facts = [fact for fact in folded.facts(Topic.BY_USER) if isinstance(fact, Notice)]
    assert len(facts) == 2 + 6 + 6 + 6 - 1  # who has left is told nothing more


def test_it_costs_what_the_favourers_are() -> None:
    many = [relation("follow", f"user{n}", 1) for n in range(200)]
    folded = fold_all(SourceFold, [*many, FAVOURED]).checkpoint()
    with mock.patch.object(folded.fold._relations, "scan", side_effect=AssertionError):
        folded.fold._favourites.announce(POST, 10**9)
    assert _told(folded) == {("bob", "p")}


def test_what_is_told_counts_as_deliveries() -> None:
    """So that a batch is cut when there are many."""
    favoured = [relation("follow", f"user{n}", 1, is_favourite=True) for n in range(30)]
    folded = fold_all(SourceFold, favoured).checkpoint().add(POST)
    on_timelines = len(favoured) + 1
    assert folded.outbox.deliveries == on_timelines + len(favoured)


def test_a_post_says_whether_it_is_a_reply() -> None:
    folded = fold_all(PostFold, [created(reply_to="q", content="#tag")])
    said = {fact.source: fact for fact in folded.facts(Topic.BY_SOURCE)}  # type: ignore[union-attr]
    assert {name: getattr(fact, "is_reply", None) for name, fact in said.items()} == {
        "u:ann": True,
        "t:tag": False,
    }
    folded.add(edited(at=1, content="#tag"))
    last = folded.facts(Topic.BY_SOURCE)[-1]
    assert isinstance(last, Activity)
    assert (last.source, last.is_reply) == ("u:ann", False)


@pytest.mark.parametrize(
    ("events", "is_favourite"),
    [
        ([followed("follow", at=1, is_favourite=True)], True),
        ([followed("follow", at=1)], False),
        ([followed("follow", at=2, is_favourite=True), followed("follow", at=1)], True),
        ([followed("follow", at=1, is_favourite=True), followed("follow", at=2)], False),
        ([followed("follow", at=1, is_favourite=True), followed("unfollow", at=2)], False),
        ([followed("follow", at=1, is_favourite=True), followed("mute", at=2)], True),
        ([followed("follow", at=1, is_favourite=True), followed("block", at=2)], False),
        (
            [
                followed("block", at=2),
                followed("unblock", at=3),
                followed("follow", at=1, is_favourite=True),
                followed("follow", at=4),
            ],
            False,
        ),
        ([followed("mute", at=1, is_favourite=True)], False),
        ([followed("follow", target="t:x", is_favourite=True)], False),
    ],
)
def test_who_is_a_favourite(events: list[Event], is_favourite: bool) -> None:
    for order in (events, events[::-1]):
        view = fold_all(UserFold, order).view(Topic.VIEW_RELATIONS)
        assert view.is_favourite is is_favourite


def _post(post_id: str, at: int, change: int = 1) -> Notice:
    return Notice("bob", "favourite_post", "ann", "ann", time(at), post_id, change)


def _group(folded: Folded) -> Any:
    return folded.views(Topic.VIEW_NOTIFICATIONS)["bob/favourite_post/ann"]


def test_posts_of_one_author_are_a_group_that_can_go_at_once() -> None:
    folded = fold_all(UserFold, [_post("p", 1), _post("q", 2), _post("p", 1, -1), _post("r", 3)])
    acts = ((time(3), "ann", "r"), (time(2), "ann", "q"))
    assert _group(folded) == NotificationView("bob", "favourite_post", "ann", 2, acts)
    folded.checkpoint().add(NoticesGone("bob", "favourite_post", "ann")).checkpoint()
    assert _group(folded) == NotificationView("bob", "favourite_post", "ann", 0)
    assert folded.state.sizes()["notice"] == 0


def test_who_is_erased_has_no_favourites_and_is_told_nothing() -> None:
    folded = fold_all(
        UserFold,
        [
            followed("follow", at=1, is_favourite=True),
            _post("p", 1),
            user("deleted", "bob", 2),
        ],
    ).checkpoint()
    folded.fold.work(100)
    folded.add(_post("q", 3), NoticesGone("bob", "favourite_post", "ann")).checkpoint()
    assert _group(folded).count == 0
    assert not folded.views(Topic.VIEW_RELATIONS)["bob/u:ann"].is_favourite
    assert folded.state.sizes()["notice"] == 0
