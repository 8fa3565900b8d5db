"""A ranked feed as it was when its first page was read, so that further pages go on in it."""

from __future__ import annotations

from msgspec import Struct

from api.held import Candidate
from api.ranking.order import Place
from api.ranking.scores import Score, Term, first_terms
from api.ranking.weights import Weights


class Explained(Struct, frozen=True, array_like=True, gc=False):
    """How a post came to its place: both scores, what demoted it, and the score that was left."""

    first: Score
    second: Score | None
    factors: tuple[Term, ...]
    score: float
    by_score: int


class Ranked(Struct, frozen=True, array_like=True, gc=False):
    """A post in a ranked feed; `at` (ms) is where it stands on the timeline."""

    post_id: str
    at: int
    reasons: tuple[str, ...]
    explained: Explained | None = None

    def candidate(self) -> Candidate:
        """As what is judged again on every page."""
        return Candidate(self.post_id, self.at, self.reasons)


class Snapshot(Struct, frozen=True, array_like=True):
    """A ranked feed as of a time (ms), best first, 200 posts at most; `ranker` is the one that
    ordered it, None when it failed. It may lack what some heavy sources hold."""

    at: int
    ranker: str | None
    places: list[Ranked]
    is_opening: bool = False
    is_explained: bool = False
    lacks_sources: bool = False


def explained(place: Place, weights: Weights) -> Explained:
    """How a post came to a place, by the weights that ordered it."""
    first = Score(place.first, first_terms(place.row, weights.first_pass, weights.demotions))
    return Explained(first, place.second, place.factors, place.score, place.by_score)


def ranked(place: Place, reasons: tuple[str, ...], how: Explained | None = None) -> Ranked:
    """A place of an order, to be kept."""
    return Ranked(place.row.post_id, place.row.at, reasons, how)
