"""Device tokens: which are taken, and what is told of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from connectors.push.address import LONGEST, WEBHOOK, Address, AddressError, parse_address
from connectors.push.notice import URGENT, Notice
from connectors.push.subscription import parse_subscription
from tests.push.crypto import b64, point
from tests.push.parts import notice

FCM = "fcm:bk3RNwTe3H0:CI2k_HHwgIpoDKCIZvvDMExUdFQ3P1-x"
APNS = "apns:" + "0aF9" * 16
P256DH = b64(point(ec.generate_private_key(ec.SECP256R1()).public_key()))
AUTH = b64(bytes(range(16)))


def webpush(packed: bool = True, **changed: Any) -> str:
    keys = {"p256dh": P256DH, "auth": AUTH} | changed.pop("keys", {})
    found = {"endpoint": "https://push.example.net/x", "expirationTime": None, "keys": keys}
    raw = msgspec.json.encode(found | changed)
    return "webpush:" + (b64(raw) if packed else raw.decode())


@pytest.mark.parametrize(
    ("token", "service"),
    [
        pytest.param(FCM, "fcm", id="fcm"),
        pytest.param(APNS, "apns", id="apns"),
        pytest.param("apns:" + "ab" * 100, "apns", id="a longer token of APNs"),
        pytest.param(webpush(), "webpush", id="a subscription in base64url"),
        pytest.param(webpush() + "=" * (-len(webpush()[8:]) % 4), "webpush", id="with padding"),
        pytest.param(webpush(packed=False), "webpush", id="a subscription in JSON"),
        pytest.param(webpush(endpoint="https://h.example:8443/x?y=z"), "webpush", id="a port"),
    ],
)
def test_a_token_is_read_and_kept_as_it_is(token: str, service: str) -> None:
    address = parse_address(token)
    assert address.service == service
    assert address.token == token


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("0a" * 32, id="no connector"),
        pytest.param("webhook:", id="the operator's endpoint"),
        pytest.param("FCM" + FCM[3:], id="a connector in capitals"),
        pytest.param("fcm:", id="nothing for fcm"),
        pytest.param(FCM + "\n", id="a new line for fcm"),
        pytest.param("fcm:" + "x" * LONGEST, id="too long"),
        pytest.param("fcm:../../x/messages:send?a=b", id="a path for fcm"),
        pytest.param("apns:" + "0a" * 31, id="too short for apns"),
        pytest.param("apns:" + "0a" * 32 + "0", id="half a byte for apns"),
        pytest.param("apns:" + "zz" * 32, id="no digits for apns"),
        pytest.param("apns:" + "../" * 22, id="a path for apns"),
        pytest.param("webpush:", id="nothing for webpush"),
        pytest.param("webpush:!", id="no base64url"),
        pytest.param("webpush:aaaaa", id="a broken base64url"),
        pytest.param("webpush:" + b64(b"[]"), id="a list"),
        pytest.param("webpush:" + b64(b"\xff\xfe"), id="no text"),
        pytest.param(webpush(endpoint="http://push.example.net/x"), id="no TLS"),
        pytest.param(webpush(endpoint="file:///etc/passwd"), id="a file"),
        pytest.param(webpush(endpoint="https:///x"), id="no host"),
        pytest.param(webpush(endpoint="https://[::1]/x"), id="an IPv6 address"),
        pytest.param(webpush(endpoint="https://[::1"), id="half of an IPv6 address"),
        pytest.param(webpush(endpoint="https://a@push.example.net/x"), id="a user"),
        pytest.param(webpush(endpoint="https://push.example.net\\@a/x"), id="a backslash"),
        pytest.param(webpush(endpoint="https://push.example.net/x#y"), id="a fragment"),
        pytest.param(webpush(endpoint="https://push.example.net:99999/"), id="no port"),
        pytest.param(webpush(endpoint="https://push.example.net:0/"), id="port 0"),
        pytest.param(webpush(endpoint="https://push.example.net/\r\nx: y"), id="a header"),
        pytest.param(webpush(endpoint="https://püsh.example.net/"), id="letters beyond ASCII"),
        pytest.param(webpush(keys={"auth": b64(b"short")}), id="a short secret"),
        pytest.param(webpush(keys={"p256dh": b64(b"\x04" + b"x" * 63)}), id="a short key"),
        pytest.param(webpush(keys={"p256dh": b64(b"\x04" + b"x" * 64)}), id="not on the curve"),
        pytest.param(webpush(keys={"p256dh": 5}), id="a number as a key"),
    ],
)
def test_nonsense_is_refused_and_not_quoted(token: str) -> None:
    with pytest.raises(AddressError) as error:
        parse_address(token)
    target = token.partition(":")[2]
    assert len(target) < 5 or target not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.parametrize("token", [FCM, APNS, webpush()])
def test_what_is_printed_tells_addresses_apart_and_does_not_tell_them(token: str) -> None:
    address = parse_address(token)
    other = Address(address.service, address.target + "0")
    for shown in (repr(address), str(address), address.label):
        assert address.target not in shown
        assert address.label in shown
    assert address.label != other.label


def test_the_origin_is_that_of_the_endpoint() -> None:
    origins = {
        "https://push.example.net/x": "https://push.example.net",
        "https://PUSH.example.net:8443/": "https://push.example.net:8443",
    }
    for endpoint, origin in origins.items():
        target = webpush(endpoint=endpoint).partition(":")[2]
        assert parse_subscription(target).origin == origin


def test_the_operator_s_endpoint_needs_no_token() -> None:
    assert WEBHOOK.service == "webhook"


def test_a_notice_has_the_same_keys_whenever_it_is_delivered() -> None:
    first, again = notice(), notice(unread=8)
    assert first.message_key() == again.message_key()
    assert first.collapse_key() == again.collapse_key()


def test_a_later_state_replaces_an_earlier_one_and_is_no_double_of_it() -> None:
    first, later = notice(), notice(notice_id="like/p1/3", actor_count=3)
    assert first.message_key() != later.message_key()
    assert first.collapse_key() == later.collapse_key()


def test_receivers_do_not_share_keys() -> None:
    ann, bob = notice(user_id="ann"), notice(user_id="bob")
    assert ann.message_key() != bob.message_key()
    assert ann.collapse_key() != bob.collapse_key()


def test_four_actors_are_too_many() -> None:
    with pytest.raises(ValueError, match="3 actors at most"):
        notice(actors=("a", "b", "c", "d"))


def test_what_is_said_to_one_alone_is_urgent() -> None:
    kinds = ("follow", "like", "mention", "reply", "favourite_post", "comment_reply")
    assert {kind for kind in kinds if kind in URGENT} == {"mention", "reply", "comment_reply"}


def test_the_payload_is_the_notice() -> None:
    assert msgspec.json.decode(notice().payload(), type=Notice) == notice()
