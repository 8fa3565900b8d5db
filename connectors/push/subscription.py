"""A subscriber's `PushSubscription`, as browsers give it (W3C Push API, `toJSON`)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from connectors.push.keys import unbase64url

_URL = re.compile(r"https://[!-~]+", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9.-]{1,253}")


class SubscriptionError(ValueError):
    """Not a subscription; the message says why, and does not quote it."""


class Keys(Struct, frozen=True):
    """The subscriber's public key (P-256, uncompressed) and secret (16 bytes), in base64url."""

    p256dh: str
    auth: str


class Subscription(Struct, frozen=True):
    """Where to send, and what to encrypt for."""

    endpoint: str
    keys: Keys

    @property
    def origin(self) -> str:
        """Scheme, host and port: what a VAPID token is for."""
        parts = urlsplit(self.endpoint)
        return f"https://{parts.netloc.lower()}"

    def info(self) -> dict[str, Any]:
        """As pywebpush takes it."""
        return {
            "endpoint": self.endpoint,
            "keys": {"p256dh": self.keys.p256dh, "auth": self.keys.auth},
        }


def parse_subscription(text: str) -> Subscription:
    """The subscription in a JSON object, or in the base64url of one.

    Where the endpoint's name leads to is not looked at here, but when it is connected to.

    Raises:
        SubscriptionError: it is not one, or could not be sent to.
    """
    raw = text.encode() if text.startswith("{") else unbase64url(text)
    if raw is None:
        raise SubscriptionError("neither a JSON object nor base64url")
    try:
        found = msgspec.json.decode(raw, type=Subscription)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SubscriptionError("not JSON with endpoint, keys.p256dh and keys.auth") from None
    _check_endpoint(found.endpoint)
    _check_keys(found.keys)
    return found


def _check_endpoint(endpoint: str) -> None:
    if not _URL.fullmatch(endpoint):
        raise SubscriptionError("the endpoint is not an https address")
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        raise SubscriptionError("the endpoint is not an https address") from None
    if "@" in parts.netloc or "#" in endpoint:
        raise SubscriptionError("the endpoint has a user's name or a fragment")
    if not _HOST.fullmatch(parts.hostname or "") or port == 0:
        raise SubscriptionError("the endpoint has no host by name")


def _check_keys(keys: Keys) -> None:
    point = unbase64url(keys.p256dh)
    secret = unbase64url(keys.auth)
    if secret is None or len(secret) != 16:
        raise SubscriptionError("keys.auth is not 16 bytes in base64url")
    if point is None or len(point) != 65:
        raise SubscriptionError("keys.p256dh is not 65 bytes in base64url")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise SubscriptionError("keys.p256dh is not a point of P-256") from None
