"""Whom a user follows and is close to, and whom these follow: friends of friends, scored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from math import fsum, log2

from msgspec import Struct

USER = "u:"
MAX_FOLLOWS = 5_000
"""The newest follows of a user that are looked at."""

MAX_CLOSE = 1_000
"""The closest users that are looked at."""

NEWEST = CLOSEST = 50
FOLLOWS_OF_EACH = 100
MAX_CANDIDATES = 200
MAX_VIA = 3
MAX_AFFINITY = 100
DIGITS = 6


class Circle(Struct, frozen=True):
    """A user's newest follows (sources, newest first), and the closest others with the score of
    now, closest first."""

    follows: list[str]
    affinities: dict[str, float]

    def friends(self) -> list[str]:
        """The users by whom others are found: the 50 followed last, and the 50 closest of those
        who are followed."""
        users = [source.removeprefix(USER) for source in self.follows if source.startswith(USER)]
        followed = set(users)
        close = [user_id for user_id in self.affinities if user_id in followed]
        return list(dict.fromkeys((*users[:NEWEST], *close[:CLOSEST])))


class Follows(Struct, frozen=True):
    """The newest sources that a user follows, and how many in all."""

    newest: list[str]
    count: int


class Candidate(Struct, frozen=True):
    """A user whom friends follow; `via` are those who count most."""

    user_id: str
    score: float
    via: list[str]


def candidates(user_id: str, circle: Circle, follows: Mapping[str, Follows]) -> list[Candidate]:
    """The 200 users with the greatest score of those whom friends follow, without the user and who
    is followed; of one score those with the least ids.

    The score is the sum, over the friends in common, of (1 + affinity of at most 100 / 100) /
    log2(2 + how many sources the friend follows): Adamic and Adar, "Friends and neighbors on the
    Web" (2003), where who has few in common with many tells more; weighted as posts are (003,
    "Ranking"). To 6 digits, so that sums of the same do not differ.
    """
    followed = set(circle.follows)
    found: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for friend, theirs in follows.items():
        affinity = min(circle.affinities.get(friend, 0.0), MAX_AFFINITY)
        weight = (1 + affinity / MAX_AFFINITY) / log2(2 + theirs.count)
        for source in theirs.newest:
            if source.startswith(USER) and source not in followed:
                found[source.removeprefix(USER)].append((weight, friend))
    found.pop(user_id, None)
    scored = [
        Candidate(name, round(fsum(weight for weight, _ in by), DIGITS), _via(by))
        for name, by in found.items()
    ]
    scored.sort(key=lambda each: (-each.score, each.user_id))
    return scored[:MAX_CANDIDATES]


def _via(by: list[tuple[float, str]]) -> list[str]:
    return [friend for _, friend in sorted(by, key=lambda each: (-each[0], each[1]))[:MAX_VIA]]
