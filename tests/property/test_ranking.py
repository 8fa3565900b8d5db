"""Ranking for any posts: nothing is lost, nothing depends on the order they come in."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from api.ranking.diversity import diversified
from api.ranking.features import Features
from api.ranking.order import KEPT, Order, ordered
from api.ranking.rankers import ranker_of
from api.ranking.scores import demoted
from api.ranking.weights import Diversity, Weights

NOW = 1_767_268_800_000
HOUR = 3_600_000

counts = st.integers(0, 50)
tastes = st.sampled_from([0.0, 0.5, 30.0, 100.0])


@st.composite
def some_rows(draw: st.DrawFn, max_size: int = 30) -> list[Features]:
    """Posts with different ids by few authors, many of them alike."""
    number = draw(st.integers(0, max_size))
    return [
        Features(
            post_id=f"p{each}",
            author_id=draw(st.sampled_from("abcd")),
            at=NOW - HOUR * draw(st.integers(0, 3)),
            age_hours=float(draw(st.integers(0, 3))),
            likes=draw(counts),
            views=draw(counts),
            hides=draw(counts),
            affinity=draw(tastes),
            aversion=draw(tastes),
            is_seen=draw(st.booleans()),
            is_viral=draw(st.booleans()),
        )
        for each in range(number)
    ]


rankers = st.sampled_from(["chronological", "heuristic", "weighted"])


def order_of(rows: list[Features], name: Any, **more: Any) -> Order:
    weights = Weights(ranker=name, **more)
    return ordered(rows, weights, ranker_of(weights))


def ids(order: Order) -> list[str]:
    return [place.row.post_id for place in order.places]


@given(some_rows(), rankers, st.randoms(use_true_random=False))
def test_the_order_they_come_in_does_not_matter(
    rows: list[Features], name: str, random: Any
) -> None:
    mixed = rows[:]
    random.shuffle(mixed)
    assert order_of(mixed, name) == order_of(rows, name)


@given(some_rows(), rankers)
def test_each_post_stands_once(rows: list[Features], name: str) -> None:
    order = order_of(rows, name)
    assert sorted(ids(order)) == sorted(row.post_id for row in rows)
    assert sorted(place.by_score for place in order.places) == list(range(len(rows)))
    assert not order.cut


@given(some_rows(), rankers)
def test_what_demotes_never_raises(rows: list[Features], name: str) -> None:
    for place in order_of(rows, name).places:
        assert place.second is not None
        assert place.score == demoted(place.second.value, place.factors)
        assert place.score <= place.second.value


authors = st.lists(st.sampled_from("aaabcdefg"), max_size=120)
limits = st.builds(
    Diversity,
    in_a_row=st.integers(1, 3),
    in_window=st.integers(1, 6),
    window=st.integers(1, 25),
)


@given(authors, limits)
def test_diversity_loses_nothing(given_authors: list[str], weights: Diversity) -> None:
    assert sorted(diversified(given_authors, weights)) == list(range(len(given_authors)))


@given(authors, limits)
def test_diversity_is_broken_only_where_it_must_be(
    given_authors: list[str], weights: Diversity
) -> None:
    """At each place, by the definition: the best of what is left that is allowed, if any is."""
    shown: list[str] = []
    left = list(range(len(given_authors)))
    for place in diversified(given_authors, weights):
        window = Counter(shown[-(weights.window - 1) :] if weights.window > 1 else [])
        tail = shown[-weights.in_a_row :]
        run = tail[0] if len(tail) == weights.in_a_row and len(set(tail)) == 1 else None
        no_run = [each for each in left if given_authors[each] != run]
        allowed = [each for each in no_run if window[given_authors[each]] < weights.in_window]
        assert place == (allowed or no_run or left)[0]
        left.remove(place)
        shown.append(given_authors[place])


@given(authors)
def test_posts_of_one_author_keep_their_order(given_authors: list[str]) -> None:
    found = diversified(given_authors, Diversity())
    for author in set(given_authors):
        places = [place for place in found if given_authors[place] == author]
        assert places == sorted(places)


@given(st.integers(KEPT - 2, KEPT + 30), rankers)
def test_what_is_below_the_cut_is_told(number: int, name: str) -> None:
    rows = [
        Features(post_id=f"p{each}", author_id=f"a{each}", at=NOW, age_hours=0.0, likes=each)
        for each in range(number)
    ]
    order = order_of(rows, name)
    assert len(order.places) == min(number, KEPT)
    assert [row.likes for row in order.cut] == list(range(number - KEPT))[::-1]
