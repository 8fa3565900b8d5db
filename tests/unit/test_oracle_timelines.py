"""The oracle's relations and timelines, as small cases."""

from __future__ import annotations

import itertools

import pytest
from msgspec.structs import replace

from schemas.events import Engagement, Follow, Post
from streams.facts import Activity, RelationFact, Removal
from tests.oracle.notices import favourite_posts
from tests.oracle.posts import PostState, fold_engagements, fold_posts
from tests.oracle.relations import Relations, fold_follows
from tests.oracle.timelines import Timelines, activities, fold_log, log_differences

FAVOURED = Follow(
    event_id="follow1", action="follow", user_id="f", target="u:a", at=1, is_favourite=True
)


def _follow(action: str, at: int, user: str = "f", target: str = "u:a") -> Follow:
    return Follow(event_id=f"{action}{at}", action=action, user_id=user, target=target, at=at)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("events", "is_following"),
    [
        ([_follow("follow", 1)], True),
        ([_follow("follow", 1), _follow("unfollow", 2)], False),
        ([_follow("follow", 3), _follow("unfollow", 2)], True),
        ([_follow("follow", 1), _follow("block", 2)], False),
        ([_follow("follow", 1), _follow("block", 2), _follow("unblock", 3)], False),
        ([_follow("block", 2), _follow("unblock", 3), _follow("follow", 4)], True),
        ([_follow("block", 2), _follow("follow", 3)], False),
        ([_follow("block", 2), _follow("follow", 3), _follow("unblock", 4)], False),
        ([_follow("follow", 1), _follow("block", 2, "a", "u:f")], False),
        ([_follow("follow", 1), _follow("mute", 2)], True),
        ([_follow("follow", 1, target="t:x"), _follow("block", 2, target="t:x")], False),
    ],
)
def test_six_stamps_decide_in_any_order(events: list[Follow], is_following: bool) -> None:
    for order in itertools.permutations([*events, events[0]]):
        found = fold_follows(order)
        assert bool(found.following.get("f")) == is_following
        assert bool(found.followers) == is_following


@pytest.mark.parametrize(
    ("events", "is_favourite"),
    [
        ([FAVOURED], True),
        ([FAVOURED, _follow("follow", 2)], False),
        ([FAVOURED, _follow("follow", 1, "g")], True),
        ([FAVOURED, _follow("unfollow", 2)], False),
        ([FAVOURED, _follow("block", 2, "a", "u:f")], False),
        ([replace(FAVOURED, target="t:x")], False),
        ([replace(FAVOURED, action="mute")], False),
    ],
)
def test_the_newest_follow_says_who_is_a_favourite(
    events: list[Follow], is_favourite: bool
) -> None:
    for order in itertools.permutations([*events, events[0]]):
        assert fold_follows(order).favourites == ({("u:a", "f")} if is_favourite else set())


def test_both_see_a_block() -> None:
    assert fold_follows([_follow("block", 1)]).blocks == {"f": {"u:a"}, "a": {"u:f"}}
    assert fold_follows([_follow("block", 1), _follow("unblock", 2)]).blocks == {}
    assert fold_follows([_follow("block", 1, target="t:x")]).blocks == {"f": {"t:x"}}


def _post(number: int, visibility: str = "public", audience: tuple[str, ...] = ()) -> Post:
    return Post(
        event_id=f"p{number}",
        action="created",
        post_id=f"p{number:03}",
        author_id="a",
        at=number,
        visibility=visibility,  # type: ignore[arg-type]
        audience=audience,
    )


def _activity(post: Post) -> Activity:
    return Activity("u:a", "u:a", post.post_id, post.at, post.visibility, post.audience, "a")


def _fact(event: Follow) -> RelationFact:
    return RelationFact(
        event.target,
        event.user_id,
        event.action,  # type: ignore[arg-type]
        event.at,
        event.event_id,
        event.is_favourite,
    )


Log = list[Activity | Removal | RelationFact]


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ("fp", {"p001"}),
        ("pf", set()),
        ("fpu", set()),
        ("fpuf", set()),
        ("fpufq", {"p002"}),
        ("fpr", set()),
        ("fprp", {"p001"}),
        ("fpsq", {"p001", "p002"}),
        ("gpq", set()),
    ],
)
def test_posts_since_the_source_is_a_favourite_are_told(steps: str, told: set[str]) -> None:
    """f: favours, g: follows only, s: says so again, u: leaves, p and q: posts, r: p goes."""
    log: Log = []
    standing: dict[str, Post] = {}
    for at, step in enumerate(steps, 1):
        match step:
            case "f" | "s":
                log.append(_fact(replace(FAVOURED, at=at, event_id=f"{at}")))
            case "g" | "u":
                log.append(_fact(_follow("follow" if step == "g" else "unfollow", at)))
            case "p" | "q":
                post = standing[step] = _post("pq".index(step) + 1)
                log.append(_activity(post))
            case "r":
                post = standing.pop("p")
                log.append(Removal("u:a", "u:a", post.post_id, post.at))
    implied = activities(fold_posts(standing.values()), {})
    found = favourite_posts(implied, fold_log((0, record) for record in log))
    assert {act[2] for group, act in found if group == ("f", "favourite_post", "a")} == told


@pytest.mark.parametrize(
    ("post", "is_told"),
    [
        ({}, True),
        ({"visibility": "friends"}, True),
        ({"visibility": "private"}, False),
        ({"visibility": "custom", "audience": ("f",)}, True),
        ({"visibility": "custom", "audience": ("g",)}, False),
        ({"reply_to": "x"}, False),
    ],
)
def test_which_posts_of_a_favourite_are_told(post: dict[str, object], is_told: bool) -> None:
    made = replace(_post(1), **post)
    standing = activities(fold_posts([made]), {})
    activity = replace(_activity(made), is_reply=made.reply_to is not None)
    related = fold_follows([FAVOURED])
    log = fold_log((0, record) for record in (_fact(FAVOURED), activity))
    assert list(log_differences(standing, log, related)[1]) == []
    assert bool(list(favourite_posts(standing, log))) is is_told


def test_a_favourite_that_the_log_does_not_know_is_told() -> None:
    log = fold_log([(0, _fact(_follow("follow", 1)))])
    (found,) = log_differences({}, log, fold_follows([FAVOURED]))[1]
    assert found[0] == "favourers of u:a"


def _timelines(
    posts: list[Post], follows: list[Follow], log: Log, heavy_followers: int = 10_000
) -> Timelines:
    implied = activities(fold_posts(posts), {})
    related = fold_follows(follows)
    folded = fold_log(((0, record) for record in log), heavy_followers)
    _, differences = log_differences(implied, folded, related)
    assert list(differences) == []
    return Timelines(implied, folded, related)


def _numbers(timelines: Timelines, user: str) -> list[int]:
    return [at for at, _, _ in timelines.entries(user)]


FOLLOW = _follow("follow", 1)
PLAIN = [_post(n) for n in range(1, 131)]


def test_a_follow_gives_the_20_newest_and_what_comes_later() -> None:
    early = [_activity(post) for post in PLAIN[:30]]
    late = [_activity(PLAIN[30])]
    found = _timelines(PLAIN[:31], [FOLLOW], [*early, _fact(FOLLOW), *late])
    assert _numbers(found, "f") == [31, *range(30, 10, -1)]
    assert _numbers(found, "a") == list(range(31, 0, -1))
    assert found.served("f")[0] == ("p031", frozenset({"u:a"}))


def test_an_old_post_that_comes_later_is_pushed() -> None:
    log: Log = [_activity(PLAIN[5]), _fact(FOLLOW), _activity(PLAIN[0])]
    assert _numbers(_timelines([PLAIN[0], PLAIN[5]], [FOLLOW], log), "f") == [6, 1]


def test_a_source_holds_100_and_what_fell_out_is_gone_for_good() -> None:
    deleted = [
        Post(event_id="d", action="deleted", post_id=post.post_id, at=999) for post in PLAIN[5:105]
    ]
    log: Log = [_activity(post) for post in PLAIN[:105]]
    log += [Removal("u:a", "u:a", post.post_id, post.at) for post in PLAIN[5:105]]
    log += [_fact(FOLLOW)]
    found = _timelines([*PLAIN[:105], *deleted], [FOLLOW], log)
    assert _numbers(found, "f") == []
    assert _numbers(found, "a") == [5, 4, 3, 2, 1]
    assert "a" in found.shrunk


def test_following_again_begins_anew() -> None:
    again, ended = _follow("follow", 3), _follow("unfollow", 2)
    log: Log = [_fact(FOLLOW), *map(_activity, PLAIN[:30]), _fact(ended), _fact(again)]
    found = _timelines(PLAIN[:30], [FOLLOW, ended, again], log)
    assert _numbers(found, "f") == list(range(30, 10, -1))
    assert "f" in found.shrunk


def test_a_late_unfollow_of_an_older_follow_changes_nothing() -> None:
    again, ended = _follow("follow", 3), _follow("unfollow", 2)
    log: Log = [_fact(again), *map(_activity, PLAIN[:30]), _fact(ended)]
    assert len(_numbers(_timelines(PLAIN[:30], [again, ended], log), "f")) == 30


@pytest.mark.parametrize("is_following_first", [True, False])
@pytest.mark.parametrize(
    ("visibility", "audience", "is_seen"),
    [
        ("public", (), True),
        ("followers", (), True),
        ("custom", ("f",), True),
        ("custom", ("g",), False),
        ("friends", (), True),
        ("private", (), False),
    ],
)
def test_who_may_see(
    visibility: str, audience: tuple[str, ...], is_seen: bool, is_following_first: bool
) -> None:
    post = _post(7, visibility, audience)
    log: Log = [_fact(FOLLOW), _activity(post)]
    found = _timelines([post], [FOLLOW], log if is_following_first else log[::-1])
    assert _numbers(found, "f") == ([7] if is_seen else [])
    assert _numbers(found, "a") == [7]


def test_an_activity_that_moved_stands_at_its_last_place() -> None:
    first, second = _post(9), _post(9)
    earlier = Post(event_id="0", action="created", post_id="p009", author_id="a", at=4)
    log: Log = [_activity(first), _fact(FOLLOW), Removal("u:a", "u:a", "p009", 9)]
    log += [Activity("u:a", "u:a", "p009", 4, "public", (), "a")]
    found = _timelines([second, earlier], [FOLLOW], log)
    assert _numbers(found, "f") == [4]


def test_shares_reach_the_sharers_followers_and_group_by_post() -> None:
    share = Engagement(event_id="s", action="share", user_id="b", at=50, post_id="p001")
    implied = activities(fold_posts(PLAIN[:2]), fold_engagements([share]).shared)
    follows = [FOLLOW, _follow("follow", 1, target="u:b")]
    log: Log = [_fact(follow) for follow in follows]
    log += [_activity(PLAIN[0]), _activity(PLAIN[1])]
    log += [Activity("u:b", "s:b", "p001", 50, "public", (), "a")]
    found = Timelines(implied, fold_log((0, r) for r in log), fold_follows(follows))
    assert list(found.entries("f")) == [(50, "p001", "s:b"), (2, "p002", "u:a"), (1, "p001", "u:a")]
    assert found.served("f") == [("p001", frozenset({"s:b", "u:a"})), ("p002", frozenset({"u:a"}))]
    assert _numbers(found, "b") == [50]


@pytest.mark.parametrize(
    "change",
    [
        Post(event_id="x", action="edited", post_id="p001", at=60, visibility="followers"),
        Post(event_id="x", action="deleted", post_id="p001", at=60),
    ],
)
def test_shares_of_what_is_not_public_hold_no_more(change: Post) -> None:
    share = Engagement(event_id="s", action="share", user_id="b", at=50, post_id="p001")
    found = activities(fold_posts([PLAIN[0], change]), fold_engagements([share]).shared)
    assert "u:b" not in found


def test_a_topic_brings_posts_and_has_no_timeline() -> None:
    post = Post(
        event_id="e",
        action="created",
        post_id="p",
        author_id="a",
        at=7,
        content=f"#Rust #go #{'x' * 255}",
    )
    implied = activities(fold_posts([post]), {})
    assert set(implied) == {"u:a", "t:rust", "t:go"}
    follows = [_follow("follow", 1, target="t:RUST"), _follow("follow", 1)]
    log: Log = [
        RelationFact("t:rust", "f", "follow", 1, follows[0].event_id),
        _fact(follows[1]),
        _activity(post),
        *(Activity(topic, topic, "p", 7, "public", (), "a") for topic in ("t:rust", "t:go")),
    ]
    found = Timelines(implied, fold_log((0, r) for r in log), fold_follows(follows))
    assert found.served("f") == [("p", frozenset({"u:a", "t:rust"}))]
    assert set(found.rows) == {"a", "f"}


def _by(user: str, action: str = "follow", at: int = 1) -> Follow:
    return Follow(event_id=f"{user}{at}", action=action, user_id=user, target="u:a", at=at)  # type: ignore[arg-type]


def test_what_a_heavy_source_adds_is_pulled_and_not_on_timelines() -> None:
    f, g = _by("f"), _by("g")
    log: Log = [_activity(PLAIN[0]), _fact(f), _activity(PLAIN[1]), _fact(g), _activity(PLAIN[2])]
    found = _timelines(PLAIN[:3], [f, g], log, heavy_followers=2)
    assert {user: _numbers(found, user) for user in "afgx"} == {
        "a": [3, 2, 1],
        "f": [2, 1],
        "g": [],
        "x": [],
    }
    assert found.recents() == {("u:a", f"p{n:03}", "u:a"): n for n in (1, 2, 3)}
    assert found.users() == {"a", "f", "g"}
    for user in "fg":
        assert [at for at, _, _ in found.candidates(user)] == [3, 2, 1]
    assert list(found.candidates("x")) == []


def test_a_source_that_becomes_light_gives_what_it_holds_to_who_is_left() -> None:
    f, g, gone = _by("f"), _by("g"), _by("g", "unfollow", 2)
    log: Log = [_fact(f), _fact(g), _activity(PLAIN[0]), _fact(gone), _activity(PLAIN[1])]
    found = _timelines(PLAIN[:2], [f, g, gone], log, heavy_followers=2)
    assert {user: _numbers(found, user) for user in "afg"} == {"a": [2, 1], "f": [2, 1], "g": []}
    assert found.recents() == {}


@pytest.mark.parametrize(("left", "is_heavy"), [(0, True), (1, True), (2, False)])
def test_a_source_stays_heavy_down_to_nine_tenths(left: int, is_heavy: bool) -> None:
    follows = [_by(f"user{n}") for n in range(10)]
    ended = [_by(f"user{n}", "unfollow", 2) for n in range(left)]
    log: Log = [*map(_fact, follows), *map(_fact, ended), _activity(PLAIN[0])]
    found = _timelines(PLAIN[:1], [*follows, *ended], log, heavy_followers=10)
    assert (found.pulled.keys() == {"u:a"}) is is_heavy
    assert _numbers(found, "user9") == ([] if is_heavy else [1])


DAMAGED: list[tuple[str, Log]] = [
    ("an activity is missing", [_fact(FOLLOW)]),
    ("a relation is missing", [_activity(PLAIN[0])]),
    ("an activity too many", [_fact(FOLLOW), _activity(PLAIN[0]), _activity(PLAIN[1])]),
    ("a removal too many", [_fact(FOLLOW), _activity(PLAIN[0]), Removal("u:a", "u:a", "p001", 1)]),
    ("another time", [_fact(FOLLOW), Activity("u:a", "u:a", "p001", 2, "public", (), "a")]),
    ("another stamp", [_fact(_follow("follow", 2)), _activity(PLAIN[0])]),
    ("a relation too many", [_fact(FOLLOW), _activity(PLAIN[0]), _fact(_follow("block", 1))]),
]


@pytest.mark.parametrize("log", [log for _, log in DAMAGED], ids=[name for name, _ in DAMAGED])
def test_each_fault_in_the_log_is_one_difference(log: Log) -> None:
    posts: dict[str, PostState] = fold_posts([PLAIN[0]])
    related: Relations = fold_follows([FOLLOW])
    compared, differences = log_differences(
        activities(posts, {}), fold_log((0, record) for record in log), related
    )
    assert compared == 2
    assert len(list(differences)) == 1


def test_a_source_in_two_partitions_differs() -> None:
    log = fold_log([(0, _fact(FOLLOW)), (1, _activity(PLAIN[0]))])
    _, differences = log_differences(
        activities(fold_posts([PLAIN[0]]), {}), log, fold_follows([FOLLOW])
    )
    assert [what for what, _, _ in differences] == ["partition of u:a"]
