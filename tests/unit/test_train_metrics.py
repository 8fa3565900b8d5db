"""AUC and NDCG against values worked out by hand."""

from __future__ import annotations

from math import log2

import pytest

from headrace.train.examples import Example
from headrace.train.metrics import auc, ndcg
from tests.unit.ranking_rows import row


def test_auc_is_the_share_of_pairs_in_order() -> None:
    labels = [True, False, True, False]
    assert auc(labels, [4, 3, 2, 1]) == 3 / 4
    assert auc(labels, [1, 2, 3, 4]) == 1 / 4
    assert auc(labels, [1, 1, 1, 1]) == 1 / 2
    assert auc(labels, [2, 1, 1, 0]) == 3.5 / 4
    assert auc([True, True], [1, 2]) is None
    assert auc([False], [1]) is None


def groups(*sizes: int) -> list[Example]:
    return [
        Example(0, f"g{group}", row(f"p{group}-{n}", age=float(n + 1)))
        for group, size in enumerate(sizes)
        for n in range(size)
    ]


def test_ndcg_is_the_mean_over_groups_with_anything_engaged() -> None:
    examples = groups(3, 2, 2)
    labels = [True, False, True, False, True, False, False]
    found = ndcg(examples, labels, [3, 2, 1, 2, 1, 1, 2])
    first = (1 + 1 / log2(4)) / (1 + 1 / log2(3))
    assert found == pytest.approx((first + 1 / log2(3)) / 2)
    assert ndcg(examples, [False] * 7, [0] * 7) is None


def test_only_20_places_count() -> None:
    examples = groups(30)
    labels = [n in (19, 20) for n in range(30)]
    falling = [float(-n) for n in range(30)]
    assert ndcg(examples, labels, falling) == pytest.approx((1 / log2(21)) / (1 + 1 / log2(3)))


def test_of_equal_scores_the_newer_is_first() -> None:
    assert ndcg(groups(2), [True, False], [1, 1]) == 1
    assert ndcg(groups(2), [False, True], [1, 1]) == pytest.approx(1 / log2(3))
