"""The score of the first pass, and the rankers of the second, by their formulas."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest

from api.ranking.features import CAP
from api.ranking.rankers import Chronological, Heuristic, Ranker, Weighted, ranker_of
from api.ranking.scores import Score, demoted, demotions, first_pass, first_terms
from api.ranking.weights import Demotions, FirstPass, Weights
from api.ranking.weights import Heuristic as HeuristicWeights
from tests.unit.ranking_rows import row

WEIGHTS = Weights()


def first(**fields: Any) -> float:
    return first_pass(row(**fields), FirstPass(), Demotions())


@pytest.mark.parametrize(
    ("fields", "score"),
    [
        ({"age": 0}, 1.0),
        ({"age": 12.5}, 0.5),
        ({"age": 0, "likes": 2, "comments": 3, "shares": 4}, 1 + 2 + 9 + 20),
        ({"age": 25, "likes": 8}, 9 / 3),
        ({"age": 0, "affinity": 50.0}, 1.5),
        ({"age": 0, "affinity": 100.0}, 2.0),
        (
            {"age": 0, "likes_kind": 100.0, "likes_topic": 50.0, "likes_language": 10.0},
            2 * 1.5 * 1.1,
        ),
        ({"age": 0, "aversion": 5.0}, 0.5),
        ({"age": 0, "aversion": 10.0}, 0.25),
        ({"age": 0, "is_seen": True}, 0.3),
        ({"age": 0, "is_viral": True}, 0.75),
    ],
)
def test_the_first_score_is_the_product_of_its_formula(
    fields: dict[str, Any], score: float
) -> None:
    assert first(**fields) == pytest.approx(score)


def test_posts_without_engagement_are_ordered_too() -> None:
    scores = [first(age=1), first(age=2), first(age=1, affinity=9.0), first(age=1, aversion=5.0)]
    assert len(set(scores)) == 4
    assert all(score > 0 for score in scores)


def test_the_terms_of_the_first_score_are_its_factors() -> None:
    given = row(likes=3, affinity=20.0, is_seen=True, aversion=2.0), FirstPass(), Demotions()
    terms = first_terms(*given)
    assert prod(value for _, value in terms) == pytest.approx(first_pass(*given))
    names = [name for name, _ in terms]
    assert names == [
        *("engagement", "recency", "affinity", "type", "topics", "language"),
        *("seen", "aversion"),
    ]


def test_a_type_has_a_factor_for_everybody() -> None:
    weights = FirstPass(types={"video": 3.0})
    score = first_pass(row(age=0, kind="video"), weights, Demotions())
    assert score == 3.0
    assert first_pass(row(age=0), weights, Demotions()) == 1.0


@pytest.mark.parametrize("score", [2.0, -2.0])
def test_what_is_demoted_is_less_whatever_its_sign(score: float) -> None:
    factors = demotions(row(is_seen=True, is_viral=True, aversion=5.0), Demotions())
    assert [name for name, _ in factors] == ["seen", "viral", "aversion"]
    assert demoted(score, factors) < score
    assert demoted(score, ()) == score


RANKERS = [Chronological, Heuristic, Weighted]


@pytest.mark.parametrize("make", RANKERS)
def test_the_terms_of_a_ranker_add_up_to_its_score(make: Any) -> None:
    rows = [
        row("p", likes=3, views=9),
        row("q", age=900, hides=40, views=50),
        row("r", affinity=CAP),
    ]
    for score in make(WEIGHTS).scores(rows):
        assert sum(value for _, value in score.terms) == pytest.approx(score.value)


@pytest.mark.parametrize("make", RANKERS)
def test_a_ranker_scores_each_row_in_its_place(make: Any) -> None:
    rows = [row("p", age=3, likes=4), row("q", age=1), row("r", age=9, affinity=5.0)]
    ranker: Ranker = make(WEIGHTS)
    assert list(ranker.scores(rows))[::-1] == list(ranker.scores(rows[::-1]))
    assert not ranker.scores([])


@pytest.mark.parametrize("name", ["chronological", "heuristic", "weighted"])
def test_the_weights_name_the_ranker(name: Any) -> None:
    assert ranker_of(Weights(ranker=name)).name == name


def one(make: Any, **fields: Any) -> Score:
    (score,) = make(WEIGHTS).scores([row(**fields)])
    assert isinstance(score, Score)
    return score


def test_weighted_is_the_sum_of_002() -> None:
    assert one(Weighted, age=0).value == pytest.approx(0.4)
    assert one(Weighted, age=3, likes=5, comments=2).value == pytest.approx(0.1 + 0.4 * 9 / 10)
    assert one(Weighted, age=0, affinity=50.0).value == pytest.approx(0.4 + 0.1)


def test_chronological_heeds_nothing_but_the_age() -> None:
    assert one(Chronological, age=1) == one(Chronological, age=1, likes=900, affinity=CAP)
    assert one(Chronological, age=1).value > one(Chronological, age=1.001).value


def likely(**fields: Any) -> dict[str, float]:
    """The estimated probabilities: the terms of a heuristic whose weights are all 1."""
    weights = Weights(heuristic=HeuristicWeights(like=1, comment=1, share=1, hide=1))
    (score,) = Heuristic(weights).scores([row(**fields)])
    return {name: abs(value) for name, value in score.terms}


def test_of_a_post_of_which_nothing_is_known_the_usual_is_expected() -> None:
    assert likely(age=0) == pytest.approx(
        {"p_like": 0.05, "p_comment": 0.01, "p_share": 0.01, "p_hide": 0.005}
    )


def test_rates_are_the_means_of_beta_distributions() -> None:
    found = likely(age=0, views=80, likes=19, comments=4, shares=1, hides=8)
    assert found == pytest.approx(
        {"p_like": 20 / 100, "p_comment": 4.2 / 100, "p_share": 1.2 / 100, "p_hide": 8.1 / 100}
    )


def test_without_views_the_most_frequent_act_stands_for_them() -> None:
    assert likely(age=0, likes=80)["p_like"] == pytest.approx(81 / 100)
    assert likely(age=0, likes=80)["p_share"] == pytest.approx(0.2 / 100)


def test_the_odds_grow_by_what_the_reader_likes_and_fall_with_age() -> None:
    usual = likely(age=0)["p_like"]
    odds = usual / (1 - usual) * 2 * 1.5
    found = likely(age=0, affinity=100.0, likes_topic=50.0)
    assert found["p_like"] == pytest.approx(odds / (1 + odds))
    assert found["p_hide"] == pytest.approx(0.005 / 0.995 / 3 / (1 + 0.005 / 0.995 / 3))
    assert likely(age=12.5)["p_like"] < usual
    assert likely(age=12.5)["p_hide"] == pytest.approx(0.005)


def test_the_heuristic_weighs_as_003_does() -> None:
    rates = likely(age=2, views=50, likes=9, comments=3, shares=2, hides=1)
    wanted = rates["p_like"] + 2 * rates["p_comment"] + 3 * rates["p_share"] - 5 * rates["p_hide"]
    score = one(Heuristic, age=2, views=50, likes=9, comments=3, shares=2, hides=1)
    assert score.value == pytest.approx(wanted)


def test_who_hides_a_post_costs_it_its_place() -> None:
    assert one(Heuristic, views=100, likes=10, hides=30).value < 0
    assert one(Heuristic, views=100, likes=10).value > one(Heuristic).value
