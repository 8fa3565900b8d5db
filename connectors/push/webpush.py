"""Web Push: RFC 8030 (protocol), 8291 (encryption), 8292 (VAPID)."""

from __future__ import annotations

import ssl
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable

from py_vapid import Vapid02
from pywebpush import WebPusher

from connectors.push.address import Address
from connectors.push.connector import DELIVERED, Connector, Outcome, gone, refused
from connectors.push.guard import ForbiddenAddressError, GuardedBackend
from connectors.push.http import TIMEOUT_SECONDS, HttpClient, raise_if_passing
from connectors.push.notice import Notice
from connectors.push.subscription import parse_subscription

LONGEST_PAYLOAD = 3993
"""Bytes that a push service must take (RFC 8291, 4): 4096 less the header, padding and tag."""

VAPID_SECONDS = 12 * 3600
"""How long a token is good for; RFC 8292 allows a day, and clocks differ."""


class WebPush(Connector):
    """Sends encrypted notices to the push services of browsers.

    Users choose the endpoints, so it connects to public addresses only (and to loopback, if
    `may_loop_back`), and speaks HTTP/1.1: h2 would buffer 16 MiB for whoever announces a frame of
    that size. A notice replaces an undelivered one of its group. That an endpoint does not
    accept the VAPID key is no `CredentialsError`: it is bound to the key it was made with.
    """

    def __init__(
        self,
        key: bytes,
        subject: str,
        *,
        ttl_seconds: float,
        may_loop_back: bool = False,
        tls: ssl.SSLContext | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._vapid = Vapid02.from_raw(urlsafe_b64encode(key))
        self._subject = subject
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._http = HttpClient(
            tls=tls,
            backend=GuardedBackend(may_loop_back=may_loop_back),
            timeout_seconds=timeout_seconds,
        )

    async def deliver(self, address: Address, notice: Notice) -> Outcome:
        """Try once."""
        left = notice.seconds_left(self._ttl_seconds, self._clock())
        if left <= 0:
            return refused("expired")
        payload = notice.payload()
        if len(payload) > LONGEST_PAYLOAD:
            return refused("too_large")
        subscription = parse_subscription(address.target)
        body: bytes = WebPusher(subscription.info()).encode(payload)["body"]
        headers = {
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "ttl": str(left),
            "urgency": "high" if notice.is_urgent else "normal",
            "topic": notice.collapse_key(),
            "authorization": self._authorization(subscription.origin),
        }
        try:
            reply = await self._http.post(subscription.endpoint, headers, body)
        except ForbiddenAddressError:
            return refused("forbidden_address")
        code = str(reply.status)
        raise_if_passing(reply, code, self._clock())
        if 200 <= reply.status < 300:
            return DELIVERED
        return gone(code) if reply.status in (404, 410) else refused(code)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _authorization(self, origin: str) -> str:
        claims = {"aud": origin, "exp": int(self._clock()) + VAPID_SECONDS, "sub": self._subject}
        signed: str = self._vapid.sign(claims)["Authorization"]
        return signed
