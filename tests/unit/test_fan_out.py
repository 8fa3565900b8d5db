"""Fan-out that is put off: what waits, who has a turn, and for whom it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from unittest import mock

import pytest

from schemas.views import PushEntry, RemoveEntry
from streams import fan_out
from streams.facts import Activity
from streams.sources import SourceFold
from tests.unit.folds import Folded, activity, relation, removal

TURN = 10


@pytest.fixture(autouse=True)
def _small_limits() -> Iterator[None]:
    with (
        mock.patch.object(fan_out, "DELIVERIES_AT_ONCE", 20),
        mock.patch.object(fan_out, "DELIVERIES_PER_TURN", TURN),
    ):
        yield


def _followed(**sizes: int) -> Folded:
    """Sources with so many followers each."""
    folded = Folded(SourceFold)
    for source, size in sizes.items():
        names = (f"{source}{n:03}" for n in range(size))
        folded.add(*(relation("follow", name, source=f"u:{source}") for name in names))
    return folded.checkpoint()


def _by(source: str, post: str = "p") -> Activity:
    return activity(post, author=source)


def _delivered(folded: Folded) -> Counter[str]:
    """How many followers each source's activities have reached, or left."""
    return Counter(
        operation.reason
        for operation in folded.operations()
        if isinstance(operation, PushEntry | RemoveEntry)
        for owner in operation.owners
        if f"u:{owner}" != operation.reason
    )


def test_a_small_audience_is_reached_at_once() -> None:
    folded = _followed(ann=20).add(_by("ann"))
    assert _delivered(folded) == {"u:ann": 20}
    assert folded.checkpoint().fold.backlog == 0


def test_a_large_audience_is_reached_piece_by_piece() -> None:
    folded = _followed(ann=25).add(_by("ann")).checkpoint()
    assert list(folded.timelines()) == ["ann"], "the author's own timeline does not wait"
    reached = []
    while folded.fold.backlog:
        assert folded.fold.work(TURN) <= TURN
        reached.append(_delivered(folded.checkpoint())["u:ann"])
    assert reached == [10, 20, 25]


def test_a_burst_waits_also_when_its_audience_is_small() -> None:
    folded = _followed(ann=15).add(_by("ann", "p"), _by("ann", "q")).checkpoint()
    assert _delivered(folded) == {"u:ann": 15}
    assert folded.fold.work(100) == 15
    folded.add(_by("ann", "r"))
    assert _delivered(folded) == {"u:ann": 45}


def test_what_a_source_does_while_its_work_waits_waits_too() -> None:
    folded = _followed(ann=21).add(_by("ann")).checkpoint()
    folded.add(relation("unfollow", "ann000", 1, source="u:ann"), removal(_by("ann"))).checkpoint()
    assert folded.fold.backlog == 2
    assert _delivered(folded) == {}
    while folded.fold.backlog:
        folded.fold.work(TURN)
        folded.checkpoint()
    assert folded.timelines() == {}
    assert _delivered(folded) == {"u:ann": 2 * 20}, "who left has nothing to lose any more"


def test_sources_take_turns() -> None:
    folded = _followed(ann=300, bob=30, cy=21)
    folded.add(*(_by("ann", f"p{n}") for n in range(10)), _by("bob"), _by("cy")).checkpoint()
    reached = []
    for _ in range(10):
        folded.fold.work(TURN)
        reached.append(_delivered(folded.checkpoint()))
    assert reached[2] == {"u:ann": 10, "u:bob": 10, "u:cy": 10}
    assert reached[-1] == {"u:ann": 50, "u:bob": 30, "u:cy": 21}, "what one leaves is another's"


def test_jobs_that_wait_together_come_to_a_follower_together() -> None:
    posts = [f"p{n}" for n in range(5)]
    folded = _followed(ann=21).add(*(_by("ann", post) for post in posts)).checkpoint()
    folded.fold.work(TURN)
    folded.add(_by("ann", "later")).checkpoint()
    reached = {owner: set(found) for owner, found in folded.timelines().items() if owner != "ann"}
    assert reached == {name: {(p, "u:ann") for p in posts} for name in ("ann000", "ann001")}
    for _ in range(11):
        folded.fold.work(TURN)
        folded.checkpoint()
    assert {len(found) for found in folded.timelines().values()} == {5, 6}
    while folded.fold.backlog:
        folded.fold.work(TURN)
        folded.checkpoint()
    assert {len(found) for found in folded.timelines().values()} == {6}


def test_one_piece_of_work_serves_several_sources() -> None:
    folded = _followed(ann=300, bob=30).add(_by("ann"), _by("bob")).checkpoint()
    assert folded.fold.work(40) == 40
    assert _delivered(folded) == {"u:ann": 20, "u:bob": 20}


def test_who_follows_later_is_given_it_by_the_follow_alone() -> None:
    folded = _followed(ann=21).add(_by("ann"), relation("follow", "zed", source="u:ann"))
    assert set(folded.checkpoint().timelines()) == {"ann", "zed"}
    while folded.fold.backlog:
        folded.fold.work(TURN)
        folded.checkpoint()
    assert _delivered(folded) == {"u:ann": 21}


def test_who_left_and_came_back_is_given_it_by_the_follow_alone() -> None:
    folded = _followed(ann=21).add(_by("ann")).checkpoint()
    for at, kind in enumerate(("unfollow", "follow"), 1):
        folded.add(relation(kind, "ann007", at, source="u:ann"))  # type: ignore[arg-type]
    folded.checkpoint()
    while folded.fold.backlog:
        folded.fold.work(TURN)
        folded.checkpoint()
    assert _delivered(folded) == {"u:ann": 20}
    assert len(folded.timelines()) == 22


def test_what_begins_while_a_source_is_light_is_finished_when_it_is_heavy() -> None:
    folded = Folded(lambda state, outbox: SourceFold(state, outbox, heavy_followers=22))
    names = [f"f{n:02}" for n in range(22)]
    folded.add(*(relation("follow", name) for name in names[:21]), activity())
    folded.add(relation("follow", names[21]), activity("q")).checkpoint()
    while folded.fold.backlog:
        folded.fold.work(TURN)
        folded.checkpoint()
    assert _delivered(folded) == {"u:ann": 21}
    assert set(folded.timelines()) == {"ann", *names[:21]}


def test_who_becomes_light_again_is_pushed_piece_by_piece() -> None:
    folded = Folded(lambda state, outbox: SourceFold(state, outbox, heavy_followers=30))
    names = [f"f{n:02}" for n in range(30)]
    folded.add(*(relation("follow", name) for name in names), activity(), activity("q", 1))
    folded.add(*(relation("unfollow", name, 2) for name in names[:4])).checkpoint()
    assert set(folded.timelines()) == {"ann"}
    assert folded.fold.backlog == 2
    while folded.fold.backlog:
        folded.fold.work(TURN)
        folded.checkpoint()
    assert set(folded.timelines()) == {"ann", *names[4:]}
    assert _delivered(folded) == {"u:ann": 2 * 26}
