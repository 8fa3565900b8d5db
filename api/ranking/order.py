"""The order of a ranked feed: two passes of scores, what demotes, and diversity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import isfinite
from operator import attrgetter, itemgetter

import structlog
from msgspec import Struct

from api.ranking.diversity import author_decay, diversified
from api.ranking.features import Features, in_order_of_time
from api.ranking.rankers import Ranker
from api.ranking.scores import Score, Term, demoted, demotions, first_pass
from api.ranking.weights import Weights

KEPT = 200
"""So many of the first pass come to the second (003, "Multi-Stage Ranking Pipeline")."""

log = structlog.get_logger(__name__)


class RankerError(Exception):
    """A ranker gave scores that cannot be used."""


class Place(Struct, gc=False):
    """A post in the order that is shown, and how it came there.

    `first` is the score of the first pass, `second` the ranker's, `factors` what demotes it,
    `score` what is left; without a second pass None, none and the first score. `by_score` is the
    place, from 0, that it would have without diversity.
    """

    row: Features
    first: float
    second: Score | None
    factors: tuple[Term, ...]
    score: float
    by_score: int


class Order(Struct, frozen=True):
    """The posts as they are shown, and those that the first pass left out, best first; whether the
    ranker failed, and they stand as `latest` has them."""

    places: list[Place]
    cut: list[Features]
    is_degraded: bool = False


class Chosen(Struct, frozen=True):
    """Posts with their scores of the first pass: all as `latest` has them, and the best of them,
    best first; those that it left out, best first."""

    newest: Sequence[tuple[Features, float]]
    kept: Sequence[tuple[Features, float]]
    cut: list[Features]


def ordered(rows: Iterable[Features], weights: Weights, ranker: Ranker) -> Order:
    """Order posts, each given once, in whatever order. Of equal scores, the newer is first.

    When the ranker fails, the newest 200 stand as in `latest`. O(n log n).
    """
    return arrange(choose(rows, weights), weights, ranker)


def choose(rows: Iterable[Features], weights: Weights) -> Chosen:
    """The first part of `ordered`: the 200 posts that the first pass keeps."""
    scored = [
        (row, first_pass(row, weights.first_pass, weights.demotions))
        for row in in_order_of_time(rows)
    ]
    by_first = sorted(scored, key=_FIRST, reverse=True)  # stable, also so: the newer first
    return Chosen(scored, by_first[:KEPT], [row for row, _ in by_first[KEPT:]])


def arrange(chosen: Chosen, weights: Weights, ranker: Ranker) -> Order:
    """The second part of `ordered`: those posts by the ranker's scores, what demotes, and
    diversity."""
    try:
        seconds = _second_pass(ranker, [row for row, _ in chosen.kept])
    except Exception as error:  # noqa: BLE001  (whatever a ranker raises)
        log.warning("ranker failed", ranker=ranker.name, error=type(error).__name__)
        places = [
            Place(row, first, None, (), first, number)
            for number, (row, first) in enumerate(chosen.newest[:KEPT])
        ]
        return Order(places, [row for row, _ in chosen.newest[KEPT:]], is_degraded=True)
    places = _demoted(chosen.kept, seconds, weights)
    authors = [place.row.author_id for place in places]
    shown = [places[number] for number in diversified(authors, weights.diversity)]
    return Order(shown, chosen.cut)


def _second_pass(ranker: Ranker, rows: Sequence[Features]) -> Sequence[Score]:
    seconds = ranker.scores(rows)
    if len(seconds) != len(rows):
        raise RankerError(f"{len(seconds)} scores for {len(rows)} posts")
    if not all(isfinite(score.value) for score in seconds):
        raise RankerError("a score is not finite")
    return seconds


def _demoted(
    kept: Sequence[tuple[Features, float]], seconds: Sequence[Score], weights: Weights
) -> list[Place]:
    """By the ranker's scores less what demotes, an author's further posts among it."""
    places = []
    for (row, first), second in zip(kept, seconds, strict=True):
        factors = demotions(row, weights.demotions)
        places.append(Place(row, first, second, factors, demoted(second.value, factors), 0))
    places.sort(key=_STANDING, reverse=True)
    before: defaultdict[str, int] = defaultdict(int)
    for place in places:
        number = before[place.row.author_id]
        before[place.row.author_id] += 1
        if number:
            _decay(place, number, weights)
    places.sort(key=_STANDING, reverse=True)
    for number, place in enumerate(places):
        place.by_score = number
    return places


def _decay(place: Place, number: int, weights: Weights) -> None:
    """Demote a post that has so many better ones of its author before it."""
    place.factors = (*place.factors, ("author", author_decay(number, weights.diversity)))
    assert place.second is not None
    place.score = demoted(place.second.value, place.factors)


_FIRST = itemgetter(1)
_STANDING = attrgetter("score", "row.at", "row.post_id")
