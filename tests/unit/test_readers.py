"""Readers: when a timeline is opened, what its sources answer, and when it is closed."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.topics import Topic
from schemas.views import CloseTimeline, OpenTimeline, RefillTimeline, TimelineOp
from streams.facts import Fact, FollowerErased, Refill, SourceErased, Tick
from streams.sources import BACKFILL_ACTIVITIES, RECENT_ACTIVITIES, SourceFold
from streams.users import HOUR_MS, UserFold
from tests.unit.folds import NOW, Folded, activity, fold_all, followed, relation, time, user

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


def test_nothing_is_left_of_who_reads_no_longer() -> None:
    folded = _read(0, last=30).checkpoint()
    assert {name for name, size in folded.state.sizes().items() if size} == {"clock"}


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


FOLLOW = relation("follow")
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
