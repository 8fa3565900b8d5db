"""The operator's endpoint, which verifies as the Standard Webhooks specification says."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from connectors.push.address import WEBHOOK
from connectors.push.connector import (
    DELIVERED,
    CredentialsError,
    Outcome,
    RetryLaterError,
    Verdict,
)
from connectors.push.keys import webhook_key
from connectors.push.webhook import Webhook, sign
from tests.push.parts import AS_JSON, Clock, notice, patience, plain_client
from tests.push.server import SILENCE, Answer, said
from tests.push.services import Endpoint

SECRET = "whsec_" + b64encode(bytes(range(32))).decode()


def run(
    go: Callable[[Webhook, Endpoint, Clock], Awaitable[Any]],
    *script: Answer,
    secret: str = SECRET,
) -> Any:
    async def rent() -> Any:
        clock = Clock()
        async with Endpoint(SECRET, clock) as endpoint:
            endpoint.script.extend(script)
            http = plain_client(patience(*script))
            webhook = Webhook(endpoint.url + "/hook", webhook_key(secret), http=http, clock=clock)
            try:
                return await go(webhook, endpoint, clock)
            finally:
                await webhook.aclose()

    return asyncio.run(rent())


def delivered(answer: Answer) -> Outcome:
    async def go(webhook: Webhook, _: Endpoint, __: Clock) -> Outcome:
        return await webhook.deliver(WEBHOOK, notice())

    found = run(go, answer)
    assert isinstance(found, Outcome)
    return found


def test_the_specification_s_own_example() -> None:
    """That of the reference libraries (standard-webhooks, `test_sign_function`)."""
    key = webhook_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_notice_is_signed_and_taken() -> None:
    async def go(webhook: Webhook, endpoint: Endpoint, _: Clock) -> None:
        assert await webhook.deliver(WEBHOOK, notice()) == DELIVERED
        [[body]] = endpoint.received.values()
        assert msgspec.json.decode(body) == {
            "type": "notification",
            "timestamp": "2027-01-15T07:59:00Z",
            "data": AS_JSON,
        }

    run(go)


def test_an_attempt_after_an_error_has_the_same_id_and_body_and_the_time_of_then() -> None:
    async def go(webhook: Webhook, endpoint: Endpoint, clock: Clock) -> None:
        endpoint.script.append(said(500))
        with pytest.raises(RetryLaterError):
            await webhook.deliver(WEBHOOK, notice())
        clock.now += 3_600
        assert await webhook.deliver(WEBHOOK, notice()) == DELIVERED
        assert await webhook.deliver(WEBHOOK, notice(notice_id="like/p1/3")) == DELIVERED
        first, again, other = endpoint.requests
        assert first.body == again.body
        assert first.headers["webhook-id"] == again.headers["webhook-id"]
        assert first.headers["webhook-id"] != other.headers["webhook-id"]
        assert first.headers["webhook-signature"] != again.headers["webhook-signature"]

    run(go)


def test_another_secret_is_told_as_such() -> None:
    async def go(webhook: Webhook, endpoint: Endpoint, _: Clock) -> None:
        with pytest.raises(CredentialsError, match="HEADRACE_WEBHOOK_SECRET"):
            await webhook.deliver(WEBHOOK, notice())
        assert not endpoint.received

    run(go, secret="whsec_" + b64encode(b"another key of 32 bytes, or more").decode())


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, DELIVERED),
        (202, DELIVERED),
        (204, DELIVERED),
        (302, Outcome(Verdict.REFUSED, "302")),
        (400, Outcome(Verdict.REFUSED, "400")),
        (404, Outcome(Verdict.GONE, "404")),
        (410, Outcome(Verdict.GONE, "410")),
        (413, Outcome(Verdict.REFUSED, "413")),
    ],
)
def test_outcomes(status: int, outcome: Outcome) -> None:
    assert delivered(said(status)) == outcome


@pytest.mark.parametrize(
    ("answer", "reason", "after"),
    [
        (said(429, retry_after="17"), "429", 17.0),
        (said(503, retry_after="Fri, 15 Jan 2027 08:00:30 GMT"), "503", 30.0),
        (said(500), "500", None),
        (SILENCE, "timeout", None),
    ],
)
def test_what_may_work_later(answer: Answer, reason: str, after: float | None) -> None:
    with pytest.raises(RetryLaterError) as error:
        delivered(answer)
    assert (error.value.reason, error.value.after_seconds) == (reason, after)
