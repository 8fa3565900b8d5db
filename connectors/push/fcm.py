"""Firebase Cloud Messaging, HTTP v1, as a service account."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlencode

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from msgspec import Struct, field

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

DEFAULT_URL = "https://fcm.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_SECONDS = 3600
EARLY_SECONDS = 60
"""A token is replaced so long before it ends, as the request takes time."""


class ServiceAccount(Struct, frozen=True):
    """Who sends: a service account of a Firebase project, with its key and where it is known."""

    project_id: str
    client_email: str
    token_uri: str
    private_key: RSAPrivateKey
    private_key_id: str

    def __repr__(self) -> str:
        return f"ServiceAccount({self.client_email})"


class _Token(Struct):
    access_token: str
    expires_in: int


class _Grant(Struct):
    error: str = ""


class _Detail(Struct):
    kind: str = field(name="@type", default="")
    errorCode: str = ""


class _Error(Struct):
    status: str = ""
    details: list[_Detail] = []


class _Failure(Struct):
    error: _Error


class Fcm(Connector):
    """Sends each notice as a data message: one field, `notice`, with its JSON.

    There is no collapse key: FCM keeps messages of four of them for a device, and drops others.
    The app shows the notice, in the place of an earlier one of its `group`.
    """

    def __init__(
        self,
        account: ServiceAccount,
        *,
        ttl_seconds: float,
        url: str = DEFAULT_URL,
        http: HttpClient | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._account = account
        self._url = f"{url}/v1/projects/{account.project_id}/messages:send"
        self._ttl_seconds = ttl_seconds
        self._http = http or HttpClient(http2=True)
        self._clock = clock
        self._token = ""
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def deliver(self, address: Address, notice: Notice) -> Outcome:
        """Try once; once more if the access token is not accepted."""
        left = notice.seconds_left(self._ttl_seconds, self._clock())
        if left <= 0:
            return refused("expired")
        message = {
            "token": address.target,
            "data": {"notice": notice.payload().decode()},
            "android": {"priority": "HIGH" if notice.is_urgent else "NORMAL", "ttl": f"{left}s"},
        }
        body = msgspec.json.encode({"message": message})
        token = await self._access_token()
        reply = await self._send(token, body)
        if _is_unauthenticated(reply):
            self._forget(token)
            reply = await self._send(await self._access_token(), body)
        return self._outcome(reply)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(self, token: str, body: bytes) -> Reply:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        return await self._http.post(self._url, headers, body)

    def _outcome(self, reply: Reply) -> Outcome:
        if reply.status == 200:
            return DELIVERED
        code = _code(reply)
        raise_if_passing(reply, code, self._clock())
        if code == "UNREGISTERED":
            return gone(code)
        if _is_unauthenticated(reply) or code == "PERMISSION_DENIED":
            raise CredentialsError(
                f"FCM answers {code}: may the service account of HEADRACE_FCM_CREDENTIALS send "
                "messages in its project, and is the API enabled there?"
            )
        return refused(code)

    async def _access_token(self) -> str:
        """The access token that is good for now (RFC 7523: asked for by a signed assertion)."""
        async with self._lock:
            now = self._clock()
            if now < self._until:
                return self._token
            reply = await self._http.post(
                self._account.token_uri,
                {"content-type": "application/x-www-form-urlencoded"},
                urlencode({"grant_type": GRANT, "assertion": self._assertion(now)}).encode(),
            )
            raise_if_passing(reply, f"token_{reply.status}", now)
            found = reply.read(_Token) if reply.status == 200 else None
            if found is None:
                grant = reply.read(_Grant)
                code = code_or(grant.error if grant else "", str(reply.status))
                raise CredentialsError(
                    f"no access token for HEADRACE_FCM_CREDENTIALS ({code}): is the key revoked, "
                    "or this machine's clock wrong?"
                )
            self._token = found.access_token
            self._until = now + found.expires_in - EARLY_SECONDS
            return self._token

    def _assertion(self, now: float) -> str:
        claims = {
            "iss": self._account.client_email,
            "scope": SCOPE,
            "aud": self._account.token_uri,
            "iat": int(now),
            "exp": int(now) + ASSERTION_SECONDS,
        }
        headers = {"kid": self._account.private_key_id}
        return jwt.encode(claims, self._account.private_key, "RS256", headers)

    def _forget(self, token: str) -> None:
        """Have a new token asked for, unless another task has done so."""
        if token == self._token:
            self._until = 0.0


def _is_unauthenticated(reply: Reply) -> bool:
    """Whether the access token is at fault; 401 is also said of the project's key for APNs."""
    return reply.status == 401 and _code(reply) != "THIRD_PARTY_AUTH_ERROR"


def _code(reply: Reply) -> str:
    """FCM's own code, else that of Google's API, else the status."""
    failure = reply.read(_Failure)
    if failure is None:
        return str(reply.status)
    for detail in failure.error.details:
        if detail.kind.endswith("google.firebase.fcm.v1.FcmError"):
            return code_or(detail.errorCode, str(reply.status))
    return code_or(failure.error.status, str(reply.status))
