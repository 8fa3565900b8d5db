"""APNs over HTTP/2, which verifies provider tokens and headers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from connectors.push.address import Address, parse_address
from connectors.push.apns import LONGEST_PAYLOAD, Apns, ApnsKey, _body
from connectors.push.connector import (
    DELIVERED,
    CredentialsError,
    Outcome,
    RetryLaterError,
    Verdict,
)
from connectors.push.http import HttpClient
from tests.push.certificate import Certificate
from tests.push.parts import AS_JSON, NOW, Clock, notice, patience
from tests.push.server import SILENCE, Answer, said
from tests.push.services import Apple

DEVICE = parse_address("apns:" + "ab" * 32)
KEY = ec.generate_private_key(ec.SECP256R1())
DAY = 86_400


def run(
    go: Callable[[Apns, Apple, Clock], Awaitable[Any]],
    folder: Path,
    *script: Answer,
    key: ec.EllipticCurvePrivateKey = KEY,
    topic: str = "org.example.app",
) -> Any:
    async def rent() -> Any:
        clock = Clock()
        certificate = Certificate(folder)
        async with Apple(certificate, KEY, clock) as apple:
            apple.script.extend(script)
            tls = certificate.client()
            wait = patience(*script)
            apns = Apns(
                ApnsKey(key, "KEY0000001", "TEAM000001"),
                topic,
                ttl_seconds=DAY,
                url=apple.url,
                http=HttpClient(http1=False, http2=True, tls=tls, timeout_seconds=wait),
                clock=clock,
            )
            try:
                return await go(apns, apple, clock)
            finally:
                await apns.aclose()

    return asyncio.run(rent())


def answered(folder: Path, *answers: Answer) -> Outcome:
    async def go(apns: Apns, _: Apple, __: Clock) -> Outcome:
        return await apns.deliver(DEVICE, notice())

    found = run(go, folder, *answers)
    assert isinstance(found, Outcome)
    return found


def test_the_device_gets_the_notice(tmp_path: Path) -> None:
    async def go(apns: Apns, apple: Apple, _: Clock) -> None:
        assert await apns.deliver(DEVICE, notice()) == DELIVERED
        assert await apns.deliver(DEVICE, notice(kind="mention")) == DELIVERED
        (headers, body), (urgent, _) = apple.received
        assert body == {
            "aps": {
                "alert": {"loc-key": "notice_like", "loc-args": ["2"]},
                "badge": 7,
                "thread-id": notice().collapse_key(),
                "mutable-content": 1,
            },
            "notice": AS_JSON,
        }
        assert headers["apns-collapse-id"] == notice().collapse_key()
        assert headers["apns-expiration"] == str(int(NOW) - 60 + DAY)
        assert (headers["apns-priority"], urgent["apns-priority"]) == ("5", "10")

    run(go, tmp_path)


def test_one_connection_carries_all(tmp_path: Path) -> None:
    async def go(apns: Apns, apple: Apple, _: Clock) -> None:
        await apns.deliver(DEVICE, notice())
        found = await asyncio.gather(*(apns.deliver(DEVICE, notice()) for _ in range(20)))
        assert found == [DELIVERED] * 20
        assert apple.connections == 1

    run(go, tmp_path)


def test_a_token_is_used_for_forty_minutes_and_not_for_an_hour(tmp_path: Path) -> None:
    async def go(apns: Apns, apple: Apple, clock: Clock) -> None:
        for _ in range(13):  # every 10 minutes, two hours
            at = int(clock.now * 1000)
            assert await apns.deliver(DEVICE, notice(at=at)) == DELIVERED
            clock.now += 600
        assert [len(set(apple.tokens[i : i + 4])) for i in (0, 4, 8)] == [1, 1, 1]
        assert len(set(apple.tokens)) == 4

    run(go, tmp_path)


def test_a_token_that_has_expired_is_replaced_once(tmp_path: Path) -> None:
    """As when this machine slept: its clock went on, and nobody looked."""

    async def go(apns: Apns, apple: Apple, clock: Clock) -> None:
        assert await apns.deliver(DEVICE, notice()) == DELIVERED
        apple.script.append(said(403, {"reason": "ExpiredProviderToken"}))
        clock.now += 1
        assert await apns.deliver(DEVICE, notice()) == DELIVERED
        assert len(apple.requests) == 3
        assert len({request.headers["authorization"] for request in apple.requests}) == 2

    run(go, tmp_path)


def test_one_new_token_is_enough_for_all_that_were_refused(tmp_path: Path) -> None:
    async def go(apns: Apns, apple: Apple, _: Clock) -> None:
        assert await apns.deliver(DEVICE, notice()) == DELIVERED
        apple.script.extend([said(403, {"reason": "ExpiredProviderToken"})] * 5)
        found = await asyncio.gather(*(apns.deliver(DEVICE, notice()) for _ in range(5)))
        assert found == [DELIVERED] * 5
        assert len({request.headers["authorization"] for request in apple.requests}) == 2

    run(go, tmp_path)


def test_tokens_that_expire_at_once_are_an_error_of_the_operator_s(tmp_path: Path) -> None:
    async def go(apns: Apns, apple: Apple, _: Clock) -> None:
        expired = said(403, {"reason": "ExpiredProviderToken"})
        apple.script.extend([expired, expired, expired])
        with pytest.raises(CredentialsError, match=r"ExpiredProviderToken.*clock"):
            await apns.deliver(DEVICE, notice())
        assert len(apple.requests) == 2

    run(go, tmp_path)


def test_another_key_is_an_error_of_the_operator_s(tmp_path: Path) -> None:
    async def go(apns: Apns, apple: Apple, _: Clock) -> None:
        with pytest.raises(CredentialsError, match=r"InvalidProviderToken.*HEADRACE_APNS_KEY_FILE"):
            await apns.deliver(DEVICE, notice())
        assert not apple.received

    run(go, tmp_path, key=ec.generate_private_key(ec.SECP256R1()))


def test_a_token_of_another_app_is_refused(tmp_path: Path) -> None:
    async def go(apns: Apns, _: Apple, __: Clock) -> None:
        found = await apns.deliver(DEVICE, notice())
        assert found == Outcome(Verdict.REFUSED, "DeviceTokenNotForTopic")

    run(go, tmp_path, topic="org.example.other")


@pytest.mark.parametrize(
    ("device", "reason"), [("cd" * 32, "Unregistered"), ("00" * 32, "BadDeviceToken")]
)
def test_devices_that_are_gone(device: str, reason: str, tmp_path: Path) -> None:
    async def go(apns: Apns, _: Apple, __: Clock) -> None:
        found = await apns.deliver(Address("apns", device), notice())
        assert found == Outcome(Verdict.GONE, reason)

    run(go, tmp_path)


@pytest.mark.parametrize(
    ("status", "reason", "outcome"),
    [
        (410, "ExpiredToken", Outcome(Verdict.GONE, "ExpiredToken")),
        (410, "SomethingNew", Outcome(Verdict.GONE, "SomethingNew")),
        (400, "BadCollapseId", Outcome(Verdict.REFUSED, "BadCollapseId")),
        (404, "BadPath", Outcome(Verdict.REFUSED, "BadPath")),
        (413, "PayloadTooLarge", Outcome(Verdict.REFUSED, "PayloadTooLarge")),
        (400, "two words", Outcome(Verdict.REFUSED, "400")),
    ],
)
def test_outcomes(status: int, reason: str, outcome: Outcome, tmp_path: Path) -> None:
    assert answered(tmp_path, said(status, {"reason": reason})) == outcome


@pytest.mark.parametrize(
    ("answer", "reason", "after"),
    [
        (said(429, {"reason": "TooManyRequests"}, retry_after="5"), "TooManyRequests", 5.0),
        (
            said(429, {"reason": "TooManyProviderTokenUpdates"}),
            "TooManyProviderTokenUpdates",
            None,
        ),
        (said(500, {"reason": "InternalServerError"}), "InternalServerError", None),
        (said(503, {"reason": "Shutdown"}), "Shutdown", None),
        (SILENCE, "timeout", None),
    ],
)
def test_what_may_work_later(
    answer: Answer, reason: str, after: float | None, tmp_path: Path
) -> None:
    with pytest.raises(RetryLaterError) as error:
        answered(tmp_path, answer)
    assert (error.value.reason, error.value.after_seconds) == (reason, after)


def test_after_a_silence_a_new_connection_is_made(tmp_path: Path) -> None:
    async def go(apns: Apns, apple: Apple, _: Clock) -> None:
        for _ in range(2):
            with pytest.raises(RetryLaterError):
                await apns.deliver(DEVICE, notice())
        assert apple.connections == 2

    run(go, tmp_path, SILENCE, SILENCE)


def test_an_old_notice_is_not_sent(tmp_path: Path) -> None:
    async def go(apns: Apns, apple: Apple, clock: Clock) -> None:
        clock.now += DAY - 60  # the notice is a minute old
        assert await apns.deliver(DEVICE, notice()) == Outcome(Verdict.REFUSED, "expired")
        assert not apple.requests

    run(go, tmp_path)


def test_the_largest_notice_is_taken_and_a_larger_one_is_not_sent(tmp_path: Path) -> None:
    async def go(apns: Apns, apple: Apple, _: Clock) -> None:
        room = LONGEST_PAYLOAD - len(_body(notice(post_id="")))
        assert await apns.deliver(DEVICE, notice(post_id="x" * room)) == DELIVERED
        found = await apns.deliver(DEVICE, notice(post_id="x" * (room + 1)))
        assert found == Outcome(Verdict.REFUSED, "too_large")
        assert len(apple.requests) == 1

    run(go, tmp_path)


def test_a_key_does_not_print_itself() -> None:
    assert repr(ApnsKey(KEY, "KEY0000001", "TEAM000001")) == "ApnsKey(KEY0000001)"
