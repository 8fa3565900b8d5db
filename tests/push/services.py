"""The webhook's endpoint, a browser's push service, FCM and APNs."""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.push.certificate import Certificate
from tests.push.crypto import b64, decrypt, point, read_jwt, unb64
from tests.push.server import Answer, Request, StandIn, said

Clock = Callable[[], float]


class Endpoint(StandIn):
    """Verifies as the Standard Webhooks specification says; keeps bodies by their id."""

    def __init__(self, secret: str, clock: Clock) -> None:
        super().__init__()
        self._key = b64decode(secret.removeprefix("whsec_"))
        self._clock = clock
        self.received: dict[str, list[bytes]] = {}

    async def judge(self, request: Request) -> Answer:
        headers = request.headers
        name, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        signed = b".".join([name.encode(), timestamp.encode(), request.body])
        right = b64encode(hmac.new(self._key, signed, sha256).digest()).decode()
        given = [part.partition(",") for part in headers["webhook-signature"].split(" ")]
        if ("v1", ",", right) not in given or abs(int(timestamp) - self._clock()) > 300:
            return said(401)
        if request.method != "POST" or headers["content-type"] != "application/json":
            return said(400)
        self.received.setdefault(name, []).append(request.body)
        return said(204)


class PushService(StandIn):
    """Takes messages for one subscriber, who reads them; bound to one VAPID key (RFC 8292, 4)."""

    def __init__(
        self, certificate: Certificate, vapid: ec.EllipticCurvePrivateKey, clock: Clock
    ) -> None:
        super().__init__(certificate)
        self._vapid = vapid.public_key()
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._auth = b"sixteen bytes of"
        self.is_subscribed = True
        self.received: list[tuple[dict[str, str], Any]] = []

    def subscription(self, **changed: Any) -> dict[str, Any]:
        """As the browser gives it."""
        keys = {"p256dh": b64(point(self._key.public_key())), "auth": b64(self._auth)}
        return {"endpoint": f"{self.url}/send/one", "expirationTime": None, "keys": keys} | changed

    def token(self, **changed: Any) -> str:
        """As a device token."""
        return "webpush:" + b64(msgspec.json.encode(self.subscription(**changed)))

    async def judge(self, request: Request) -> Answer:
        headers = request.headers
        scheme, _, parameters = headers["authorization"].partition(" ")
        parts = dict(part.strip().split("=", 1) for part in parameters.split(","))
        token = read_jwt(parts["t"], self._vapid)
        if scheme != "vapid" or token is None:
            return said(401)
        _, claims = token
        if unb64(parts["k"]) != point(self._vapid) or claims["aud"] != self.url:
            return said(403)
        if not self._clock() < claims["exp"] <= self._clock() + 86_400:
            return said(403)
        if not claims["sub"].startswith(("mailto:", "https:")):
            return said(403)
        if headers["content-encoding"] != "aes128gcm" or len(request.body) > 4096:
            return said(413)
        if not headers["ttl"].isdigit() or not re.fullmatch(
            "[A-Za-z0-9_-]{1,32}", headers["topic"]
        ):
            return said(400)
        if headers["urgency"] not in {"very-low", "low", "normal", "high"}:
            return said(400)
        if request.path != "/send/one" or not self.is_subscribed:
            return said(410)
        plain = decrypt(request.body, self._key, self._auth)
        self.received.append((headers, msgspec.json.decode(plain)))
        return said(201, location=f"{self.url}/message/1")


def fcm_error(status: int, name: str, code: str = "", **headers: str) -> Answer:
    """An error as FCM words it: Google's status, and FCM's own code among the details."""
    details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": []}]
    if code:
        kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
        details.append({"@type": kind, "errorCode": code})
    error = {"code": status, "message": "words", "status": name, "details": details}
    return said(status, {"error": error}, **headers)


PROJECT = "a-project"
EMAIL = "headrace@a-project.iam.gserviceaccount.com"


class Google(StandIn):
    """The token endpoint of Google and the sending endpoint of FCM."""

    def __init__(self, key: rsa.RSAPrivateKey, clock: Clock) -> None:
        super().__init__()
        self._key = key
        self._clock = clock
        self._granted: dict[str, float] = {}
        self.grants = 0
        self.registered = {"a-registration-token:of-one-device"}
        self.received: list[dict[str, Any]] = []

    def account(self) -> dict[str, str]:
        """The file of the service account."""
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "key-1",
            "private_key": pem.decode(),
            "client_email": EMAIL,
            "token_uri": f"{self.url}/token",
        }

    def revoke(self) -> None:
        """Have no access token be good any more."""
        self._granted.clear()

    async def judge(self, request: Request) -> Answer:
        if request.path == "/token":
            return self._grant(request)
        if request.path != f"/v1/projects/{PROJECT}/messages:send":
            return fcm_error(404, "NOT_FOUND")
        until = self._granted.get(request.headers["authorization"].removeprefix("Bearer "), 0)
        if self._clock() >= until:
            return fcm_error(401, "UNAUTHENTICATED")
        message = msgspec.json.decode(request.body)["message"]
        if not all(isinstance(value, str) for value in message["data"].values()):
            return fcm_error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
        android = message["android"]
        if android["priority"] not in {"HIGH", "NORMAL"} or not re.fullmatch(
            r"\d+(\.\d+)?s", android["ttl"]
        ):
            return fcm_error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
        if message["token"] not in self.registered:
            return fcm_error(404, "NOT_FOUND", "UNREGISTERED")
        self.received.append(message)
        return said(200, {"name": "projects/a-project/messages/1"})

    def _grant(self, request: Request) -> Answer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if form["grant_type"] != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return said(400, {"error": "unsupported_grant_type"})
        token = read_jwt(form["assertion"], self._key.public_key())
        if token is None or token[0]["kid"] != "key-1":
            return said(400, {"error": "invalid_grant", "error_description": "Bad signature."})
        claims = token[1]
        if (
            claims["iss"] != EMAIL
            or claims["aud"] != f"{self.url}/token"
            or claims["scope"] != "https://www.googleapis.com/auth/firebase.messaging"
            or not claims["iat"] <= self._clock() < claims["exp"] <= claims["iat"] + 3600
        ):
            return said(400, {"error": "invalid_grant", "error_description": "Bad claims."})
        self.grants += 1
        access = f"ya29.access-token-{self.grants}"
        self._granted[access] = self._clock() + 3599
        return said(200, {"access_token": access, "expires_in": 3599, "token_type": "Bearer"})


class Apple(StandIn):
    """APNs: HTTP/2 only."""

    def __init__(
        self, certificate: Certificate, key: ec.EllipticCurvePrivateKey, clock: Clock
    ) -> None:
        super().__init__(certificate, http2=True)
        self._key = key.public_key()
        self._clock = clock
        self.registered = {"ab" * 32}
        self.left = {"cd" * 32}
        self.tokens: list[str] = []
        self.received: list[tuple[dict[str, str], Any]] = []

    async def judge(self, request: Request) -> Answer:
        headers = request.headers
        scheme, _, token = headers["authorization"].partition(" ")
        self.tokens.append(token)
        found = read_jwt(token, self._key)
        if scheme != "bearer" or found is None:
            return said(403, {"reason": "InvalidProviderToken"})
        header, claims = found
        if header["kid"] != "KEY0000001" or claims["iss"] != "TEAM000001":
            return said(403, {"reason": "InvalidProviderToken"})
        if not 0 <= self._clock() - claims["iat"] <= 3600:
            return said(403, {"reason": "ExpiredProviderToken"})
        if headers.get("apns-topic") != "org.example.app":
            return said(400, {"reason": "DeviceTokenNotForTopic"})
        if headers["apns-push-type"] != "alert" or headers["apns-priority"] not in {"5", "10"}:
            return said(400, {"reason": "InvalidPushType"})
        if len(headers["apns-collapse-id"].encode()) > 64:
            return said(400, {"reason": "BadCollapseId"})
        if int(headers["apns-expiration"]) < self._clock():
            return said(400, {"reason": "BadExpirationDate"})
        if len(request.body) > 4096:
            return said(413, {"reason": "PayloadTooLarge"})
        device = request.path.removeprefix("/3/device/")
        if device in self.left:
            return said(410, {"reason": "Unregistered", "timestamp": int(self._clock() * 1000)})
        if device not in self.registered:
            return said(400, {"reason": "BadDeviceToken"})
        self.received.append((headers, msgspec.json.decode(request.body)))
        return said(200, apns_id="2f5c2b5e-0000-4000-8000-000000000000")
