"""What an experiment has shown, against values worked out by hand, other code, and simulation."""

from __future__ import annotations

from itertools import chain
from random import Random
from typing import Any

import pytest
from scipy import stats

from headrace.experiments import outcome as module
from headrace.experiments.outcome import TooManyError, Trial
from headrace.experiments.statistics import Sums, difference, mean, mismatch, ratio
from schemas.events import Engagement
from schemas.exposures import Exposure

SINCE, UNTIL = 1_000, 2_000
SHARES = [("control", 0.5), ("new", 0.5)]


def sums(*pairs: tuple[float, float] | float) -> Sums:
    found = Sums()
    for pair in pairs:
        found.add(*(pair if isinstance(pair, tuple) else (pair,)))
    return found


def test_the_mean_and_its_variance() -> None:
    found = mean(sums(1, 2, 3, 4, 5))
    assert found is not None
    assert (found.value, found.variance, found.degrees) == (3, 0.5, 4)
    assert mean(sums(1)) is None


def test_the_difference_is_welchs() -> None:
    control, variant = [1, 2, 3, 4, 5], [2, 4, 6, 8, 10, 12]
    found = difference(mean(sums(*variant)), mean(sums(*control)))
    assert found is not None
    by_others = stats.ttest_ind(variant, control, equal_var=False).confidence_interval(0.95)
    assert found.value == 4
    assert (found.low, found.high) == pytest.approx((by_others.low, by_others.high))
    # se = sqrt(14/6 + 2.5/5) = 1.6833, 6.97 degrees of freedom, t = 2.3667
    assert (found.low, found.high) == pytest.approx((4 - 3.984, 4 + 3.984), abs=0.002)
    assert difference(None, mean(sums(*control))) is None


def test_without_variance_the_difference_is_certain() -> None:
    found = difference(mean(sums(1, 1)), mean(sums(0, 0)))
    assert found is not None
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_the_ratio_by_the_delta_method() -> None:
    # R = 6/12; of y - R x = 0, 1, -1 the variance is 1; by 3 users and a mean x of 4, squared
    found = ratio(sums((1, 2), (2, 2), (3, 8)))
    assert found is not None
    assert (found.value, found.variance) == pytest.approx((0.5, 1 / 48))
    assert ratio(sums((1, 0), (0, 0))) is None
    assert ratio(sums((1, 1))) is None


def test_mismatch_is_the_chi_square_test() -> None:
    assert mismatch([60, 40], [0.5, 0.5]) == pytest.approx(0.0455, abs=1e-4)  # of 4
    assert mismatch([20, 80], [0.1, 0.3]) == pytest.approx(0.2482, abs=1e-4)  # of 4 / 3
    assert mismatch([50, 50], [0.2, 0.2]) == 1
    assert mismatch([0, 0], [0.5, 0.5]) is None
    users, shares = [310, 290, 420], [0.3, 0.3, 0.4]
    expected = [sum(users) * share for share in shares]
    assert mismatch(users, shares) == pytest.approx(stats.chisquare(users, expected).pvalue)


def test_intervals_hold_the_true_difference_19_times_in_20() -> None:
    rng = Random(5)
    held = 0
    for _ in range(400):
        groups = []
        for chance in (0.3, 0.36):
            users = Sums()
            for _ in range(120):
                mine, views = rng.betavariate(chance * 4, (1 - chance) * 4), rng.randrange(1, 9)
                users.add(sum(rng.random() < mine for _ in range(views)), views)
            groups.append(users)
        found = difference(ratio(groups[1]), ratio(groups[0]))
        assert found is not None
        held += found.low <= 0.06 <= found.high
    assert 0.92 <= held / 400 <= 0.975


def exposed(user: str, variant: str = "control", at: int = 1_100, **more: Any) -> Exposure:
    given = {"experiment": "x", **more}
    return Exposure(event_id=f"{user}{at}", user_id=user, variant=variant, at=at, **given)


def act(user: str, action: Any = "like", at: int = 1_200) -> Engagement:
    return Engagement(event_id=f"{user}{at}", action=action, user_id=user, post_id="p", at=at)


def outcome(*events: Exposure | Engagement) -> Any:
    trial = Trial("x", SINCE, UNTIL)
    for event in events:
        trial.add(event)
    return trial.outcome(SHARES)


def test_figures_are_by_user_and_by_view() -> None:
    found = outcome(
        *(exposed(user) for user in "ab"),
        *(exposed(user, "new") for user in "cde"),
        *(act("a", action) for action in ("view", "view", "like")),
        *(act("b", "view") for _ in range(2)),
        *chain(*([act(user, "view"), act(user, "share"), act(user, "react")] for user in "cd")),
        act("e", "hide"),
    )
    control, new = found.variants
    assert (control.users, new.users, found.mixed) == (2, 3, 0)
    assert (control.engaged_users.value, new.engaged_users.value) == pytest.approx((1 / 2, 2 / 3))
    assert control.engagements_per_user.value == pytest.approx(1 / 2)
    assert new.engagements_per_user.value == pytest.approx(4 / 3)
    assert (control.engagements_per_view.value, new.engagements_per_view.value) == (1 / 4, 2)
    assert control.engaged_users.difference is None
    assert new.engaged_users.difference.value == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    "event",
    [
        act("a", at=1_099),
        act("a", at=2_001),
        act("stranger"),
        act("a", "click"),
        exposed("c", experiment="y"),
        exposed("c", at=999),
        exposed("a", at=1_300),
    ],
)
def test_what_does_not_count(event: Exposure | Engagement) -> None:
    given = [exposed("a"), exposed("b")]
    assert outcome(*given, event) == outcome(*given)


def test_who_was_in_two_variants_is_in_none() -> None:
    found = outcome(exposed("a"), exposed("b"), exposed("a", "new"), act("a"))
    assert (found.mixed, [each.users for each in found.variants]) == (1, [1, 0])


def test_a_mismatch_is_suspicious() -> None:
    even = [exposed(f"{n}", ("control", "new")[n % 2]) for n in range(200)]
    uneven = [exposed(f"{n}", "new" if n % 3 else "control") for n in range(200)]
    assert not outcome(*even).is_suspicious
    assert outcome(*uneven).is_suspicious
    assert not outcome().is_suspicious


def test_users_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_USERS", 1)
    with pytest.raises(TooManyError, match="fewer days"):
        outcome(exposed("a"), exposed("b"))
