"""Apple Push Notification service, HTTP/2, with a provider token."""

from __future__ import annotations

import time
from collections.abc import Callable

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from msgspec import Struct

from connectors.push.address import Address
from connectors.push.connector import (
    DELIVERED,
    Connector,
    CredentialsError,
    Outcome,
    code_or,
    gone,
    refused,
)
from connectors.push.http import HttpClient, Reply, raise_if_passing
from connectors.push.notice import Notice

DEFAULT_URL = "https://api.push.apple.com"
LONGEST_PAYLOAD = 4096

REFRESH_SECONDS = 40 * 60
"""Age at which a token is replaced: Apple takes none that is older than an hour, and no more
than one new one in 20 minutes."""

_GONE = frozenset({"BadDeviceToken", "Unregistered", "ExpiredToken"})
_EXPIRED = "ExpiredProviderToken"


class ApnsKey(Struct, frozen=True):
    """The key that signs provider tokens, with its id and the id of its team at Apple."""

    private_key: EllipticCurvePrivateKey
    key_id: str
    team_id: str

    def __repr__(self) -> str:
        return f"ApnsKey({self.key_id})"


class _Failure(Struct):
    reason: str = ""


class Apns(Connector):
    """Sends each notice as an alert that the app words itself.

    `aps.alert` has a `loc-key` (`notice_<kind>`) and the number of actors as its argument;
    `mutable-content` lets the app's extension word it by `notice`, the whole of it.
    """

    def __init__(
        self,
        key: ApnsKey,
        topic: str,
        *,
        ttl_seconds: float,
        url: str = DEFAULT_URL,
        http: HttpClient | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = key
        self._topic = topic
        self._ttl_seconds = ttl_seconds
        self._url = url
        self._http = http or HttpClient(http1=False, http2=True)
        self._clock = clock
        self._token = ""
        self._made_at = float("-inf")

    async def deliver(self, address: Address, notice: Notice) -> Outcome:
        """Try once; once more with a new provider token if it has expired."""
        left = notice.seconds_left(self._ttl_seconds, self._clock())
        if left <= 0:
            return refused("expired")
        body = _body(notice)
        if len(body) > LONGEST_PAYLOAD:
            return refused("too_large")
        token = self._provider_token()
        reply = await self._send(token, address, notice, body)
        if _reason(reply) == _EXPIRED:
            self._forget(token)
            reply = await self._send(self._provider_token(), address, notice, body)
        return self._outcome(reply)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(self, token: str, address: Address, notice: Notice, body: bytes) -> Reply:
        headers = {
            "authorization": f"bearer {token}",
            "apns-topic": self._topic,
            "apns-push-type": "alert",
            "apns-priority": "10" if notice.is_urgent else "5",
            "apns-expiration": str(int(notice.at / 1000 + self._ttl_seconds)),
            "apns-collapse-id": notice.collapse_key(),
        }
        return await self._http.post(f"{self._url}/3/device/{address.target}", headers, body)

    def _outcome(self, reply: Reply) -> Outcome:
        if reply.status == 200:
            return DELIVERED
        reason = _reason(reply)
        raise_if_passing(reply, reason, self._clock())
        if reply.status == 410 or reason in _GONE:
            return gone(reason)
        if reply.status == 403:
            raise CredentialsError(
                f"APNs answers {reason}: do HEADRACE_APNS_KEY_FILE, HEADRACE_APNS_KEY_ID and "
                "HEADRACE_APNS_TEAM_ID belong together, and is this machine's clock right?"
            )
        return refused(reason)

    def _provider_token(self) -> str:
        now = self._clock()
        if now - self._made_at >= REFRESH_SECONDS:
            self._token = jwt.encode(
                {"iss": self._key.team_id, "iat": int(now)},
                self._key.private_key,
                "ES256",
                {"kid": self._key.key_id},
            )
            self._made_at = now
        return self._token

    def _forget(self, token: str) -> None:
        """Have a new token made, unless another task has done so."""
        if token == self._token:
            self._made_at = float("-inf")


def _body(notice: Notice) -> bytes:
    aps = {
        "alert": {"loc-key": f"notice_{notice.kind}", "loc-args": [str(notice.actor_count)]},
        "badge": notice.unread,
        "thread-id": notice.collapse_key(),
        "mutable-content": 1,
    }
    return msgspec.json.encode({"aps": aps, "notice": notice})


def _reason(reply: Reply) -> str:
    failure = reply.read(_Failure)
    return code_or(failure.reason if failure else "", str(reply.status))
