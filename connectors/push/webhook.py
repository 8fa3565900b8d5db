"""The operator's own endpoint, by the Standard Webhooks specification (standardwebhooks.com)."""

from __future__ import annotations

import hmac
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from connectors.push.address import Address
from connectors.push.connector import (
    DELIVERED,
    Connector,
    CredentialsError,
    Outcome,
    gone,
    refused,
)
from connectors.push.http import HttpClient, raise_if_passing
from connectors.push.notice import Notice


class Webhook(Connector):
    """Posts each notice as `{"type": "notification", "timestamp": ..., "data": {...}}`.

    The signature is an HMAC-SHA256 by `key` of the id, the time and the body. The id is the same
    for the same notice, so the endpoint can drop doubles.
    """

    def __init__(
        self,
        url: str,
        key: bytes,
        *,
        http: HttpClient | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._key = key
        self._http = http or HttpClient()
        self._clock = clock

    async def deliver(self, address: Address, notice: Notice) -> Outcome:  # noqa: ARG002
        """Try once; `address` says nothing, as there is one endpoint."""
        at = datetime.fromtimestamp(notice.at / 1000, UTC)
        body = msgspec.json.encode({"type": "notification", "timestamp": at, "data": notice})
        name = f"msg_{notice.message_key()}"
        now = str(int(self._clock()))
        reply = await self._http.post(
            self._url,
            {
                "content-type": "application/json",
                "webhook-id": name,
                "webhook-timestamp": now,
                "webhook-signature": sign(self._key, name, now, body),
            },
            body,
        )
        code = str(reply.status)
        raise_if_passing(reply, code, self._clock())
        if 200 <= reply.status < 300:
            return DELIVERED
        if reply.status in (404, 410):
            return gone(code)
        if reply.status in (401, 403):
            raise CredentialsError(
                f"the webhook answers {code}: does it have the same HEADRACE_WEBHOOK_SECRET?"
            )
        return refused(code)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def sign(key: bytes, name: str, timestamp: str, body: bytes) -> str:
    """The value of `webhook-signature`: version 1 of Standard Webhooks."""
    signed = f"{name}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.digest(key, signed, sha256)).decode()
