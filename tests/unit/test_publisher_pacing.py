"""The pace of a publisher, on a clock made by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest

from connectors.publisher import BURST_SECONDS, Pacer, PublishReport, key_of
from connectors.subjects import TOPIC_OF
from schemas.events import EVENT_TYPES, Engagement, Follow, Post, User
from schemas.exposures import Exposure


class Clock:
    """A clock that only sleeping moves; a sleep may take longer than asked."""

    def __init__(self, late: float = 0.0) -> None:
        self.now = 100.0
        self.late = late

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds + self.late


def times(rate: float, count: int, clock: Clock, work: float = 0.0) -> list[float]:
    pacer = Pacer(rate, clock=clock, sleep=clock.sleep)
    found = []
    for _ in range(count):
        pacer.wait()
        found.append(clock.now - 100.0)
        clock.now += work
    return found


@pytest.mark.parametrize("rate", [0.5, 10, 999, 5_000, 200_000])
@pytest.mark.parametrize("late", [0.0, 0.0001])
def test_holds_the_rate(rate: float, late: float) -> None:
    count = int(rate * 4) + 1
    found = times(rate, count, Clock(late))
    assert found[-1] == pytest.approx((count - 1) / rate, rel=0.02, abs=0.002)


@pytest.mark.parametrize("rate", [10, 5_000, 200_000])
def test_is_even(rate: float) -> None:
    """In no window of 10 ms are there more than that window's worth and one burst."""
    found = times(rate, int(rate * 2), Clock(0.0001))
    first = 0
    for last, at in enumerate(found):
        while at - found[first] > 0.01:
            first += 1
        assert last - first + 1 <= rate * (0.01 + BURST_SECONDS) + 2


def test_low_rates_never_burst() -> None:
    found = times(10, 50, Clock())
    assert all(b - a > 0.0999 for a, b in pairwise(found))


def test_a_stall_is_made_up_for_by_50_ms_at_most() -> None:
    clock = Clock()
    pacer = Pacer(1_000, clock=clock, sleep=clock.sleep)
    for _ in range(100):
        pacer.wait()
    clock.now += 10
    stalled = clock.now
    at_once = 0
    while True:
        pacer.wait()
        if clock.now > stalled:
            break
        at_once += 1
    assert at_once == 50


def test_work_that_takes_its_time_is_not_added() -> None:
    found = times(1_000, 1_001, Clock(), work=0.0005)
    assert found[-1] == pytest.approx(1.0, rel=0.02)


def test_says_whether_it_slept() -> None:
    clock = Clock()
    pacer = Pacer(10, clock=clock, sleep=clock.sleep)
    assert [pacer.wait() for _ in range(3)] == [False, True, True]


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_refuses_a_rate_that_is_none(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pacer(rate)


def test_keys() -> None:
    like = Engagement(event_id="e", action="like", user_id="u", post_id="p", at=1)
    message = Engagement(event_id="e", action="message", user_id="u", target="v", at=1)
    assert key_of(Post(event_id="e", action="deleted", post_id="p", at=1)) == "p"
    assert key_of(like) == "p"
    assert key_of(message) == "u"
    assert key_of(Follow(event_id="e", action="follow", user_id="u", target="u:v", at=1)) == "u"
    assert key_of(User(event_id="e", action="active", user_id="u", at=1)) == "u"


def test_every_event_has_a_topic() -> None:
    assert set(TOPIC_OF) == {*EVENT_TYPES, Exposure}


def test_report() -> None:
    assert PublishReport(10, 2.0).events_per_s == 5.0
    assert PublishReport(0, 0.0).events_per_s == 0.0
