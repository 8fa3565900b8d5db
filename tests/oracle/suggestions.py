"""Suggestions: friends of friends (docs/rules.md, "Suggestions"), and what the API says of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.oracle import affinity
from tests.oracle.compare import TOLERANCE, Tally
from tests.oracle.relations import Relations
from tests.oracle.users import NOBODY

FRIENDS, EACH, KEPT, VIA = 50, 100, 200, 3
CLOSE = 1_000


@dataclass(frozen=True)
class Suggestion:
    """A user, why, and by whom."""

    user_id: str
    score: float
    influence: float
    friends: frozenset[str]


@dataclass(frozen=True)
class Ranking:
    """Who is suggested, in order; and everyone who might be, with the score."""

    shown: list[Suggestion]
    scores: dict[str, float]


class Suggestions:
    """Computes rankings from the relations, profiles and affinity facts."""

    def __init__(
        self,
        relations: Relations,
        users: Mapping[str, Mapping[str, object]],
        facts: Iterable[affinity.Fact],
    ) -> None:
        self._relations = relations
        self._users = users
        self._facts: dict[str, list[affinity.Fact]] = defaultdict(list)
        for fact in facts:
            self._facts[fact[0]].append(fact)

    def of(self, user_id: str, now_ms: int) -> Ranking | None:
        """What must be suggested at a time; None where two who are as close would decide."""
        scored = affinity.scores(self._facts[user_id], now_ms)
        close = {other: score for (_, other), score in scored.items()}
        friends = self._friends(user_id, close)
        if friends is None:
            return None
        weights: dict[str, dict[str, float]] = defaultdict(dict)
        for friend in friends:
            followed = self._newest_sources(friend)
            near = 1 + min(close.get(friend, 0.0), 100.0) / 100
            for source in followed[:EACH]:
                if source.startswith("u:"):
                    weights[source[2:]][friend] = near / math.log(2 + len(followed), 2)
        mine = self._relations.following.get(user_id, {})
        scores = {
            other: round(math.fsum(by.values()), 6)
            for other, by in weights.items()
            if other != user_id and f"u:{other}" not in mine
        }
        kept = sorted(scores, key=lambda other: (-scores[other], other))[:KEPT]
        shown = [
            Suggestion(other, scores[other], self._influence(other), frozenset(weights[other]))
            for other in kept
            if self._may_be_shown(user_id, other)
        ]
        shown.sort(key=lambda each: (-each.score, -each.influence, each.user_id))
        return Ranking(shown, scores)

    def _friends(self, user_id: str, close: Mapping[str, float]) -> set[str] | None:
        followed = [source[2:] for source in self._newest_sources(user_id) if source[:2] == "u:"]
        by_closeness = sorted(set(followed) & close.keys(), key=lambda other: -close[other])
        if len(close) > CLOSE:
            return None
        if len(by_closeness) > FRIENDS:
            last, first_out = (close[by_closeness[place]] for place in (FRIENDS - 1, FRIENDS))
            if last - first_out <= TOLERANCE * (1 + last):
                return None
        found = {*followed[:FRIENDS], *by_closeness[:FRIENDS]}
        return {friend for friend in found if self._is_active(friend)}

    def _newest_sources(self, user_id: str) -> list[str]:
        followed = self._relations.following.get(user_id, {})
        order = sorted(((at, source.encode()) for source, at in followed.items()), reverse=True)
        return [source.decode() for _, source in order]

    def _is_active(self, user_id: str) -> bool:
        return self._users.get(user_id, NOBODY)["status"] == "active"

    def _may_be_shown(self, user_id: str, other: str) -> bool:
        source = f"u:{other}"
        return (
            self._is_active(other)
            and source not in self._relations.blocks.get(user_id, ())
            and source not in self._relations.mutes.get(user_id, ())
        )

    def _influence(self, user_id: str) -> float:
        followers = self._relations.followers.get(f"u:{user_id}", 0)
        following = len(self._relations.following.get(user_id, ()))
        if followers == 0:
            return 0.0
        return round(math.log(1 + followers, 10) * followers / (followers + following), 6)


def compare(
    tally: Tally, user_id: str, suggestions: Suggestions, page: Mapping[str, Any], limit: int
) -> None:
    """Compare a page with what must be on it; others may stand in a place only where their score
    is the same but for the last digit."""
    now_ms = round(datetime.fromisoformat(page["as_of"]).timestamp() * 1000)
    ranking = suggestions.of(user_id, now_ms)
    if ranking is None:
        return
    tally.compared += 1
    wanted, found = ranking.shown[:limit], page["users"]
    is_same = len(wanted) == len(found) and all(
        _is_same(want, got, ranking.scores) for want, got in zip(wanted, found, strict=True)
    )
    if not is_same:
        said = [(got["user_id"], got["score"], got["via"]) for got in found]
        tally.differ(user_id, [(want.user_id, want.score) for want in wanted], said)


def _is_same(want: Suggestion, got: Mapping[str, Any], scores: Mapping[str, float]) -> bool:
    score = scores.get(got["user_id"])
    if score is None or abs(got["score"] - score) > 2 * TOLERANCE:
        return False
    if got["user_id"] != want.user_id:
        return 0 < abs(score - want.score) <= 2 * TOLERANCE
    return (
        math.isclose(got["influence"], want.influence, rel_tol=TOLERANCE)
        and len(got["via"]) == min(VIA, len(want.friends))
        and want.friends.issuperset(got["via"])
    )
