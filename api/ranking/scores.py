"""Scores with their terms, and the score of the first pass."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from msgspec import Struct

from api.ranking.features import CAP, Features
from api.ranking.weights import Demotions, FirstPass

Term = tuple[str, float]


class Score(Struct, frozen=True, array_like=True, gc=False):
    """A score, and the named terms that it is made of."""

    value: float
    terms: tuple[Term, ...]


def engagement(row: Features, weights: FirstPass) -> float:
    """`base + 1 * likes + 3 * comments + 5 * shares` (003, "Ranking Algorithm Implementation").

    003 has no `base`: there the score is a product, so every post that nobody has engaged with has
    the score 0, whoever it is by, and their order is none. With a base of 1, one like's worth, such
    posts are ordered by age, affinity and interests, and it is a twentieth for who has 20 likes.
    """
    counted = weights.like * row.likes + weights.comment * row.comments + weights.share * row.shares
    return weights.base + counted


def recency(row: Features, weights: FirstPass) -> float:
    """`1 / (1 + 0.08 * age_hours)` (003, the same): half after 12.5 hours."""
    return 1 / (1 + weights.age_rate * row.age_hours)


LIKINGS = ("affinity", "type", "topics", "language")


def likings(row: Features, weights: FirstPass) -> tuple[float, float, float, float]:
    """The factors by what the reader likes: of the author, of the type of the post, and of its
    topics and language. Each is `1 + score / 100` (003, the same) of an affinity, which is 100 at
    most, and of an interest likewise."""
    return (
        1 + row.affinity / CAP,
        weights.types.get(row.kind, 1.0) * (1 + row.likes_kind / CAP),
        1 + row.likes_topic / CAP,
        1 + row.likes_language / CAP,
    )


def demotions(row: Features, weights: Demotions) -> tuple[Term, ...]:
    """The factors, all of them at most 1, that any score is demoted by; only those that are not 1.

    An aversion `a` halves a score for every 5 of it: `0.5 ** (a / 5)`. What the reader wants to see
    less of counts half then, and after the 14 days in which the aversion fades it counts full.
    """
    if not (row.is_seen or row.is_viral or row.aversion):
        return ()
    found = []
    if row.is_seen:
        found.append(("seen", weights.seen))
    if row.is_viral:
        found.append(("viral", weights.viral))
    if row.aversion:
        found.append(("aversion", 0.5 ** (row.aversion / weights.aversion)))
    return tuple(found)


def demoted(score: float, factors: Sequence[Term]) -> float:
    """A score made less by factors of at most 1: a negative one is divided by them."""
    if not factors:
        return score
    factor = prod([value for _, value in factors])
    return score * factor if score > 0 else score / factor


def first_pass(row: Features, weights: FirstPass, demoting: Demotions) -> float:
    """The score by which candidates are chosen (003, "Ranking Algorithm Implementation"):
    engagement * recency * affinity * type preference, * interest (000), * what demotes."""
    author, kind, topics, language = likings(row, weights)
    liking = author * kind * topics * language
    score = engagement(row, weights) * recency(row, weights) * liking
    factors = demotions(row, demoting)
    return score * prod([value for _, value in factors]) if factors else score


def first_terms(row: Features, weights: FirstPass, demoting: Demotions) -> tuple[Term, ...]:
    """The factors that `first_pass` multiplies."""
    return (
        ("engagement", engagement(row, weights)),
        ("recency", recency(row, weights)),
        *zip(LIKINGS, likings(row, weights), strict=True),
        *demotions(row, demoting),
    )
