"""Where a notice goes: a device token of a `User` event, or the operator's own endpoint.

A device token names its connector: `fcm:<registration token>`, `apns:<device token in hex>`,
`webpush:<PushSubscription as JSON, or that in base64url>`.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Literal, get_args

from msgspec import Struct

from connectors.push.subscription import SubscriptionError, parse_subscription

Service = Literal["fcm", "apns", "webpush"]

LONGEST = 4096
"""Characters of a device token."""

_FCM = re.compile(r"[A-Za-z0-9_:.-]{16,}")
_APNS = re.compile(r"(?:[0-9A-Fa-f]{2}){32,100}")


class AddressError(ValueError):
    """Not a device token; the message says why, and does not quote it."""


class Address(Struct, frozen=True, repr_omit_defaults=True):
    """Where a notice goes. `target` is a secret of the user's: whoever has it can reach them."""

    service: Literal["fcm", "apns", "webpush", "webhook"]
    target: str = ""

    @property
    def token(self) -> str:
        """The device token that it was parsed from."""
        return f"{self.service}:{self.target}"

    @property
    def label(self) -> str:
        """What may stand in a log: the connector, and 32 bits of a digest."""
        return f"{self.service}:{sha256(self.target.encode()).hexdigest()[:8]}"

    def __repr__(self) -> str:
        return f"Address({self.label})"


WEBHOOK = Address("webhook")
"""The operator's own endpoint, which is no device token: users cannot name it."""


def parse_address(token: str) -> Address:
    """The address that a device token names.

    Raises:
        AddressError: it is not one.
    """
    if len(token) > LONGEST:
        raise AddressError(f"a device token has {LONGEST} characters at most")
    service, _, target = token.partition(":")
    match service:
        case "fcm":
            if not _FCM.fullmatch(target):
                raise AddressError("not a registration token of FCM")
            return Address("fcm", target)
        case "apns":
            if not _APNS.fullmatch(target):
                raise AddressError("not a device token of APNs: 64 to 200 hexadecimal digits")
            return Address("apns", target)
        case "webpush":
            try:
                parse_subscription(target)
            except SubscriptionError as error:
                raise AddressError(f"not a PushSubscription: {error}") from None
            return Address("webpush", target)
        case _:
            known = ", ".join(f"{service}:" for service in get_args(Service))
            raise AddressError(f"a device token begins with one of {known}")
