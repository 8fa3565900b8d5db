"""A browser's push service, which decrypts what its subscriber is sent, and checks the sender."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from connectors.push.address import parse_address
from connectors.push.connector import DELIVERED, Outcome, RetryLaterError, Verdict
from connectors.push.webpush import LONGEST_PAYLOAD, WebPush
from tests.push.certificate import Certificate
from tests.push.crypto import decrypt, unb64
from tests.push.parts import AS_JSON, Clock, notice, patience
from tests.push.server import SILENCE, Answer, said
from tests.push.services import PushService

DAY = 86_400
KEY = ec.derive_private_key(0x1234_5678_9ABC, ec.SECP256R1())


def run(
    go: Callable[[WebPush, PushService, Clock], Awaitable[Any]],
    folder: Path,
    *script: Answer,
    key: int = 0x1234_5678_9ABC,
    may_loop_back: bool = True,
) -> Any:
    async def rent() -> Any:
        clock = Clock()
        certificate = Certificate(folder)
        async with PushService(certificate, KEY, clock) as service:
            service.script.extend(script)
            push = WebPush(
                key.to_bytes(32),
                "mailto:operator@example.org",
                ttl_seconds=DAY,
                may_loop_back=may_loop_back,
                tls=certificate.client(),
                timeout_seconds=patience(*script),
                clock=clock,
            )
            try:
                return await go(push, service, clock)
            finally:
                await push.aclose()

    return asyncio.run(rent())


def delivered(folder: Path, answer: Answer) -> Outcome:
    async def go(push: WebPush, service: PushService, _: Clock) -> Outcome:
        return await push.deliver(parse_address(service.token()), notice())

    found = run(go, folder, answer)
    assert isinstance(found, Outcome)
    return found


def test_the_stand_in_reads_the_example_of_rfc_8291() -> None:
    """Appendix A: what decrypts there is no proof of itself."""
    body = (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmY"
        "WAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexS"
        "gSxsj_Qulcy4a-fN"
    )
    private = int.from_bytes(unb64("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
    key = ec.derive_private_key(private, ec.SECP256R1())
    plain = decrypt(unb64(body), key, unb64("BTBZMqHH6r4Tts7J_aSIgg"))
    assert plain == b"When I grow up, I want to be a watermelon"


def test_the_subscriber_reads_the_notice(tmp_path: Path) -> None:
    async def go(push: WebPush, service: PushService, _: Clock) -> None:
        address = parse_address(service.token())
        assert await push.deliver(address, notice()) == DELIVERED
        [(headers, found)] = service.received
        assert found == AS_JSON
        assert headers["ttl"] == str(DAY - 60)
        assert headers["urgency"] == "normal"
        assert headers["topic"] == notice().collapse_key()

    run(go, tmp_path)


def test_what_is_said_to_one_alone_is_urgent(tmp_path: Path) -> None:
    async def go(push: WebPush, service: PushService, _: Clock) -> None:
        await push.deliver(parse_address(service.token()), notice(kind="reply"))
        assert service.received[0][0]["urgency"] == "high"

    run(go, tmp_path)


def test_no_two_messages_are_encrypted_alike(tmp_path: Path) -> None:
    async def go(push: WebPush, service: PushService, _: Clock) -> None:
        for _ in range(2):
            await push.deliver(parse_address(service.token()), notice())
        first, second = (request.body for request in service.requests)
        assert first[:16] != second[:16]
        assert first[21:86] != second[21:86]

    run(go, tmp_path)


def test_a_token_is_good_for_its_time_whenever_it_is_made(tmp_path: Path) -> None:
    async def go(push: WebPush, service: PushService, clock: Clock) -> None:
        for _ in range(3):
            at = int(clock.now * 1000)
            assert await push.deliver(parse_address(service.token()), notice(at=at)) == DELIVERED
            clock.now += 20 * 3_600

    run(go, tmp_path)


def test_an_endpoint_of_another_key_refuses_and_no_more(tmp_path: Path) -> None:
    async def go(push: WebPush, service: PushService, _: Clock) -> None:
        found = await push.deliver(parse_address(service.token()), notice())
        assert found == Outcome(Verdict.REFUSED, "401")
        assert not service.received

    run(go, tmp_path, key=77)


def test_who_has_unsubscribed_is_gone(tmp_path: Path) -> None:
    async def go(push: WebPush, service: PushService, _: Clock) -> None:
        service.is_subscribed = False
        found = await push.deliver(parse_address(service.token()), notice())
        assert found == Outcome(Verdict.GONE, "410")

    run(go, tmp_path)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (302, Verdict.REFUSED),
        (400, Verdict.REFUSED),
        (403, Verdict.REFUSED),
        (404, Verdict.GONE),
        (413, Verdict.REFUSED),
    ],
)
def test_outcomes(status: int, verdict: Verdict, tmp_path: Path) -> None:
    assert delivered(tmp_path, said(status)) == Outcome(verdict, str(status))


@pytest.mark.parametrize(
    ("answer", "reason", "after"),
    [
        (said(429, retry_after="60"), "429", 60.0),
        (said(503), "503", None),
        (SILENCE, "timeout", None),
    ],
)
def test_what_may_work_later(
    answer: Answer, reason: str, after: float | None, tmp_path: Path
) -> None:
    with pytest.raises(RetryLaterError) as error:
        delivered(tmp_path, answer)
    assert (error.value.reason, error.value.after_seconds) == (reason, after)


def test_an_old_notice_is_not_sent(tmp_path: Path) -> None:
    async def go(push: WebPush, service: PushService, clock: Clock) -> None:
        clock.now += DAY - 60  # the notice is a minute old
        found = await push.deliver(parse_address(service.token()), notice())
        assert found == Outcome(Verdict.REFUSED, "expired")
        assert not service.requests

    run(go, tmp_path)


def test_the_largest_notice_is_taken_and_a_larger_one_is_not_sent(tmp_path: Path) -> None:
    async def go(push: WebPush, service: PushService, _: Clock) -> None:
        address = parse_address(service.token())
        room = LONGEST_PAYLOAD - len(notice(post_id="").payload())
        largest, larger = notice(post_id="x" * room), notice(post_id="x" * (room + 1))
        assert await push.deliver(address, largest) == DELIVERED
        assert len(service.requests[0].body) == 4096
        assert await push.deliver(address, larger) == Outcome(Verdict.REFUSED, "too_large")
        assert len(service.requests) == 1

    run(go, tmp_path)


def test_this_machine_is_not_connected_to_unless_it_is_allowed(tmp_path: Path) -> None:
    async def go(push: WebPush, service: PushService, _: Clock) -> None:
        for endpoint in (service.url, service.url.replace("127.0.0.1", "localhost")):
            address = parse_address(service.token(endpoint=endpoint + "/send/one"))
            found = await push.deliver(address, notice())
            assert found == Outcome(Verdict.REFUSED, "forbidden_address")
        assert service.connections == 0

    run(go, tmp_path, may_loop_back=False)


def test_a_redirection_into_this_machine_is_not_followed(tmp_path: Path) -> None:
    async def go(push: WebPush, service: PushService, _: Clock) -> None:
        service.script.append(said(307, location="https://127.0.0.1/send/two"))
        found = await push.deliver(parse_address(service.token()), notice())
        assert found == Outcome(Verdict.REFUSED, "307")
        assert len(service.requests) == 1

    run(go, tmp_path)


def test_a_name_that_does_not_match_the_certificate_is_not_spoken_to(tmp_path: Path) -> None:
    async def go(push: WebPush, service: PushService, _: Clock) -> None:
        endpoint = service.url.replace("127.0.0.1", "127.0.0.2")
        address = parse_address(service.token(endpoint=endpoint))
        with pytest.raises(RetryLaterError):
            await push.deliver(address, notice())
        assert not service.requests

    run(go, tmp_path)
