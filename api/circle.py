"""Whom a user follows and is close to, and whom these follow: friends of friends, scored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from heapq import nsmallest
from math import log2

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
    "Ranking"). To 6 digits, so that the order of adding does not count.
    """
    affinities = circle.affinities
    weights = {
        friend: (1 + min(affinities.get(friend, 0.0), MAX_AFFINITY) / MAX_AFFINITY)
        / log2(2 + theirs.count)
        for friend, theirs in follows.items()
    }
    weightiest = sorted(weights, key=lambda friend: (-weights[friend], friend))
    sums: defaultdict[str, float] = defaultdict(float)
    for friend in weightiest:
        weight = weights[friend]
        for source in follows[friend].newest:
            sums[source] += weight
    for source in (*circle.follows, f"{USER}{user_id}"):
        sums.pop(source, None)
    places = ((-round(sums[each], DIGITS), each) for each in sums if each.startswith(USER))
    best = {source: -score for score, source in nsmallest(MAX_CANDIDATES, places)}
    via: defaultdict[str, list[str]] = defaultdict(list)
    for friend in weightiest:
        for source in best.keys() & follows[friend].newest:
            via[source].append(friend)
    return [
        Candidate(source.removeprefix(USER), score, via[source][:MAX_VIA])
        for source, score in best.items()
    ]
