"""Notifications: what is told to whom, and how it is grouped."""

from __future__ import annotations

import itertools

import pytest

from schemas.events import Event
from schemas.topics import Topic
from schemas.views import NotificationsSeen, NotificationView
from streams import notices
from streams.facts import Answered, Erased, Fact, Mentioned, Notice, NoticesGone
from streams.notices import NAMED, NAMED_POSTS
from streams.posts import PostFold
from streams.users import UserFold
from tests.unit.folds import (
    Folded,
    contacted,
    created,
    deleted,
    edited,
    engaged,
    fold_all,
    followed,
    noticed,
    time,
    user,
)
from tests.unit.test_names import _wants

ANN = created("ann")


@pytest.mark.parametrize(
    ("events", "told"),
    [
        pytest.param(
            [ANN, engaged("react", at=1, kind="wow")],
            {("like", "p", "bob", time(1), "")},
            id="like",
        ),
        pytest.param([ANN, engaged("share")], {("share", "p", "bob", time(0), "")}, id="share"),
        pytest.param(
            [ANN, engaged("comment", comment_id="c")],
            {("comment", "p", "bob", time(0), "c")},
            id="comment",
        ),
        pytest.param(
            [ANN, Answered("p", "r", "bob", time(1), 1)],
            {("reply", "p", "bob", time(1), "r")},
            id="reply",
        ),
        pytest.param([ANN, engaged("like"), engaged("unlike", at=1)], set(), id="taken back"),
        pytest.param(
            [ANN, Answered("p", "r", "bob", time(1), 1), Answered("p", "r", "bob", time(1), -1)],
            set(),
            id="a reply that goes",
        ),
        pytest.param([ANN, engaged("like", "ann")], set(), id="not of oneself"),
        pytest.param([ANN, engaged("view"), engaged("hide")], set(), id="not of a view or a hide"),
        pytest.param(
            [engaged("like"), Answered("p", "r", "cy", time(1), 1), ANN],
            {("like", "p", "bob", time(0), ""), ("reply", "p", "cy", time(1), "r")},
            id="of what came before the post",
        ),
    ],
)
def test_what_an_author_is_told(events: list[Event | Fact], told: set[tuple[object, ...]]) -> None:
    found = noticed(fold_all(PostFold, events).facts(Topic.BY_USER))
    assert found == {("ann", *each) for each in told}


PARENT = engaged("comment", "cy", 1, comment_id="m")
REPLY = engaged("comment", "bob", 2, comment_id="n", parent="m")
TOLD = ("cy", "comment_reply", "p", "bob", time(2), "n")
TO_AUTHOR = {
    ("ann", "comment", "p", "cy", time(1), "m"),
    ("ann", "comment", "p", "bob", time(2), "n"),
}


@pytest.mark.parametrize(
    ("events", "told"),
    [
        pytest.param([ANN, PARENT, REPLY], {TOLD, *TO_AUTHOR}, id="an answer"),
        pytest.param([PARENT, REPLY], set(), id="at a post that is not known"),
        pytest.param(
            [ANN, PARENT, engaged("comment", "cy", 2, comment_id="n", parent="m")],
            {("ann", "comment", "p", "cy", time(n + 1), "mn"[n]) for n in (0, 1)},
            id="not of oneself",
        ),
        pytest.param(
            [ANN, engaged("comment", "ann", 1, comment_id="m"), REPLY],
            {("ann", "comment", "p", "bob", time(2), "n")},
            id="not twice",
        ),
        pytest.param(
            [ANN, PARENT, REPLY, engaged("comment_deleted", "cy", 3, comment_id="m")],
            {("ann", "comment", "p", "bob", time(2), "n")},
            id="to a comment that was deleted",
        ),
        pytest.param(
            [ANN, PARENT, REPLY, engaged("comment_deleted", "bob", 3, comment_id="n")],
            {("ann", "comment", "p", "cy", time(1), "m")},
            id="an answer that was deleted",
        ),
        pytest.param(
            [ANN, PARENT, REPLY, engaged("comment", "dan", 0, comment_id="m")],
            {
                ("dan", "comment_reply", "p", "bob", time(2), "n"),
                ("ann", "comment", "p", "dan", time(0), "m"),
                ("ann", "comment", "p", "bob", time(2), "n"),
            },
            id="to who made the comment first",
        ),
        pytest.param(
            [ANN, PARENT, REPLY, engaged("comment", "dan", 0, comment_id="n")],
            {
                ("ann", "comment", "p", "cy", time(1), "m"),
                ("ann", "comment", "p", "dan", time(0), "n"),
            },
            id="one that answers nothing, as it was made first",
        ),
        pytest.param(
            [created("cy", -1), ANN, PARENT, REPLY],
            {("cy", "comment", "p", "bob", time(2), "n")},
            id="at the post of who made it first",
        ),
        pytest.param(
            [ANN, engaged("comment", "bob", 2, comment_id="n", parent="n")],
            {("ann", "comment", "p", "bob", time(2), "n")},
            id="to itself",
        ),
    ],
)
def test_who_comments_is_told_of_answers(
    events: list[Event | Fact], told: set[tuple[object, ...]]
) -> None:
    for order in itertools.permutations(events):
        folded = fold_all(PostFold, [*order, order[0]])
        assert noticed(folded.facts(Topic.BY_USER)) == told
        assert noticed(folded.checkpoint().facts(Topic.BY_USER)) == told


@pytest.mark.parametrize(("gone", "comment"), [("cy", "m"), ("bob", "n")])
def test_answers_of_and_to_who_is_erased_are_taken_back(gone: str, comment: str) -> None:
    for order in itertools.permutations([ANN, PARENT, REPLY]):
        folded = fold_all(PostFold, [*order, Erased("p", gone, comment)])
        left = {each for each in TO_AUTHOR if each[3] != gone}
        assert noticed(folded.facts(Topic.BY_USER)) == left


def test_answers_at_a_post_stay_when_its_author_is_erased() -> None:
    folded = fold_all(PostFold, [ANN, PARENT, REPLY, Erased("p", "ann")])
    assert noticed(folded.facts(Topic.BY_USER)) == {TOLD}


def test_an_answer_that_comes_first_is_told_across_checkpoints() -> None:
    folded = fold_all(PostFold, [ANN, REPLY]).checkpoint().add(PARENT).checkpoint()
    assert TOLD in noticed(folded.facts(Topic.BY_USER))
    folded.add(engaged("comment_deleted", comment_id="m")).checkpoint()
    folded.add(engaged("comment_deleted", comment_id="n")).checkpoint()
    assert noticed(folded.facts(Topic.BY_USER)) == set()
    assert folded.state.sizes()["comment_answer"] == 0


def test_a_post_tells_what_it_answers_and_whom_it_names() -> None:
    post = created("bob", 1, post="r", reply_to="p", content="@Sam @sam and @al")
    folded = fold_all(PostFold, [post])
    assert folded.facts(Topic.BY_POST) == [Answered("p", "r", "bob", time(1), 1)]
    assert [f for f in folded.facts(Topic.BY_USER) if isinstance(f, Mentioned)] == [
        Mentioned(name, "r", "bob", time(1), 1) for name in ("sam", "al")
    ]
    keys = {output.key for output in folded.outputs(Topic.BY_USER)}
    assert {b"@sam", b"@al"} <= keys


@pytest.mark.parametrize(
    "change",
    [
        deleted(2, post="r"),
        edited("bob", 2, post="r"),
        edited("bob", 2, post="r", visibility="private"),
    ],
    ids=["deleted", "edited", "private"],
)
def test_what_a_post_says_no_more_is_taken_back(change: Event) -> None:
    post = created("bob", 1, post="r", reply_to="p", content="@sam")
    folded = fold_all(PostFold, [post, change])
    assert [fact.change for fact in folded.facts(Topic.BY_POST)] == [1, -1]  # type: ignore[union-attr]
    mentions = [f for f in folded.facts(Topic.BY_USER) if isinstance(f, Mentioned)]
    assert [fact.change for fact in mentions] == [1, -1]


def _notice(actor: str, at: int = 0, change: int = 1, kind: str = "like") -> Notice:
    return Notice("ann", kind, "p", actor, time(at), "", change)  # type: ignore[arg-type]


def _group(folded: Folded) -> NotificationView:
    view = folded.view(Topic.VIEW_NOTIFICATIONS)
    assert isinstance(view, NotificationView)
    return view


def test_a_group_counts_all_and_names_the_newest() -> None:
    folded = fold_all(UserFold, [_notice(f"user{n}", n) for n in range(NAMED + 3)])
    assert _group(folded).count == NAMED + 3
    assert [name for _, name, _ in _group(folded).named] == [f"user{n}" for n in range(7, 2, -1)]
    assert _group(folded).at == time(7)


def test_who_takes_it_back_is_named_no_more() -> None:
    folded = fold_all(UserFold, [_notice("bob", 1), _notice("cy", 2), _notice("cy", 2, -1)])
    assert (_group(folded).count, [name for _, name, _ in _group(folded).named]) == (1, ["bob"])
    folded.add(_notice("bob", 1, -1)).checkpoint()
    assert _group(folded) == NotificationView("ann", "like", "p", 0)
    assert folded.state.sizes()["notice"] == 0


def test_who_was_before_is_named_again() -> None:
    """However many have come and gone since."""
    likes = [_notice(f"user{n}", n) for n in range(NAMED + 3)]
    gone = [_notice(f"user{n}", n, -1) for n in range(1, NAMED + 3)]
    at_once = fold_all(UserFold, [*likes, *gone])
    one_by_one = [likes[0], *(e for pair in zip(likes[1:], gone, strict=True) for e in pair)]
    for folded in (at_once, fold_all(UserFold, one_by_one)):
        assert _group(folded) == NotificationView("ann", "like", "p", 1, ((time(0), "user0", ""),))
        assert folded.checkpoint().state.sizes()["notice_older"] == 0


def test_of_posts_more_are_named() -> None:
    replies = [
        Notice("ann", "reply", "p", "bob", time(n), f"r{n:02}", 1) for n in range(NAMED_POSTS + 1)
    ]
    named = [item for _, _, item in _group(fold_all(UserFold, replies)).named]
    assert named == [f"r{n:02}" for n in range(NAMED_POSTS, 0, -1)]


def test_what_is_kept_of_a_group_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "KEPT", 4)
    folded = fold_all(UserFold, [_notice(f"user{n:02}", n) for n in range(40)]).checkpoint()
    assert 4 <= folded.state.sizes()["notice_older"] <= 8
    folded.add(*(_notice(f"user{n:02}", n, -1) for n in range(39, -1, -1))).checkpoint()
    assert _group(folded).count == 0
    assert folded.state.sizes()["notice_older"] == 0


def test_a_group_is_forgotten_with_what_is_kept_of_it() -> None:
    posts = [Notice("bob", "favourite_post", "ann", "ann", time(n), f"p{n}", 1) for n in range(30)]
    folded = fold_all(UserFold, posts).checkpoint()
    assert folded.state.sizes()["notice_older"] == 30 - NAMED_POSTS
    folded.add(NoticesGone("bob", "favourite_post", "ann")).checkpoint()
    assert folded.state.sizes()["notice_older"] == folded.state.sizes()["notice"] == 0
    assert _group(folded).count == 0


def test_groups_of_who_is_erased_are_taken_away_piece_by_piece() -> None:
    acts = [
        Notice("ann", "like", post, f"user{n}", time(n), "", 1)
        for post in ("p", "q", "r")
        for n in range(NAMED + 5)
    ]
    folded = fold_all(UserFold, acts).add(user("deleted", "ann", 1)).checkpoint()
    sizes = []
    while folded.fold.backlog:
        assert folded.fold.work(6) <= 6 + 2 * notices.KEPT
        folded.checkpoint()
        sizes.append((folded.state.sizes()["notice"], folded.state.sizes()["notice_older"]))
    assert sizes == [(2, 10), (1, 5), (0, 0), (0, 0)]


@pytest.mark.parametrize(
    ("events", "told"),
    [
        pytest.param([followed("follow", at=1)], {time(1)}, id="a follow"),
        pytest.param([followed("follow", at=1)] * 2, {time(1)}, id="once"),
        pytest.param([followed("follow", at=1), followed("follow", at=2)], {time(2)}, id="again"),
        pytest.param([followed("follow", at=1), followed("unfollow", at=2)], set(), id="left"),
        pytest.param([followed("follow", at=1), followed("block", at=2)], set(), id="blocked"),
        pytest.param([followed("follow", target="t:x")], set(), id="a topic"),
    ],
)
def test_who_is_followed_is_told(events: list[Event], told: set[int]) -> None:
    found = noticed(fold_all(UserFold, events).facts(Topic.BY_USER))
    assert found == {("ann", "follow", "", "bob", at, "") for at in told}


def test_follows_of_who_is_erased_are_taken_back() -> None:
    folded = fold_all(UserFold, [followed("follow", at=1), user("deleted", "bob", 2)]).checkpoint()
    folded.fold.work(100)
    assert noticed(folded.facts(Topic.BY_USER)) == set()


def test_a_mention_is_told_to_who_has_the_name_then() -> None:
    mention = Mentioned("sam", "p", "bob", time(5), 1)
    folded = Folded(UserFold).add(mention, _wants("ann", "Sam")).settle()
    folded.add(Mentioned("sam", "q", "bob", time(6), 1))
    folded.add(_wants("ann", "al", 2), _wants("cy", "sam")).settle()
    folded.add(Mentioned("sam", "r", "bob", time(7), 1), Mentioned("sam", "s", "cy", time(8), 1))
    told = {
        ("ann", "mention", "q", "bob", time(6), "sam"),
        ("cy", "mention", "r", "bob", time(7), "sam"),
    }
    assert noticed(folded.facts(Topic.BY_USER)) == told
    folded.add(*(Mentioned("sam", post, "bob", time(at), -1) for post, at in (("p", 5), ("q", 6))))
    told.remove(("ann", "mention", "q", "bob", time(6), "sam"))
    assert noticed(folded.facts(Topic.BY_USER)) == told


def test_a_post_that_names_one_by_two_names_does_so_when_one_is_taken_back() -> None:
    sam, al = (Mentioned(name, "p", "bob", time(5), 1) for name in ("sam", "al"))
    folded = Folded(UserFold).add(_wants("ann", "sam")).settle().add(sam)
    folded.add(_wants("ann", "al", 2)).settle().add(al).settle()
    folded.add(Mentioned("sam", "p", "bob", time(5), -1)).settle()
    group = folded.views(Topic.VIEW_NOTIFICATIONS)["ann/mention/p"]
    assert (group.count, group.named) == (1, ((time(5), "bob", "al"),))


def test_what_was_seen_only_grows() -> None:
    events = [user("active", "ann", at, seen_to=seen) for at, seen in ((1, 5), (2, 9), (3, 7))]
    seen = fold_all(UserFold, [*events, user("active", "ann", 4)]).view(Topic.VIEW_NOTIFICATIONS)
    assert seen == NotificationsSeen("ann", 9)


def test_what_is_to_come_was_not_seen() -> None:
    for order in itertools.permutations([1, 2]):
        events = [user("active", "ann", at, seen_to=9_999_999_999_999) for at in order]
        seen = fold_all(UserFold, events).view(Topic.VIEW_NOTIFICATIONS)
        assert seen == NotificationsSeen("ann", time(2))


def test_who_is_erased_is_told_nothing_more() -> None:
    folded = fold_all(
        UserFold,
        [_notice("bob"), user("active", "ann", seen_to=7), user("deleted", "ann", 1)],
    ).checkpoint()
    folded.fold.work(100)
    folded.add(_notice("cy")).checkpoint()
    shown = folded.views(Topic.VIEW_NOTIFICATIONS)
    assert shown["ann/like/p"] == NotificationView("ann", "like", "p", 0)
    assert shown["ann"] == NotificationsSeen("ann", 0)
    assert folded.state.sizes()["notice"] == 0


def test_messages_are_no_notifications() -> None:
    assert (
        noticed(fold_all(UserFold, [contacted("message", "bob", "ann")]).facts(Topic.BY_USER))
        == set()
    )
