"""Google's token endpoint and FCM, which verify assertions, access tokens and messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.push.address import Address, parse_address
from connectors.push.connector import (
    DELIVERED,
    CredentialsError,
    Outcome,
    RetryLaterError,
    Verdict,
)
from connectors.push.fcm import Fcm, ServiceAccount
from tests.push.parts import AS_JSON, PATIENCE, Clock, notice, patience, plain_client
from tests.push.server import SILENCE, Answer, Request, said
from tests.push.services import EMAIL, PROJECT, Google, fcm_error

DEVICE = parse_address("fcm:a-registration-token:of-one-device")
KEY = rsa.generate_private_key(65537, 2048)
DAY = 86_400


def run(
    go: Callable[[Fcm, Google, Clock], Awaitable[Any]],
    *,
    timeout_seconds: float = PATIENCE,
    email: str = EMAIL,
) -> Any:
    async def rent() -> Any:
        clock = Clock()
        async with Google(KEY, clock) as google:
            fcm = Fcm(
                ServiceAccount(PROJECT, email, f"{google.url}/token", KEY, "key-1"),
                ttl_seconds=DAY,
                url=google.url,
                http=plain_client(timeout_seconds),
                clock=clock,
            )
            try:
                return await go(fcm, google, clock)
            finally:
                await fcm.aclose()

    return asyncio.run(rent())


def answered(*answers: Answer) -> Outcome:
    """How a delivery ends when FCM itself answers so."""

    async def go(fcm: Fcm, google: Google, _: Clock) -> Outcome:
        assert await fcm.deliver(DEVICE, notice()) == DELIVERED
        google.script.extend(answers)
        return await fcm.deliver(DEVICE, notice())

    found = run(go, timeout_seconds=patience(*answers))
    assert isinstance(found, Outcome)
    return found


def test_the_device_gets_the_notice() -> None:
    async def go(fcm: Fcm, google: Google, _: Clock) -> None:
        assert await fcm.deliver(DEVICE, notice()) == DELIVERED
        assert await fcm.deliver(DEVICE, notice(kind="mention")) == DELIVERED
        first, second = google.received
        assert msgspec.json.decode(first["data"]["notice"]) == AS_JSON
        assert first["android"] == {"priority": "NORMAL", "ttl": f"{DAY - 60}s"}
        assert second["android"]["priority"] == "HIGH"

    run(go)


def test_an_access_token_is_asked_for_once_in_its_time() -> None:
    async def go(fcm: Fcm, google: Google, clock: Clock) -> None:
        await asyncio.gather(*(fcm.deliver(DEVICE, notice()) for _ in range(5)))
        clock.now += 3_599 - 61
        await fcm.deliver(DEVICE, notice())
        assert google.grants == 1
        clock.now += 1
        await fcm.deliver(DEVICE, notice())
        assert google.grants == 2
        assert len(google.received) == 7

    run(go)


def test_an_access_token_that_is_not_accepted_is_replaced_once() -> None:
    async def go(fcm: Fcm, google: Google, _: Clock) -> None:
        await fcm.deliver(DEVICE, notice())
        google.revoke()
        found = await asyncio.gather(*(fcm.deliver(DEVICE, notice()) for _ in range(5)))
        assert found == [DELIVERED] * 5
        assert google.grants == 2

    run(go)


def test_a_late_refusal_does_not_forget_the_token_that_came_meanwhile() -> None:
    async def go(fcm: Fcm, google: Google, _: Clock) -> None:
        await fcm.deliver(DEVICE, notice())
        google.revoke()
        refusals = 0
        is_replaced = asyncio.Event()

        async def judge(request: Request) -> Answer:
            nonlocal refusals
            answer = await Google.judge(google, request)
            refusals += answer.status == 401
            if answer.status == 401 and refusals == 2:
                await is_replaced.wait()
            if len(google.received) == 2:  # the other task has sent with a new token
                is_replaced.set()
            return answer

        google.judge = judge  # type: ignore[method-assign]
        await asyncio.gather(*(fcm.deliver(DEVICE, notice()) for _ in range(2)))
        assert (refusals, google.grants) == (2, 2)

    run(go)


def test_access_that_is_not_given_again_is_an_error_of_the_operator_s() -> None:
    unauthenticated = fcm_error(401, "UNAUTHENTICATED")
    grant = said(200, {"access_token": "x", "expires_in": 3599})
    with pytest.raises(CredentialsError, match="HEADRACE_FCM_CREDENTIALS"):
        answered(unauthenticated, grant, unauthenticated)


def test_another_key_gets_no_access_token() -> None:
    async def go(fcm: Fcm, google: Google, _: Clock) -> None:
        with pytest.raises(CredentialsError, match=r"HEADRACE_FCM_CREDENTIALS \(invalid_grant\)"):
            await fcm.deliver(DEVICE, notice())
        assert google.grants == 0

    run(go, email="another@a-project.iam.gserviceaccount.com")


@pytest.mark.parametrize(
    ("answer", "reason", "after"),
    [
        (said(503, retry_after="9"), "token_503", 9.0),
        (said(429), "token_429", None),
        (SILENCE, "timeout", None),
    ],
)
def test_no_access_token_for_now(answer: Answer, reason: str, after: float | None) -> None:
    async def go(fcm: Fcm, google: Google, _: Clock) -> None:
        google.script.append(answer)
        with pytest.raises(RetryLaterError) as error:
            await fcm.deliver(DEVICE, notice())
        assert (error.value.reason, error.value.after_seconds) == (reason, after)
        assert not google.received

    run(go, timeout_seconds=patience(answer))


def test_an_answer_without_an_access_token_is_none() -> None:
    async def go(fcm: Fcm, google: Google, _: Clock) -> None:
        google.script.append(Answer(200, b"<html>"))
        with pytest.raises(CredentialsError, match="200"):
            await fcm.deliver(DEVICE, notice())

    run(go)


def test_a_device_without_the_app_is_gone() -> None:
    async def go(fcm: Fcm, _: Google, __: Clock) -> None:
        found = await fcm.deliver(Address("fcm", "an-old-registration-token"), notice())
        assert found == Outcome(Verdict.GONE, "UNREGISTERED")

    run(go)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (fcm_error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"), "INVALID_ARGUMENT"),
        (fcm_error(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), "SENDER_ID_MISMATCH"),
        (fcm_error(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), "THIRD_PARTY_AUTH_ERROR"),
        (fcm_error(404, "NOT_FOUND"), "NOT_FOUND"),
        (said(404, "a proxy's own"), "404"),
        (Answer(400, b"<html>"), "400"),
        (said(302, location="/"), "302"),
    ],
)
def test_refusals(answer: Answer, reason: str) -> None:
    assert answered(answer) == Outcome(Verdict.REFUSED, reason)


def test_an_account_that_may_not_send_is_an_error_of_the_operator_s() -> None:
    with pytest.raises(CredentialsError, match="PERMISSION_DENIED"):
        answered(fcm_error(403, "PERMISSION_DENIED"))


@pytest.mark.parametrize(
    ("answer", "reason", "after"),
    [
        (
            fcm_error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", retry_after="60"),
            "QUOTA_EXCEEDED",
            60.0,
        ),
        (fcm_error(503, "UNAVAILABLE", "UNAVAILABLE", retry_after="10"), "UNAVAILABLE", 10.0),
        (fcm_error(500, "INTERNAL", "INTERNAL"), "INTERNAL", None),
        (Answer(502, b"<html>"), "502", None),
        (SILENCE, "timeout", None),
    ],
)
def test_what_may_work_later(answer: Answer, reason: str, after: float | None) -> None:
    with pytest.raises(RetryLaterError) as error:
        answered(answer)
    assert (error.value.reason, error.value.after_seconds) == (reason, after)


def test_an_old_notice_is_not_sent() -> None:
    async def go(fcm: Fcm, google: Google, clock: Clock) -> None:
        clock.now += DAY - 60  # the notice is a minute old
        assert await fcm.deliver(DEVICE, notice()) == Outcome(Verdict.REFUSED, "expired")
        assert not google.requests

    run(go)


def test_an_account_does_not_print_its_key() -> None:
    account = ServiceAccount(PROJECT, EMAIL, "https://example.org/token", KEY, "key-1")
    assert repr(account) == f"ServiceAccount({EMAIL})"
