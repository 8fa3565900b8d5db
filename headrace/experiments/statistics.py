"""Differences between variants with their confidence, from sums over users; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from msgspec import Struct

CONFIDENCE = 0.95


class Sums(Struct):
    """Of a pair of figures of each user (`y` and `x`): how many users, and sums over them."""

    users: int = 0
    y: float = 0.0
    yy: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def add(self, y: float, x: float = 1.0) -> None:
        """One more user."""
        self.users += 1
        self.y += y
        self.yy += y * y
        self.x += x
        self.xx += x * x
        self.xy += x * y


class Difference(Struct, frozen=True):
    """A figure of a variant less that of the control; 95 % of such intervals hold the true one."""

    value: float
    low: float
    high: float


class Estimate(Struct, frozen=True):
    """A figure and the variance of its estimate; `degrees` of freedom where that is estimated."""

    value: float
    variance: float
    degrees: float


def mean(sums: Sums) -> Estimate | None:
    """The mean of `y` over the users; None of fewer than two."""
    users = sums.users
    if users < 2:
        return None
    variance = _covariance(users, sums.yy, sums.y, sums.y)
    return Estimate(sums.y / users, variance / users, users - 1)


def ratio(sums: Sums) -> Estimate | None:
    """The sum of `y` by that of `x`, over users who each have several of both: its variance is not
    that of independent trials, and is estimated by the delta method (Deng, Knoblich and Lu,
    "Applying the Delta Method in Metric Analytics", KDD 2018, equation 3). None of fewer than two
    users, and without any `x`."""
    users = sums.users
    if users < 2 or not sums.x:
        return None
    value, mean_x = sums.y / sums.x, sums.x / users
    variance = (
        _covariance(users, sums.yy, sums.y, sums.y)
        - 2 * value * _covariance(users, sums.xy, sums.x, sums.y)
        + value**2 * _covariance(users, sums.xx, sums.x, sums.x)
    )
    return Estimate(value, max(0.0, variance) / (users * mean_x**2), users - 1)


def difference(variant: Estimate | None, control: Estimate | None) -> Difference | None:
    """The difference, by Welch's t with the degrees of freedom of Welch and Satterthwaite (Welch,
    "The generalization of 'Student's' problem when several different population variances are
    involved", 1947). None where one is not known."""
    if variant is None or control is None:
        return None
    from scipy.special import stdtrit

    value = variant.value - control.value
    variance = variant.variance + control.variance
    if not variance:
        return Difference(value, value, value)
    degrees = variance**2 / sum(
        each.variance**2 / each.degrees for each in (variant, control) if each.variance
    )
    reach = float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) * sqrt(variance)
    return Difference(value, value - reach, value + reach)


def mismatch(users: Sequence[int], shares: Sequence[float]) -> float | None:
    """The chance of numbers of users that are as far from their shares, if those are true: the
    chi-square test of a sample ratio mismatch (Fabijan and others, "Diagnosing Sample Ratio
    Mismatch in Online Controlled Experiments", KDD 2019). None without users."""
    from scipy.special import chdtrc

    total = sum(users)
    if not total:
        return None
    expected = [total * share / sum(shares) for share in shares]
    squares = sum((n - e) ** 2 / e for n, e in zip(users, expected, strict=True))
    return float(chdtrc(len(users) - 1, squares))


def _covariance(users: int, products: float, first: float, second: float) -> float:
    return (products - first * second / users) / (users - 1)
