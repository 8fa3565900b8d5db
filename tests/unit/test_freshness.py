"""Percentiles by nearest rank, as freshness reports them."""

from __future__ import annotations

import math

import pytest

from headrace.freshness import percentile


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [
        pytest.param([7.0], 0.5, 7.0, id="one value is all of them"),
        pytest.param([7.0], 0.99, 7.0, id="also at 99 %"),
        pytest.param([3.0, 1.0, 2.0], 0.5, 2.0, id="the middle, whatever the order"),
        pytest.param([1.0, 2.0, 3.0, 4.0], 0.5, 2.0, id="half of four is two"),
        pytest.param([1.0, 2.0, 3.0, 4.0], 0.51, 3.0, id="and a little more is three"),
        pytest.param([float(n) for n in range(1, 101)], 0.99, 99.0, id="99 of 100"),
        pytest.param([float(n) for n in range(1, 102)], 0.99, 100.0, id="99 % of 101 is 100"),
        pytest.param([1.0, 2.0], 0.0, 1.0, id="none: the smallest"),
        pytest.param([1.0, 2.0], 1.0, 2.0, id="all: the greatest"),
    ],
)
def test_percentiles(values: list[float], share: float, found: float) -> None:
    assert percentile(values, share) == found


def test_of_nothing_there_is_none() -> None:
    assert math.isnan(percentile([], 0.5))
