"""The order of a ranked feed: the cut, what demotes, diversity, and rankers that fail."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import pytest

from api.ranking.features import Features
from api.ranking.order import KEPT, Order, ordered
from api.ranking.rankers import Ranker, ranker_of
from api.ranking.scores import Score
from api.ranking.weights import Diversity, Weights
from tests.unit.ranking_rows import row

WEIGHTS = Weights()


class Likes:
    """A ranker by likes, for orders that can be read off."""

    name = "likes"

    def scores(self, rows: Sequence[Features]) -> list[Score]:
        return [Score(float(row.likes), (("likes", float(row.likes)),)) for row in rows]


class Failing:
    """Raises, or gives scores that cannot be used."""

    name = "failing"

    def __init__(self, scores: list[Score] | None) -> None:
        self._scores = scores

    def scores(self, _rows: Sequence[Features]) -> list[Score]:
        if self._scores is None:
            raise ZeroDivisionError
        return self._scores


def order(rows: list[Features], ranker: Ranker | None = None) -> Order:
    return ordered(rows, WEIGHTS, ranker or Likes())


def ids(found: Order) -> list[str]:
    return [place.row.post_id for place in found.places]


def test_the_ranker_decides() -> None:
    found = order([row("p", "a", likes=1), row("q", "b", likes=3), row("r", "c", likes=2)])
    assert ids(found) == ["q", "r", "p"]
    assert not found.is_degraded


def test_of_equal_scores_the_newer_is_first_then_the_greater_id() -> None:
    rows = [row("p", "a", 2), row("q", "b", 1), row("s", "c", 2), row("r", "d", 2)]
    assert ids(order(rows)) == ["q", "s", "r", "p"]


def test_what_was_seen_stands_lower() -> None:
    rows = [row("p", "a", likes=9, is_seen=True), row("q", "b", likes=3), row("r", "c", likes=2)]
    found = order(rows)
    assert ids(found) == ["q", "p", "r"]
    assert found.places[1].factors == (("seen", 0.3),)
    assert found.places[1].score == pytest.approx(2.7)


def test_an_authors_further_posts_count_less() -> None:
    rows = [row(f"p{n}", "a", likes=100 - n) for n in range(3)] + [row("q", "b", likes=70)]
    found = order(rows)
    assert ids(found) == ["p0", "q", "p1", "p2"]
    assert found.places[2].factors == (("author", 0.625),)
    assert found.places[3].factors == (("author", 0.4375),)


def test_no_author_has_three_in_a_row_or_six_of_twenty() -> None:
    rows = [row(f"a{n:02}", "a", likes=10_000) for n in range(30)]
    rows += [row(f"b{n:02}", f"b{n}", likes=1) for n in range(40)]
    names = ids(order(rows))
    assert names[:6] == ["a29", "a28", "b39", "a27", "a26", "b38"]
    for first in range(len(names) - 20):
        part = names[first : first + 20]
        if any(name.startswith("b") for name in names[first + 19 :]):
            assert sum(name.startswith("a") for name in part) <= 5
    assert sorted(names) == sorted(each.post_id for each in rows)


def test_the_place_without_diversity_is_known() -> None:
    rows = [row(f"p{n}", "a", likes=1000 - n) for n in range(3)] + [row("q", "b", likes=1)]
    weights = Weights(diversity=Diversity(decay=1.0))
    found = ordered(rows, weights, Likes())
    assert [(place.row.post_id, place.by_score) for place in found.places] == [
        *(("p0", 0), ("p1", 1), ("q", 3), ("p2", 2)),
    ]


def test_only_the_best_of_the_first_pass_come_to_the_second() -> None:
    rows = [row(f"p{n:03}", f"a{n}", 1, likes=n) for n in range(KEPT + 3)]
    found = order(rows)
    assert ids(found)[0] == f"p{KEPT + 2}"
    assert len(found.places) == KEPT
    assert [each.post_id for each in found.cut] == ["p002", "p001", "p000"]


@pytest.mark.parametrize(
    "scores",
    [None, [], [Score(1.0, ())], [Score(nan, ())] * 3, [Score(float("inf"), ())] * 3],
    ids=["raises", "none", "too few", "no numbers", "without bound"],
)
def test_a_ranker_that_fails_costs_the_ranking_alone(scores: list[Score] | None) -> None:
    rows = [row("p", "a", 3, likes=9), row("q", "a", 1), row("r", "a", 2)]
    found = order(rows, Failing(scores))
    assert ids(found) == ["q", "r", "p"]
    assert found.is_degraded
    assert all(place.second is None for place in found.places)


def test_a_ranker_that_fails_leaves_the_newest() -> None:
    rows = [row(f"p{n:03}", "a", n, likes=n) for n in range(KEPT + 2)]
    found = order(rows, Failing(None))
    assert ids(found) == [f"p{n:03}" for n in range(KEPT)]
    assert [each.post_id for each in found.cut] == [f"p{n:03}" for n in (KEPT, KEPT + 1)]


def test_nothing_to_order() -> None:
    assert ordered([], WEIGHTS, ranker_of(WEIGHTS)) == Order([], [])
