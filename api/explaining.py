"""Scores and their terms as the API gives them."""

from __future__ import annotations

from collections.abc import Iterable

from api.feed_models import Explanation, ScoreOut, TermOut
from api.ranking.scores import Score, Term
from api.snapshots import Explained

LATEST = "latest"


def explanation(ranker: str | None, explained: Explained, index: int) -> Explanation:
    """How a post came to a place, from 0, of a ranked feed."""
    return Explanation(
        ranker=ranker,
        score=explained.score,
        first_pass=_score(explained.first),
        second_pass=None if explained.second is None else _score(explained.second),
        demotions=_terms(explained.factors),
        position=index + 1,
        position_by_score=explained.by_score + 1,
    )


def explanation_of_time(at: int) -> Explanation:
    """How a post whose newest entry has a time (ms) came to its place in `latest`."""
    return Explanation(
        ranker=LATEST,
        score=at,
        first_pass=None,
        second_pass=_score(Score(at, (("time", at),))),
        demotions=[],
        position=None,
        position_by_score=None,
    )


def _score(score: Score) -> ScoreOut:
    return ScoreOut(score=score.value, terms=_terms(score.terms))


def _terms(terms: Iterable[Term]) -> list[TermOut]:
    return [TermOut(name=name, value=value) for name, value in terms]
