"""Waiting until nothing waits any more."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from connectors.lag import Lag, LagReader, LagTimeoutError, wait_quiet


def _wait(counts: list[int], timeout_s: float = 100.0) -> int:
    """How many passes it took, with the lags of the passes given."""
    now = 0.0
    passes = 0

    def read() -> Lag:
        nonlocal passes
        count = counts[passes]
        passes += 1
        return Lag({("headrace-app", "by-user", 0): count} if count else {})

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    wait_quiet(read, timeout_s, clock=lambda: now, sleep=sleep)
    return passes


@pytest.mark.parametrize(
    ("counts", "passes"),
    [([0, 0], 2), ([5, 0, 0], 3), ([0, 1, 0, 0], 4), ([3, 0, 1, 0, 1, 0, 0], 7)],
)
def test_two_quiet_passes_in_a_row(counts: list[int], passes: int) -> None:
    assert _wait(counts) == passes


def test_what_still_waits_is_named() -> None:
    with pytest.raises(LagTimeoutError, match="5 in by-user for headrace-app"):
        _wait([5] * 10, timeout_s=1.0)


def test_sums() -> None:
    lag = Lag(
        {
            ("headrace-app", "posts", 0): 2,
            ("headrace-app", "posts", 1): 3,
            ("headrace-views", "view.posts", 0): 9,
        }
    )
    assert lag.total == 14
    assert lag.by_group() == {"headrace-app": 5, "headrace-views": 9, "headrace-archive": 0}
    assert list(lag.by_topic()) == [("headrace-views", "view.posts"), ("headrace-app", "posts")]


@pytest.mark.parametrize(
    ("fault", "is_passing"),
    [
        (KafkaException(KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS)), True),
        (KafkaException(KafkaError(KafkaError._TRANSPORT)), True),
        (KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)), True),
        (KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION)), True),
        (KafkaException(KafkaError(KafkaError.FENCED_LEADER_EPOCH)), True),
        (KafkaException(KafkaError(KafkaError._TIMED_OUT)), True),
        (KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)), False),
    ],
)
def test_a_broker_that_is_busy_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, is_passing: bool
) -> None:
    answers: list[Lag | Exception] = [fault, Lag({})]

    def read(_: LagReader) -> Lag:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(LagReader, "_read", read)
    monkeypatch.setattr("connectors.lag.PAUSE_S", 0)
    reader = LagReader("127.0.0.1:1")
    if is_passing:
        assert reader.read() == Lag({})
    else:
        with pytest.raises(KafkaException):
            reader.read()
