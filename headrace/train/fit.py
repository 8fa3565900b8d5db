"""A model made of examples, and judged beside the other rankers on later ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from api.ranking.columns import COLUMNS, columns_of
from api.ranking.model import lightgbm
from api.ranking.rankers import ranker_of
from api.ranking.weights import RankerName, Weights
from headrace.train.examples import Example
from headrace.train.metrics import auc, ndcg

TRAINED_ON = 0.9
OTHERS: tuple[RankerName, ...] = ("heuristic", "weighted", "chronological")
SCORED = 10_000
"""Rows at a time."""

Progress = Callable[[str], None]


class TooFewError(Exception):
    """There is not enough to learn from, or to judge by."""


class Split(Struct):
    """Examples before a time (`cut`, ms), with what was known then, and those from it on."""

    cut: int
    train: list[Example]
    train_labels: list[bool]
    later: list[Example]
    later_labels: list[bool]


class Quality(Struct, frozen=True):
    """How well a ranker does on the later examples; None where it cannot be told."""

    auc: float | None
    ndcg_at_20: float | None


class Fitted(Struct, frozen=True):
    """A model as LightGBM's text, and the sum of the gains of its splits by column."""

    text: str
    gains: dict[str, float]
    scores: list[float]


def split(examples: Iterable[Example]) -> Split:
    """The first nine tenths by time to train on, the last to judge by. What was engaged with after
    the cut is, for those before it, not known yet: they are labelled as of the cut.

    Raises:
        TooFewError: one of the parts has nothing that was engaged with, or nothing else.
    """
    ordered = sorted(examples, key=lambda example: example.at)
    if not ordered:
        raise TooFewError("there is no example: nobody saw, or engaged with, a post of another")
    cut = ordered[int(len(ordered) * TRAINED_ON)].at
    train = [example for example in ordered if example.at < cut]
    later = [example for example in ordered if example.at >= cut]
    found = Split(
        cut,
        train,
        [e.engaged_at is not None and e.engaged_at < cut for e in train],
        later,
        [e.engaged_at is not None for e in later],
    )
    for name, labels in (("first nine tenths", found.train_labels), ("last", found.later_labels)):
        engaged = sum(labels)
        if engaged in (0, len(labels)):
            raise TooFewError(
                f"of {len(labels):,} examples in the {name}, {engaged:,} were engaged with: there "
                "must be some, and others"
            )
    return found


def fit(parts: Split, *, rounds: int, seed: int, threads: int, progress: Progress) -> Fitted:
    """A model of the odds that a post is engaged with: gradient-boosted trees, the same for the
    same examples, seed and number of threads.

    Raises:
        ModelError: LightGBM cannot be loaded.
    """
    library = lightgbm()
    parameters = {
        "objective": "binary",
        "num_leaves": 31,
        "learning_rate": 0.05,
        "min_data_in_leaf": 50,
        "feature_pre_filter": False,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "num_threads": threads,
        "verbosity": -1,
    }
    data = library.Dataset(
        _matrix(parts.train), _array(parts.train_labels), feature_name=list(COLUMNS)
    )

    def tell(state: Any) -> None:
        if (state.iteration + 1) % 50 == 0:
            progress(f"{state.iteration + 1} of {rounds} trees")

    booster = library.train(parameters, data, num_boost_round=rounds, callbacks=[tell])
    gains = booster.feature_importance("gain").tolist()
    scores: list[float] = []
    for start in range(0, len(parts.later), SCORED):
        rows = _matrix(parts.later[start : start + SCORED])
        scores += booster.predict(rows, raw_score=True, num_threads=threads).tolist()
    by_gain = sorted(zip(COLUMNS, gains, strict=True), key=lambda each: -each[1])
    return Fitted(booster.model_to_string(), dict(by_gain), scores)


def judged(parts: Split, model_scores: Sequence[float], weights: Weights) -> dict[str, Quality]:
    """The model and the other rankers, these by the weights in use, on the later examples."""
    scores: dict[str, Sequence[float]] = {"model": model_scores}
    rows = [example.row for example in parts.later]
    for name in OTHERS:
        ranker = ranker_of(replace(weights, ranker=name))
        scores[name] = [score.value for score in ranker.scores(rows)]
    labels = parts.later_labels
    return {
        name: Quality(auc(labels, found), ndcg(parts.later, labels, found))
        for name, found in scores.items()
    }


def _matrix(examples: Sequence[Example]) -> Any:
    import numpy as np

    rows = (columns_of(example.row) for example in examples)
    return np.fromiter(rows, dtype=np.dtype((np.float64, len(COLUMNS))), count=len(examples))


def _array(labels: Sequence[bool]) -> Any:
    import numpy as np

    return np.array(labels, dtype=np.float64)
