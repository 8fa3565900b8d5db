"""Erasure: what each fold takes away when a user is erased, and what comes later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from schemas.events import Engagement
from schemas.topics import Topic
from schemas.views import AffinityView, HeavySource, RecentActivity, RemoveSource, UserView
from streams.facts import (
    Erased,
    Fact,
    FollowerErased,
    Met,
    Release,
    SourceErased,
    TargetErased,
    Touched,
)
from streams.posts import PostFold
from streams.sources import SourceFold
from streams.users import UserFold
from tests.unit.folds import (
    Folded,
    activity,
    contacted,
    created,
    edited,
    engaged,
    fold_all,
    followed,
    relation,
    removal,
    user,
)

# A post's log tells a user's where something of the user is, once for each row


@pytest.mark.parametrize(
    ("events", "told"),
    [
        pytest.param([created(), created(id="z")], [Touched("ann", "p")], id="an author"),
        pytest.param(
            [created(), created("bob", 1), created("bob", 2)],
            [Touched("ann", "p"), Touched("bob", "p")],
            id="whoever claims the post",
        ),
        pytest.param([edited("ann", 1), edited("ann", 2)], [Touched("ann", "p")], id="an editor"),
        pytest.param(
            [engaged("like"), engaged("unlike", at=1)], [Touched("bob", "p")], id="who reacts"
        ),
        pytest.param(
            [engaged("share"), engaged("unshare", at=1)], [Touched("bob", "p")], id="who shares"
        ),
        pytest.param(
            [engaged("comment", comment_id="c"), engaged("comment", at=1, comment_id="c")],
            [Touched("bob", "p", "c")],
            id="who comments",
        ),
        pytest.param(
            [engaged("like", comment_id="c"), engaged("unlike", at=1, comment_id="c")],
            [Touched("bob", "p", "c")],
            id="who likes a comment",
        ),
        pytest.param([engaged("view"), engaged("report")], [], id="not who is only counted"),
        pytest.param([engaged("hide")], [Touched("bob", "p")], id="who hides it"),
    ],
)
def test_a_user_is_told_where_something_is(events: list[Any], told: list[Fact]) -> None:
    assert fold_all(PostFold, events).traces() == told


def test_views_are_counted_without_keeping_who_viewed() -> None:
    folded = fold_all(PostFold, [engaged("view"), engaged("view"), engaged("view", "cy")])
    assert folded.view(Topic.VIEW_COUNTERS).views == 2
    assert not any(b"bob" in key for key, _ in folded.state.changes())


# A post's log takes away what is a user's


def _erased(*events: Any, user: str = "bob", comment: str = "") -> Folded:
    folded = fold_all(PostFold, [created(), *events]).checkpoint()
    return folded.add(Erased("p", user, comment)).checkpoint()


LEFT_BEHIND: dict[str, list[Engagement]] = {
    "a reaction": [engaged("react", kind="wow")],
    "one that was taken back": [engaged("like"), engaged("unlike", at=1)],
    "a share": [engaged("share")],
    "both": [engaged("like"), engaged("share")],
}


@pytest.mark.parametrize("events", LEFT_BEHIND.values(), ids=LEFT_BEHIND)
def test_what_a_user_did_is_gone(events: list[Engagement]) -> None:
    folded = _erased(*events)
    counters = folded.view(Topic.VIEW_COUNTERS)
    assert (counters.reactions, counters.shares) == ({}, 0)
    for table in ("react", "share"):
        assert list(folded.state._tables[table].scan("p")) == []  # type: ignore[union-attr]
    mine = folded.views(Topic.VIEW_MINE)["bob/p"]
    assert (mine.reaction, mine.is_shared) == (None, False)


def test_who_reads_only_the_last_of_several_erasures_knows_that_nothing_is_hidden() -> None:
    folded = fold_all(PostFold, [created(), engaged("hide")]).checkpoint()
    folded.add(Erased("p", "bob")).checkpoint()
    folded.add(engaged("share"), Erased("p", "bob")).checkpoint()
    assert folded.views(Topic.VIEW_MINE)["bob/p"].hidden_at == 0


def test_an_erased_share_is_spread_no_longer() -> None:
    share = activity(sharer="bob", at=1)
    folded = _erased(engaged("share", at=1))
    assert folded.facts(Topic.BY_SOURCE)[-1] == removal(share)


def test_an_erased_comment_names_nobody_and_says_nothing() -> None:
    folded = _erased(engaged("comment", comment_id="c", text="secret"), comment="c")
    view = folded.views(Topic.VIEW_COMMENTS)["p/c"]
    assert (view.is_deleted, view.user_id, view.text) == (True, "", "")
    assert folded.view(Topic.VIEW_COUNTERS).comments == 0
    row = folded.state._tables["comment"].get("p", "c")  # type: ignore[call-arg]
    assert (row.user_id, row.text) == ("", "")


def test_an_erased_users_like_of_a_comment_is_gone() -> None:
    folded = _erased(
        engaged("comment", "cy", comment_id="c"),
        engaged("like", comment_id="c"),
        engaged("like", "di", comment_id="c"),
        comment="c",
    )
    assert folded.views(Topic.VIEW_COMMENT_COUNTS)["p/c"].likes == 1
    left = folded.state._tables["comment_react"].scan("p")  # type: ignore[union-attr]
    assert [key.split("\0")[1] for key, _ in left] == ["di"]


def test_an_erased_comment_answers_nobody() -> None:
    folded = _erased(
        engaged("comment", "cy", comment_id="c"),
        engaged("comment", comment_id="d", parent="c"),
        comment="d",
    )
    assert folded.views(Topic.VIEW_COMMENT_COUNTS)["p/c"].replies == 0


def test_a_comment_that_another_turns_out_to_have_made_first_stays() -> None:
    folded = _erased(
        engaged("comment", "bob", 5, comment_id="c"),
        engaged("comment", "cy", 2, comment_id="c", text="mine"),
        comment="c",
    )
    assert folded.views(Topic.VIEW_COMMENTS)["p/c"].text == "mine"


def test_the_posts_of_an_erased_author_are_deleted_with_what_they_say() -> None:
    folded = _erased(engaged("share", "cy"), edited(content="secret"), user="ann")
    view = folded.views(Topic.VIEW_POSTS)["p"]
    assert (view.is_deleted, view.content) == (True, "")
    assert list(folded.state._tables["body"].scan("p")) == []  # type: ignore[union-attr]
    assert len(folded.facts(Topic.BY_SOURCE)) == 4  # the post and its share, and their removals


def test_whoever_was_close_to_an_erased_author_is_told_once() -> None:
    folded = _erased(engaged("like", "cy"), engaged("share", "cy"), engaged("like"), user="ann")
    told = [f for f in folded.facts(Topic.BY_USER) if isinstance(f, TargetErased)]
    assert told == [TargetErased("bob", "ann"), TargetErased("cy", "ann")]


def test_nobody_comes_closer_to_an_erased_author() -> None:
    folded = _erased(user="ann").add(engaged("like", "cy"), engaged("share", "dan"))
    assert folded.facts(Topic.BY_USER) == []


def test_what_an_erased_user_only_edited_is_gone_and_the_post_stays() -> None:
    folded = _erased(edited("bob", 1, content="secret"))
    assert not folded.views(Topic.VIEW_POSTS)["p"].is_deleted
    assert [claimant for claimant, _ in folded.state._tables["body"].scan("p")] == ["ann"]  # type: ignore[union-attr]


# A user's log


def test_an_erased_user_has_nothing_left() -> None:
    folded = fold_all(
        UserFold,
        [
            user("profile", username="x"),
            followed("follow", "ann", "u:bob"),
            followed("follow", "ann", "t:x"),
            followed("mute", "ann", "u:cy"),
            contacted("message", "ann", "dan"),
            Touched("ann", "p"),
            Touched("ann", "q", "c"),
            Met("ann", "eve"),
        ],
    ).checkpoint()
    folded.add(user("deleted")).checkpoint()
    while folded.fold.backlog:
        folded.fold.work(2)
        folded.checkpoint()
    assert folded.view(Topic.VIEW_USERS) == UserView("ann", status="deleted")
    assert folded.facts(Topic.BY_POST) == [Erased("p", "ann"), Erased("q", "ann", "c")]
    assert folded.facts(Topic.BY_SOURCE)[2:] == [
        SourceErased("u:ann"),
        FollowerErased("u:bob", "ann"),
        FollowerErased("t:x", "ann"),
        FollowerErased("u:cy", "ann"),
    ]
    assert Release("x", "ann") in folded.facts(Topic.BY_USER)
    assert folded.facts(Topic.BY_USER)[-1] == TargetErased("eve", "ann")
    relations = folded.views(Topic.VIEW_RELATIONS).values()
    assert not any(view.is_following or view.is_muting for view in relations)
    assert all(view.has_blocked and view.is_muting is False for view in relations), "rows stay"
    assert folded.view(Topic.VIEW_AFFINITY).score == 0
    left = {name for name, size in folded.state.sizes().items() if size}
    assert left == {"user", "seen_in_hour"}  # the latter for a day


LATE: dict[str, tuple[Any, Fact | None]] = {
    "something at a post": (Touched("ann", "p", "c"), Erased("p", "ann", "c")),
    "someone's message": (Met("ann", "bob"), TargetErased("bob", "ann")),
    "someone's block": (
        relation("blocked", "ann", source="u:bob"),
        FollowerErased("u:bob", "ann"),
    ),
    "a follow": (followed("follow", "ann", "u:bob"), None),
    "a profile": (user("profile", username="x"), None),
    "a message": (contacted("message", "ann", "bob"), None),
    "a second deletion": (user("deleted", at=9), None),
    "that another is erased": (TargetErased("ann", "bob"), None),
}


@pytest.mark.parametrize(("late", "answer"), LATE.values(), ids=LATE)
def test_what_comes_late_is_answered_and_not_kept(late: Any, answer: Fact | None) -> None:
    folded = fold_all(UserFold, [user("deleted")]).checkpoint()
    folded.fold.work(10)
    rows = folded.checkpoint().state.sizes()
    known = _told(folded)
    folded.add(late).checkpoint()
    told = _told(folded)
    for fact in known:
        told.remove(fact)
    assert told == ([] if answer is None else [answer])
    assert folded.state.sizes() == rows
    assert folded.view(Topic.VIEW_USERS) == UserView("ann", status="deleted")


def _told(folded: Folded) -> list[Fact]:
    topics = (Topic.BY_POST, Topic.BY_SOURCE, Topic.BY_USER)
    return [fact for topic in topics for fact in folded.facts(topic)]


def test_whom_one_followed_and_was_close_to_is_forgotten_when_erased() -> None:
    before = [
        followed("follow", "bob", "u:ann", 1),
        followed("mute", "bob", "u:ann", 1),
        contacted("message", "bob", "ann", 1),
    ]
    late = [
        followed("follow", "bob", "u:ann", 9),
        followed("block", "bob", "u:ann", 9),
        contacted("message", "bob", "ann", 9),
    ]
    folded = fold_all(UserFold, before).add(TargetErased("bob", "ann"), TargetErased("bob", "ann"))
    told = len(_told(folded))
    folded.add(*late)
    view = folded.view(Topic.VIEW_RELATIONS)
    assert (view.is_following, view.is_blocking, view.is_muting) == (False, False, True)
    assert folded.view(Topic.VIEW_USERS).following == 0
    assert folded.view(Topic.VIEW_AFFINITY) == AffinityView("bob", "ann", 0.0, 0, 0.0, 0)
    assert len(_told(folded)) == told


# A source's log


def _source(*facts: Fact, heavy_followers: int = 100) -> Folded:
    def make(state: Any, outbox: Any) -> SourceFold:
        return SourceFold(state, outbox, heavy_followers=heavy_followers)

    return fold_all(make, facts).checkpoint()


def _finish(folded: Folded, work: Callable[[], int]) -> None:
    while folded.fold.backlog:
        work()
        folded.checkpoint()


FOLLOWERS = [relation("follow", name) for name in ("bob", "cy", "dan")]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_an_erased_source_is_on_no_timeline_and_tells_its_followers(limit: int) -> None:
    folded = _source(
        *FOLLOWERS, relation("unfollow", "cy", 1), activity(), activity(sharer="ann", author="eve")
    )
    folded.add(SourceErased("u:ann")).checkpoint()
    _finish(folded, lambda: folded.fold.work(limit))
    assert folded.timelines() == {}
    assert folded.facts(Topic.BY_USER) == [TargetErased(u, "ann") for u in ("bob", "cy", "dan")]
    assert folded.views(Topic.VIEW_SOURCES)["u:ann"].followers == 0
    left = {name for name, size in folded.state.sizes().items() if size}
    assert left == {"source"}


def test_an_erased_source_that_was_heavy_holds_nothing() -> None:
    folded = _source(*FOLLOWERS, activity(), heavy_followers=2)
    folded.add(SourceErased("u:ann"))
    views = list(folded.views(Topic.VIEW_RECENTS).values())
    assert HeavySource("u:ann", False) in views
    assert not any(view.is_held for view in views if isinstance(view, RecentActivity))


def test_an_erased_source_takes_in_nothing_more_and_tells_who_follows_late() -> None:
    folded = _source(SourceErased("u:ann"))
    _finish(folded, lambda: folded.fold.work(10))
    late: list[Fact] = [activity(), relation("follow", "bob"), removal(activity())]
    late += [FollowerErased("u:ann", "cy"), SourceErased("u:ann")]
    folded.add(*late).checkpoint()
    assert folded.fold.backlog == 0
    assert folded.facts(Topic.BY_USER) == [TargetErased("bob", "ann")]
    assert folded.timelines() == {}
    assert {name for name, size in folded.state.sizes().items() if size} == {"source"}


def test_an_erased_follower_follows_no_longer() -> None:
    folded = _source(*FOLLOWERS, activity(), FollowerErased("u:ann", "bob"))
    assert folded.views(Topic.VIEW_SOURCES)["u:ann"].followers == 2
    assert "bob" not in folded.timelines()
    assert RemoveSource("bob", ["u:ann", "s:ann"]) in folded.operations()


def test_an_erased_follower_may_make_a_source_light_again() -> None:
    folded = _source(*FOLLOWERS, activity(), heavy_followers=3)
    assert set(folded.timelines()) == {"ann"}
    folded.add(FollowerErased("u:ann", "bob"))
    assert set(folded.timelines()) == {"ann", "cy", "dan"}


def test_who_only_blocked_a_source_leaves_no_trace_there() -> None:
    folded = _source(relation("block", "bob"), FollowerErased("u:ann", "bob"))
    folded.checkpoint()
    assert folded.state.sizes()["relation"] == 0
    assert folded.operations() == []
