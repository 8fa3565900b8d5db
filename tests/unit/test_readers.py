"""Readers: when a timeline is opened, what its sources answer, when it is closed, and when nothing
is brought to it any more."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.topics import Topic
from schemas.views import CloseTimeline, OpenTimeline, RefillTimeline, TimelineOp
from streams import users
from streams.facts import Dormant, Fact, FollowerErased, Refill, SourceErased, Tick
from streams.sources import BACKFILL_ACTIVITIES, RECENT_ACTIVITIES, SourceFold
from streams.users import HOUR_MS, UserFold
from tests.unit.folds import (
    NOW,
    Folded,
    activity,
    fold_all,
    followed,
    relation,
    removal,
    time,
    user,
)

HOUR = NOW // HOUR_MS


def _tick(hours: float) -> Tick:
    return Tick(int((HOUR + hours) * HOUR_MS))


def _operations(folded: Folded) -> list[tuple[str, str]]:
    return [
        (type(each).__name__.removesuffix("Timeline").lower(), each.owner)
        for each in folded.operations()
        if isinstance(each, OpenTimeline | CloseTimeline)
    ]


def _read(*hours: float, last: float = 0) -> Folded:
    """Ann reads at some hours, the clock goes on until the last."""
    events: list[Any] = []
    for hour in hours:
        events += [_tick(hour), user("active", at=0)]
    return fold_all(UserFold, [*events, *(_tick(n) for n in range(int(hours[-1]), int(last) + 1))])


@pytest.mark.parametrize(
    ("hours", "last", "expected"),
    [
        pytest.param([0], 24.5, ["open"], id="open for a day"),
        pytest.param([0], 25, ["open", "close"], id="and then closed"),
        pytest.param([0, 0, 1, 20], 44, ["open"], id="as long as it is read"),
        pytest.param([0, 20], 45, ["open", "close"], id="a day after the last"),
        pytest.param([0, 30], 30, ["open", "close", "open"], id="opened again"),
        pytest.param([*range(0, 168, 20), 168], 168, ["open", "open"], id="anew after a week"),
    ],
)
def test_a_timeline_is_open_while_it_is_read(
    hours: list[float], last: float, expected: list[str]
) -> None:
    folded = Folded(UserFold)
    times = sorted({*map(float, range(int(last) + 1)), float(last), *map(float, hours)})
    for hour in times:
        folded.add(_tick(hour))
        folded.add(*(user("active") for each in hours if each == hour))
        folded.checkpoint()
    assert [name for name, _ in _operations(folded)] == expected


def test_a_read_before_the_first_tick_opens_once() -> None:
    folded = fold_all(UserFold, [user("active"), _tick(0), user("active"), user("active")])
    assert _operations(folded) == [("open", "ann")]
    folded.add(_tick(1), user("active"), _tick(168), user("active"))
    assert [name for name, _ in _operations(folded)] == ["open", "close", "open"]


def test_a_timeline_is_closed_that_was_opened_within_the_hour_of_the_first_follow() -> None:
    folded = Folded(UserFold).add(_tick(0), followed("follow", "ann", "u:bob"), user("active"))
    folded.add(*(_tick(hour) for hour in range(1, 26)))
    assert _operations(folded) == [("open", "ann"), ("close", "ann")]


def test_nothing_is_left_of_who_reads_no_longer() -> None:
    folded = _read(0, last=32 * 24).checkpoint()
    assert {name for name, size in folded.state.sizes().items() if size} == {"clock"}


# Who is dormant

FOLLOWS = [followed("follow", "ann", f"u:{name}") for name in ("bob", "cy", "dan")]
LEFT = followed("unfollow", "ann", "u:dan", 1)


def _dormant(folded: Folded) -> list[tuple[str, str]]:
    facts = folded.facts(Topic.BY_SOURCE)
    return [(fact.source, fact.user_id) for fact in facts if isinstance(fact, Dormant)]


@pytest.mark.parametrize(
    ("days", "last", "times"),
    [
        pytest.param([0], 30, 0, id="awake for 30 days"),
        pytest.param([0], 31, 1, id="and then dormant"),
        pytest.param([0], 90, 1, id="which is told once"),
        pytest.param([0, 20, 40], 70, 0, id="as long as it is read"),
        pytest.param([0, 20, 40], 71, 1, id="30 days after the last"),
        pytest.param([0, 40], 71, 2, id="and again"),
        pytest.param([], 30, 0, id="who follows is awake as long"),
        pytest.param([], 31, 1, id="and then dormant too"),
    ],
)
def test_who_has_not_read_for_30_days_is_dormant(days: list[int], last: int, times: int) -> None:
    midnight = -HOUR % 24
    folded = Folded(UserFold).add(_tick(midnight), *FOLLOWS, LEFT)
    for day in range(last + 1):
        for half in (0, 12):
            folded.add(_tick(midnight + 24 * day + half))
            folded.add(*(user("active") for each in days if each == day and half))
        folded.checkpoint()
    assert _dormant(folded) == [("u:bob", "ann"), ("u:cy", "ann")] * times


def test_who_was_there_before_the_first_tick_is_awake_from_then_on() -> None:
    folded = Folded(UserFold).add(*FOLLOWS[:1], *(_tick(24 * day) for day in range(31)))
    assert _dormant(folded) == []
    assert _dormant(folded.add(_tick(24 * 31))) == [("u:bob", "ann")]


def test_a_tick_tells_of_some_and_the_next_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "FORGOTTEN_PER_TICK", 4)
    folded = Folded(UserFold).add(_tick(0))
    for name in ("ann", "eve", "flo"):
        folded.add(*(followed("follow", name, f"u:{other}") for other in ("bob", "cy")))
    folded.add(*(_tick(24 * day) for day in range(31)))
    counts = []
    for more in range(4):
        folded.add(_tick(24 * 31 + more))
        counts.append(len(_dormant(folded)))
    assert counts == [4, 6, 6, 6]


def test_who_is_erased_is_not_dormant() -> None:
    folded = Folded(UserFold).add(_tick(0), *FOLLOWS, user("active"), user("deleted"))
    folded.add(*(_tick(24 * day) for day in range(33))).checkpoint()
    assert _dormant(folded) == []
    assert not {"reading", "last_day"} & {n for n, size in folded.state.sizes().items() if size}


FOLLOW = relation("follow")
DORMANT = Dormant("u:ann", "bob")


def test_nothing_is_pushed_to_who_is_dormant() -> None:
    folded = fold_all(SourceFold, [FOLLOW, activity("seen"), DORMANT, activity("missed", 1)])
    assert folded.timelines()["bob"] == {("seen", "u:ann"): time(0)}
    folded.add(removal(activity("seen")))
    assert "bob" not in folded.timelines()


def test_who_wakes_up_is_given_what_is_held_and_pushed_to_again() -> None:
    facts = [FOLLOW, DORMANT, activity("missed"), Refill("u:ann", "bob", "e"), activity("new", 1)]
    folded = fold_all(SourceFold, facts)
    expected = {("missed", "u:ann"): time(0), ("new", "u:ann"): time(1)}
    assert folded.timelines()["bob"] == expected


def test_who_follows_anew_is_awake() -> None:
    again = [relation("unfollow", at=1), relation("follow", at=2)]
    folded = fold_all(SourceFold, [FOLLOW, DORMANT, *again, activity("new", 3)])
    assert folded.timelines()["bob"] == {("new", "u:ann"): time(3)}


@pytest.mark.parametrize("facts", [[], [FOLLOW, relation("unfollow", at=1)]])
def test_who_does_not_follow_is_not_dormant(facts: list[Fact]) -> None:
    folded = fold_all(SourceFold, [*facts, DORMANT, relation("follow", at=2), activity("new", 3)])
    assert folded.timelines()["bob"] == {("new", "u:ann"): time(3)}


def test_each_followed_source_and_ones_own_is_asked() -> None:
    folded = fold_all(
        UserFold,
        [
            followed("follow", "ann", "u:bob"),
            followed("follow", "ann", "t:x"),
            followed("follow", "ann", "u:cy", 1),
            followed("unfollow", "ann", "u:cy", 2),
            user("active", id="e"),
        ],
    )
    sources = ["u:ann", "t:x", "u:bob"]
    asked = [fact for fact in folded.facts(Topic.BY_SOURCE) if isinstance(fact, Refill)]
    assert asked == [Refill(source, "ann", "e") for source in sources]
    assert folded.operations() == [OpenTimeline("ann", "e", len(sources))]


def test_the_timeline_of_who_is_erased_is_closed() -> None:
    folded = fold_all(UserFold, [user("active"), user("deleted"), user("active", at=1)])
    assert _operations(folded) == [("open", "ann"), ("close", "ann")]


# What a source answers


def _answers(facts: list[Fact], owner: str = "bob", heavy_followers: int = 9) -> RefillTimeline:
    def make(state: Any, outbox: Any) -> SourceFold:
        return SourceFold(state, outbox, heavy_followers=heavy_followers)

    folded = fold_all(make, [*facts, Refill("u:ann", owner, "e")])
    found: list[TimelineOp] = folded.operations()
    (answer,) = (each for each in found if isinstance(each, RefillTimeline))
    assert (answer.owner, answer.epoch) == (owner, "e")
    return answer


OLD = [activity(f"old{n}", n) for n in range(BACKFILL_ACTIVITIES + 5)]


def _entries(*activities: Any) -> list[tuple[str, str, int]]:
    return sorted((each.post_id, each.reason, each.at) for each in activities)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param([FOLLOW, activity()], _entries(activity()), id="what it holds"),
        pytest.param([*OLD, FOLLOW], _entries(*OLD), id="also what was before the follow"),
        pytest.param([activity()], [], id="nothing for who does not follow"),
        pytest.param([FOLLOW, activity(), relation("unfollow", at=1)], [], id="or no longer"),
        pytest.param(
            [FOLLOW, activity(visibility="private"), activity("q", visibility="followers")],
            _entries(activity("q")),
            id="what is for the follower",
        ),
        pytest.param(
            [FOLLOW, activity("q", visibility="custom", audience=("bob",))],
            _entries(activity("q")),
            id="an audience",
        ),
        pytest.param([FOLLOW, activity(), SourceErased("u:ann")], [], id="nothing once erased"),
        pytest.param(
            [FOLLOW, activity(), FollowerErased("u:ann", "bob")], [], id="of who is erased"
        ),
    ],
)
def test_a_source_answers_a_follower(
    facts: list[Fact], expected: list[tuple[str, str, int]]
) -> None:
    answer = _answers(facts)
    assert [tuple(entry) for entry in answer.entries] == expected
    assert answer.floor == 0


def test_a_source_answers_its_own_timeline_with_all() -> None:
    facts: list[Fact] = [activity(visibility="private"), activity("q", sharer="ann", author="cy")]
    answer = _answers(facts, "ann")
    assert {(post, reason) for post, reason, _ in answer.entries} == {
        ("p", "u:ann"),
        ("q", "s:ann"),
    }


def test_a_heavy_source_answers_with_what_it_pushed() -> None:
    followers = [relation("follow", name) for name in ("cy", "dan")]
    facts: list[Fact] = [FOLLOW, activity("pushed"), *followers, activity("pulled")]
    assert [post for post, *_ in _answers(facts, heavy_followers=3).entries] == ["pushed"]


def test_the_floor_is_the_newest_that_is_held_no_more() -> None:
    posts = [activity(f"p{n}", n) for n in range(RECENT_ACTIVITIES + 3)]
    answer = _answers([FOLLOW, *posts, activity("late", 1.5)])
    assert answer.floor == time(2)
    assert len(answer.entries) == RECENT_ACTIVITIES
