"""Rankers: what scores the posts that the first pass has chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp
from typing import Protocol

from api.ranking.columns import COLUMNS
from api.ranking.features import CAP, Features
from api.ranking.model import BASE
from api.ranking.scores import Score, likings, recency
from api.ranking.watched_model import WatchedModel
from api.ranking.weights import RankerName, Weights


class Ranker(Protocol):
    """Scores posts for one reader. A greater score stands higher; terms explain it.

    It is given all rows at once, as a learned model wants them. Whatever it raises, and scores that
    are not finite, cost the feed its ranking and nothing else.
    """

    name: str

    def scores(self, rows: Sequence[Features]) -> Sequence[Score]:
        """One score for each row, in their order; it depends on the rows alone."""


class Chronological:
    """Newest first, by `1 / (1 + age_hours)`: 002's score of time alone."""

    name = "chronological"

    def __init__(self, _weights: Weights) -> None:
        pass

    def scores(self, rows: Sequence[Features]) -> list[Score]:
        """By the age alone."""
        return [_sum([("time", 1 / (1 + row.age_hours))]) for row in rows]


class Weighted:
    """`0.4 * time + 0.4 * engagement + 0.2 * affinity` (002, "Ranking Algorithm").

    `time = 1 / (1 + age_hours)`; `engagement = e / (1 + e)` of `e = likes + 2 * comments`; affinity
    is 003's, of 100, which has all that a user does and fades, in place of 002's likes in 30 days.
    """

    name = "weighted"

    def __init__(self, weights: Weights) -> None:
        self._weights = weights.weighted

    def scores(self, rows: Sequence[Features]) -> list[Score]:
        """The sum of three terms, each between 0 and its weight."""
        weights = self._weights
        found = []
        for row in rows:
            engaged = row.likes + weights.comment * row.comments
            terms = [
                ("time", weights.time / (1 + row.age_hours)),
                ("engagement", weights.engagement * engaged / (1 + engaged)),
                ("affinity", weights.affinity * row.affinity / CAP),
            ]
            found.append(_sum(terms))
        return found


class Heuristic:
    """`p_like * 1 + p_comment * 2 + p_share * 3 - p_hide * 5` (003, "Ranking Algorithm
    Implementation"), where 003 has a model for the probabilities, from estimates.

    What share of those who see the post do it is `(n + rate * prior) / (seen + prior)`: the mean of
    a beta distribution whose prior is worth 20 views at the usual rate, so that one like of one
    view is not taken for certainty. `seen` is the views, or the most frequent act where that is
    more (clients may not tell of views). The reader is likelier to do it than those by an odds
    ratio: recency and what the reader likes, as in the first pass; and less likely to hide the
    post by what the reader likes. So each is between 0 and 1.
    """

    name = "heuristic"

    def __init__(self, weights: Weights) -> None:
        self._weights = weights.heuristic
        self._first_pass = weights.first_pass

    def scores(self, rows: Sequence[Features]) -> list[Score]:
        """The sum of four terms, of which the last is negative."""
        return [self._score(row) for row in rows]

    def _score(self, row: Features) -> Score:
        weights = self._weights
        author, kind, topics, language = likings(row, self._first_pass)
        liking = author * kind * topics * language
        lift = liking * recency(row, self._first_pass)
        seen = max(row.views, row.likes, row.comments, row.shares, row.hides)
        prior = weights.prior_views
        total = seen + prior
        like = _likely((row.likes + weights.like_rate * prior) / total, lift)
        comment = _likely((row.comments + weights.comment_rate * prior) / total, lift)
        share = _likely((row.shares + weights.share_rate * prior) / total, lift)
        hide = _likely((row.hides + weights.hide_rate * prior) / total, 1 / liking)
        return _sum(
            [
                ("p_like", weights.like * like),
                ("p_comment", weights.comment * comment),
                ("p_share", weights.share * share),
                ("p_hide", -weights.hide * hide),
            ]
        )


def _likely(share: float, odds_ratio: float) -> float:
    """A share with its odds multiplied."""
    odds = share / (1 - share) * odds_ratio
    return odds / (1 + odds)


class Learned:
    """The probability that the reader engages with a post, by a model from `headrace train`.

    Terms are what each column adds to the log-odds, whose sum is `log(p / (1 - p))`; they cost more
    than the scores, so only `explaining` gives them.
    """

    name = "model"

    def __init__(self, model: WatchedModel, *, is_explaining: bool = False) -> None:
        self._model = model
        self._is_explaining = is_explaining

    def explaining(self) -> Learned:
        """The same ranker with the terms of its scores."""
        return Learned(self._model, is_explaining=True)

    def scores(self, rows: Sequence[Features]) -> list[Score]:
        """By one prediction over all rows."""
        if not rows:
            return []
        model = self._model.current()
        if not self._is_explaining:
            return [Score(_probability(each), ()) for each in model.log_odds(rows)]
        names = (*COLUMNS, BASE)
        return [
            Score(_probability(sum(each)), tuple(zip(names, each, strict=True)))
            for each in model.contributions(rows)
        ]


def _probability(log_odds: float) -> float:
    if log_odds < 0:
        odds = exp(log_odds)
        return odds / (1 + odds)
    return 1 / (1 + exp(-log_odds))


def _sum(terms: list[tuple[str, float]]) -> Score:
    return Score(sum([value for _, value in terms]), tuple(terms))


_RANKERS: dict[RankerName, Callable[[Weights], Ranker]] = {
    "chronological": Chronological,
    "heuristic": Heuristic,
    "model": lambda weights: Learned(WatchedModel(weights.model.path)),
    "weighted": Weighted,
}


def ranker_of(weights: Weights) -> Ranker:
    """The ranker that the weights name.

    Raises:
        ModelError: it is `model`, and its model cannot be used.
    """
    return _RANKERS[weights.ranker](weights)


def explaining(ranker: Ranker) -> Ranker:
    """The ranker with the terms of its scores, also if they cost more than the scores."""
    return ranker.explaining() if isinstance(ranker, Learned) else ranker
