"""How old events are when they can be read."""

from __future__ import annotations

import pytest

from schemas.views import FillTimeline, PushEntry, RemoveEntry
from streams.engine.ages import BOUNDS, Ages

NOW_S = 1_700_000_000.0


def push(age_s: float) -> PushEntry:
    return PushEntry("p", "u:ann", round((NOW_S - age_s) * 1000), ["bob"])


def test_ages_are_counted_up_to_each_bound() -> None:
    ages = Ages()
    ages.note([push(0.02), push(0.25), push(3), push(86_400)], NOW_S)
    found = dict(ages.buckets())
    assert found["0.05"] == found["0.1"] == 1
    assert found["0.25"] == found["2.5"] == 2
    assert found["5.0"] == found["3600.0"] == 3
    assert found["+Inf"] == 4
    assert ages.seconds == pytest.approx(86_403.27)
    assert len(found) == len(BOUNDS) + 1


def test_a_clock_that_is_ahead_is_no_age_below_nought() -> None:
    ages = Ages()
    ages.note([push(-10)], NOW_S)
    assert (dict(ages.buckets())["0.05"], ages.seconds) == (1, 0.0)


def test_what_is_no_new_entry_does_not_count() -> None:
    ages = Ages()
    ages.note([FillTimeline("bob", [("p", "u:ann", 1)]), RemoveEntry("p", "u:ann", 1, ["bob"])], 2)
    assert dict(ages.buckets())["+Inf"] == 0
