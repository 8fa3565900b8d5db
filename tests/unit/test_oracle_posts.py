"""The oracle's posts, counters, comments, `mine`, users and affinity, as small cases."""

from __future__ import annotations

import itertools

import pytest

from schemas.events import Engagement, Post, User
from tests.oracle import affinity, names, posts, users


def _created(at: int, content: str, author: str = "a", event_id: str = "e") -> Post:
    return Post(
        event_id=event_id, action="created", post_id="p", author_id=author, at=at, content=content
    )


def _edited(at: int, content: str, author: str | None = None, event_id: str = "e") -> Post:
    return Post(
        event_id=event_id, action="edited", post_id="p", author_id=author, at=at, content=content
    )


DELETED = Post(event_id="d", action="deleted", post_id="p", at=1)


@pytest.mark.parametrize(
    ("events", "author", "at", "content"),
    [
        ([_created(5, "one")], "a", 5, "one"),
        ([_created(5, "one"), _edited(6, "two")], "a", 5, "two"),
        ([_created(5, "one"), _edited(4, "early")], "a", 5, "one"),
        ([_created(5, "one"), _edited(6, "two", author="b")], "a", 5, "one"),
        ([_created(5, "one"), _created(4, "other", author="b")], "b", 4, "other"),
        ([_created(5, "one"), _created(4, "same")], "a", 4, "one"),
        ([_created(5, "x", event_id="1"), _created(5, "y", event_id="2")], "a", 5, "y"),
    ],
)
def test_who_wins_in_any_order(events: list[Post], author: str, at: int, content: str) -> None:
    for order in itertools.permutations([*events, events[0]]):
        view = posts.post_views(posts.fold_posts(order), {})["p"]
        assert (view["author_id"], view["at"], view["content"]) == (author, at, content)


def test_a_deleted_post_shows_only_that() -> None:
    for order in itertools.permutations([_created(5, "one"), DELETED, _edited(9, "late")]):
        assert posts.post_views(posts.fold_posts(order), {}) == {
            "p": {"author_id": "a", "at": 5, "is_deleted": True}
        }
    assert posts.post_views(posts.fold_posts([DELETED, _edited(9, "late")]), {}) == {}


def _did(action: str, at: int = 1, user: str = "u", event_id: str = "", **more: str) -> Engagement:
    return Engagement(
        event_id=event_id or f"{action}{at}{user}",
        action=action,  # type: ignore[arg-type]
        user_id=user,
        at=at,
        post_id="p",
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("events", "counts"),
    [
        ([_did("like")], {"reactions": {"like": 1}}),
        ([_did("like"), _did("react", 2, kind="love")], {"reactions": {"love": 1}}),
        ([_did("like", 3), _did("react", 2, kind="love")], {"reactions": {"like": 1}}),
        ([_did("like"), _did("unlike", 2)], {}),
        ([_did("like", 3), _did("unlike", 2)], {"reactions": {"like": 1}}),
        ([_did("like"), _did("like", user="v")], {"reactions": {"like": 2}}),
        ([_did("share"), _did("share", 2)], {"shares": 1}),
        ([_did("share"), _did("unshare", 2)], {}),
        ([_did("view"), _did("view", 2), _did("view", user="v")], {"views": 2}),
        ([_did("click"), _did("hide"), _did("report")], {"clicks": 1, "hides": 1, "reports": 1}),
        ([_did("comment", comment_id="1"), _did("comment", 2, comment_id="1")], {"comments": 1}),
        ([_did("comment", comment_id="1"), _did("comment", 2, comment_id="2")], {"comments": 2}),
        ([_did("comment", 9, comment_id="1"), _did("comment_deleted", comment_id="1")], {}),
    ],
)
def test_counts_in_any_order(events: list[Engagement], counts: dict[str, object]) -> None:
    nothing = {"reactions": {}, "comments": 0, "shares": 0}
    nothing |= {"views": 0, "clicks": 0, "hides": 0, "reports": 0}
    for order in itertools.permutations([*events, events[0]]):
        found = posts.counters(posts.fold_engagements(order))
        assert found == ({"p": nothing | counts} if counts else {})


def test_the_smallest_stamp_is_the_comment() -> None:
    first = _did("comment", 1, "u", "e1", comment_id="c", text="first")
    second = _did("comment", 1, "v", "e2", comment_id="c", text="second", parent="x")
    for order in ([first, second], [second, first]):
        assert posts.comment_views(posts.fold_engagements(order)) == {
            ("p", "c"): {
                "user_id": "u",
                "at": 1,
                "text": "first",
                "parent": None,
            }
        }


def test_comments_have_likes_and_answers() -> None:
    """Of a comment that is there, in any order; a reaction of any kind is a like."""
    events = [
        _did("comment", 1, "u", "e1", comment_id="c"),
        _did("comment", 1, "u", "e2", comment_id="d", parent="c"),
        _did("comment", 1, "u", "e3", comment_id="e", parent="c"),
        _did("comment_deleted", 2, "u", "e4", comment_id="e"),
        _did("like", 1, "u", "e5", comment_id="c"),
        _did("react", 1, "v", "e6", comment_id="c", kind="wow"),
        _did("like", 1, "w", "e7", comment_id="c"),
        _did("unlike", 2, "w", "e8", comment_id="c"),
        _did("like", 1, "w", "e9", comment_id="x"),
    ]
    for order in (events, events[::-1]):
        found = posts.fold_engagements(order)
        assert posts.comment_counts(found) == {("p", "c"): (2, 1), ("p", "d"): (0, 0)}
        assert posts.counters(found)["p"]["reactions"] == {}, "no reaction to the post"


def test_mine_is_what_is_in_force() -> None:
    events = [_did("react", 3, kind="love"), _did("share", 4), _did("share", 5, "v")]
    events += [_did("like", 6, "w"), _did("unlike", 7, "w"), _did("unshare", 9, "v")]
    events += [_did("hide", 2), _did("hide", 8), _did("hide", 1, "v")]
    assert posts.mine(posts.fold_engagements(events)) == {
        ("u", "p"): {"reaction": "love", "reacted_at": 3, "is_shared": True, "shared_at": 4}
        | {"hidden_at": 2},
        ("v", "p"): posts.NOTHING_DONE | {"hidden_at": 1},
    }


def _user(action: str, at: int, name: str | None = None) -> User:
    return User(event_id="e", action=action, user_id="u", at=at, username=name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("events", "following", "view"),
    [
        ([_user("active", 1)], {}, {}),
        ([_user("profile", 1, "old"), _user("profile", 2, "new")], {}, {"username": "new"}),
        ([_user("deactivated", 1)], {}, {"status": "deactivated"}),
        ([_user("deactivated", 1), _user("reactivated", 2)], {}, {}),
        ([_user("deleted", 1), _user("reactivated", 2)], {}, {"status": "deleted"}),
        ([], {"u": {"u:b": 1, "t:x": 2}}, {"following": 2}),
    ],
)
def test_users(
    events: list[User], following: dict[str, dict[str, int]], view: dict[str, object]
) -> None:
    for order in itertools.permutations(events):
        holders = {"old": "u", "new": "u"}
        found = users.fold_users(order, following, holders)
        assert found == ({"u": users.NOBODY | view} if view else {})


def test_a_field_is_that_of_the_newest_event_that_changes_it() -> None:
    """What stands in an event that does not name it does not count."""
    edits = [
        User(event_id="a", action="profile", user_id="u", at=1, bio="b", changes=("bio",)),
        User(event_id="b", action="profile", user_id="u", at=2, username="n", display_name="d"),
        User(
            event_id="c",
            action="profile",
            user_id="u",
            at=3,
            username="m",
            bio="c",
            preferences={"notify.like": "off", "notify.share": "off"},
            changes=("bio", "preferences.notify.share"),
        ),
    ]
    view = {"username": "n", "display_name": "d", "bio": "c", "silenced": ("share",)}
    for order in itertools.permutations(edits):
        assert users.fold_users(order, {}, {"n": "u"}) == {"u": users.NOBODY | view}
        assert names.wanted(order) == {"u": "n"}


DAY = 86_400_000


def _facts(post: list[Post], did: list[Engagement]) -> dict[tuple[str, str], float]:
    found = affinity.facts(posts.fold_posts(post), posts.fold_engagements(did), did)
    return affinity.scores(found, 10 * DAY)


@pytest.mark.parametrize(
    ("did", "scores"),
    [
        ([_did("like", 10 * DAY)], {("u", "a"): 2.0}),
        ([_did("react", 9 * DAY, kind="love")], {("u", "a"): 1.8}),
        ([_did("like", 10 * DAY), _did("unlike", 11 * DAY)], {}),
        ([_did("share", 8 * DAY)], {("u", "a"): 8 * 0.81}),
        ([_did("comment", 10 * DAY, comment_id="1")] * 2, {("u", "a"): 5.0}),
        ([_did("like", user="a"), _did("share", user="a")], {}),
    ],
)
def test_affinity(did: list[Engagement], scores: dict[tuple[str, str], float]) -> None:
    assert _facts([_created(5, "one"), DELETED], did) == pytest.approx(scores)
    assert _facts([], did) == {}


def test_messages_and_profile_views_count_once_for_each_event() -> None:
    message = Engagement(event_id="m", action="message", user_id="u", at=10 * DAY, target="b")
    view = Engagement(event_id="v", action="profile_view", user_id="u", at=10 * DAY, target="b")
    own = Engagement(event_id="o", action="message", user_id="u", at=10 * DAY, target="u")
    assert _facts([], [message, view, message, own]) == {("u", "b"): 11.0}
