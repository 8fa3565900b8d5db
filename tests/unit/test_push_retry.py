"""When a delivery is tried again."""

from __future__ import annotations

import asyncio

import pytest

from connectors.push.connector import DELIVERED, CredentialsError, Outcome, RetryLaterError
from connectors.push.retry import RetryPolicy, with_retries

POLICY = RetryPolicy(attempts=5, first_seconds=1.0, longest_seconds=4.0)


def attempts(
    *failures: Exception, share: float = 1.0, policy: RetryPolicy = POLICY
) -> tuple[Outcome | Exception, list[float]]:
    """How it ends when the attempts fail so, and the pauses that were made."""
    left = list(failures)
    pauses: list[float] = []

    async def attempt() -> Outcome:
        if left:
            raise left.pop(0)
        return DELIVERED

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def go() -> Outcome | Exception:
        try:
            return await with_retries(attempt, policy, sleep=sleep, share=lambda: share)
        except (RetryLaterError, CredentialsError) as error:
            return error

    return asyncio.run(go()), pauses


def later(after: float | None = None) -> RetryLaterError:
    return RetryLaterError("503", after)


def test_what_works_is_done_once() -> None:
    assert attempts() == (DELIVERED, [])


def test_pauses_double_up_to_a_bound() -> None:
    assert attempts(*[later() for _ in range(4)]) == (DELIVERED, [1, 2, 4, 4])


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_the_jitter_is_full(share: float) -> None:
    assert attempts(later(), later(), share=share) == (DELIVERED, [share, 2 * share])


def test_the_attempts_have_a_bound() -> None:
    failures = [later() for _ in range(9)]
    ended, pauses = attempts(*failures)
    assert ended is failures[4]
    assert len(pauses) == 4


def test_what_the_service_asks_for_is_waited_for_at_least() -> None:
    assert attempts(later(3), share=0.5) == (DELIVERED, [3.5])
    assert attempts(later(3), share=0.0) == (DELIVERED, [3.0])


def test_who_asks_for_longer_than_the_bound_is_not_waited_for() -> None:
    failure = later(4.1)
    assert attempts(failure) == (failure, [])


def test_other_errors_are_not_tried_again() -> None:
    failure = CredentialsError("no")
    assert attempts(failure) == (failure, [])
