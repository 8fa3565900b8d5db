"""Experiments upon the ranked feed: who is in which, and how the feed is ordered for whom."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from msgspec import Struct

from api.ranking.rankers import Ranker, ranker_of
from api.ranking.weights import Experiment, Weights, weights_of


class Ranking(Struct, frozen=True):
    """How the feed of a user is ordered, and by which variant of which experiment, if any."""

    weights: Weights
    ranker: Ranker
    experiment: str | None = None
    variant: str | None = None


def bucket_of(user_id: str, experiment: str) -> float:
    """Where a user stands in an experiment, at least 0 and below 1: always the same for both, and
    in one experiment without regard to others. The keyed BLAKE2b (RFC 7693) of the user, of 53
    bits, as many as a float holds."""
    digest = blake2b(user_id.encode(), key=experiment.encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def variant_of(user_id: str, experiment: Experiment) -> int | None:
    """The place of the variant that a user is in; None for who is not in the experiment, as the
    shares of its variants leave some over. A share that grows at the end moves nobody else."""
    bucket, end = bucket_of(user_id, experiment.name), 0.0
    for place, variant in enumerate(experiment.variants):
        end += variant.share
        if bucket < end:
            return place
    return None


class Experiments:
    """The experiments of a file of weights, each variant ready for use.

    A user is in one at most: the first, in the file's order, that takes the user.

    Raises:
        ModelError: the model of a variant cannot be used.
    """

    def __init__(self, weights: Weights) -> None:
        self._experiments = [(each, list(_rankings(weights, each))) for each in weights.experiments]

    def of(self, user_id: str) -> Ranking | None:
        """How the feed of a user is ordered; None for who is in no experiment. O(variants)."""
        for experiment, rankings in self._experiments:
            place = variant_of(user_id, experiment)
            if place is not None:
                return rankings[place]
        return None


def _rankings(weights: Weights, experiment: Experiment) -> Iterable[Ranking]:
    for variant in experiment.variants:
        own = weights_of(weights, variant)
        yield Ranking(own, ranker_of(own), experiment.name, variant.name)
