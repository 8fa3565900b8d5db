"""Who is asking: bearer tokens (JWT), and where their keys come from."""

from __future__ import annotations

import os
import secrets
import stat
import time
from pathlib import Path
from typing import Annotated, Any

import jwt
from fastapi import Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from msgspec import Struct
from starlette.requests import HTTPConnection

from api.audit import address_of, audit
from api.errors import ProblemError
from api.ids import is_id
from api.jwks import ALGORITHMS, KeySet, key_set
from connectors.settings import Settings

ALGORITHM = "HS256"
SCOPES = ("read", "write", "moderate", "admin", "produce")
USUAL_SCOPES = "read write"
SECRET_FILE = "jwt_secret"
_SECRET_BYTES = 32

MAX_KEPT = 10_000
MAX_KEPT_BYTES = 2_048
"""Tokens that are kept, and the longest of them."""

_bearer = HTTPBearer(
    auto_error=False,
    bearerFormat="JWT",
    scheme_name="token",
    description="A JWT signed with HS256, or with RS256 or ES256 and a key of the key set: `sub` "
    "is the user, `scope` some of `read`, `write`, `moderate`, `admin` and `produce`, `exp` is "
    "required. `headrace token USER_ID` prints one.",
)


class SecretError(Exception):
    """The key file cannot be used."""


class Caller(Struct, frozen=True):
    """Who a valid token speaks for, and what it allows."""

    user_id: str
    scopes: frozenset[str]
    expires_at: int
    """When the token ends, in s since 1970."""


def signing_key(config: Settings) -> str:
    """The key from the settings, else from `<data_dir>/jwt_secret`, made when it is not there.

    Raises:
        SecretError: others may read the file, or it is too short.
    """
    given = config.jwt_secret.get_secret_value()
    if given:
        return given
    path = config.data_dir / SECRET_FILE
    if not path.exists():
        _create(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SecretError(f"others may read {path}: run `chmod 600 {path}`, or remove the file")
    key = path.read_text().strip()
    if len(key.encode()) < _SECRET_BYTES:
        raise SecretError(f"{path} holds less than {_SECRET_BYTES} bytes: remove the file")
    return key


def _create(path: Path) -> None:
    """Write a new key whole or not at all; of several processes one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()


def issue(key: str, user_id: str, ttl_seconds: int, scopes: str = USUAL_SCOPES) -> str:
    """A token for a user."""
    now = int(time.time())
    claims = {"sub": user_id, "iat": now, "exp": now + ttl_seconds, "scope": scopes}
    return jwt.encode(claims, key, algorithm=ALGORITHM)


class TokenRules(Struct, frozen=True):
    """What a token must say: `audience` and `issuer` if given (a token that names an audience needs
    one that is given); clocks may differ by `leeway_seconds`."""

    audience: str | None = None
    issuer: str | None = None
    leeway_seconds: int = 5


class Checked(Struct, frozen=True):
    """A token that was valid with a key."""

    header: dict[str, Any]
    key: str | jwt.PyJWK
    caller: Caller


def _is_over(caller: Caller) -> bool:
    return time.time() >= caller.expires_at


class Authenticator:
    """Checks tokens: with a secret those signed by HS256, with a key set those by RS256 and ES256.

    A key is used for its own algorithm alone, whatever a token claims.
    """

    def __init__(
        self, secret: str | None, keys: KeySet | None = None, rules: TokenRules | None = None
    ) -> None:
        self._secret = secret
        self._keys = keys
        self._rules = rules or TokenRules()
        self._checked: dict[str, Checked] = {}

    async def caller(self, token: str) -> Caller:
        """Whom the token speaks for. A signature that was right is not computed again while the key
        is the same.

        Raises:
            TokenError: the token is not valid.
            ProblemError: 503, when the key cannot be fetched.
        """
        checked = self._checked.get(token)
        try:
            header = jwt.get_unverified_header(token) if checked is None else checked.header
            key, algorithm = await self._key(header)
            if checked is not None and checked.key is key and not _is_over(checked.caller):
                return checked.caller
            caller = self._check(token, key, algorithm)
        except jwt.PyJWTError as error:
            raise TokenError(type(error).__name__) from error
        if len(token) <= MAX_KEPT_BYTES:
            if len(self._checked) >= MAX_KEPT:
                self._checked.clear()
            self._checked[token] = Checked(header, key, caller)
        return caller

    def _check(self, token: str, key: str | jwt.PyJWK, algorithm: str) -> Caller:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._rules.audience,
            issuer=self._rules.issuer,
            leeway=self._rules.leeway_seconds,
            options={"require": self._required()},
        )
        scope = claims.get("scope", "")
        if not is_id(claims["sub"]) or not isinstance(scope, str):
            raise TokenError("InvalidClaims")
        expires_at = int(claims["exp"]) + self._rules.leeway_seconds
        return Caller(claims["sub"], frozenset(scope.split()), expires_at)

    async def _key(self, header: dict[str, Any]) -> tuple[str | jwt.PyJWK, str]:
        """The key for a token, and the algorithm that it is for."""
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm == ALGORITHM and self._secret is not None:
            return self._secret, ALGORITHM
        if algorithm in ALGORITHMS and self._keys is not None:
            key = await self._keys.key(kid) if isinstance(kid, str) else None
            if key is not None:
                return key, key.algorithm_name
            raise jwt.InvalidKeyError("unknown key")
        raise jwt.InvalidAlgorithmError("not taken")

    def _required(self) -> list[str]:
        wanted = {"aud": self._rules.audience, "iss": self._rules.issuer}
        return ["exp", "sub", *(claim for claim, value in wanted.items() if value)]


class TokenError(Exception):
    """A token is not valid; the text is the kind of reason."""


def authenticator(config: Settings) -> Authenticator:
    """What checks tokens by the settings: with a key set, the secret counts only if it is set.

    Raises:
        SecretError: the key file cannot be used.
    """
    keys = key_set(config.jwks) if config.jwks else None
    given = config.jwt_secret.get_secret_value() or None
    rules = TokenRules(
        audience=config.jwt_audience or None,
        issuer=config.jwt_issuer or None,
        leeway_seconds=config.jwt_leeway_seconds,
    )
    return Authenticator(given if keys else signing_key(config), keys, rules)


def unauthorized(detail: str, challenge: str = "") -> ProblemError:
    """The refusal of a request without a valid token."""
    value = 'Bearer realm="headrace"' + (f", {challenge}" if challenge else "")
    return ProblemError(401, "unauthorized", detail, headers={"WWW-Authenticate": value})


def allow(caller: Caller, scope: str) -> Caller:
    """The caller, who has the scope.

    Raises:
        ProblemError: 403, when the token lacks it.
    """
    if scope not in caller.scopes:
        audit("scope refused", user_id=caller.user_id, scope=scope)
        challenge = f'Bearer realm="headrace", error="insufficient_scope", scope="{scope}"'
        raise ProblemError(
            403,
            "insufficient-scope",
            f"The token lacks the scope {scope}.",
            headers={"WWW-Authenticate": challenge},
        )
    return caller


Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def authenticated(request: Request) -> Caller | None:
    """Whom the request's bearer token speaks for, None without one; checked once a request.

    Raises:
        ProblemError: 401, when the token is not valid.
    """
    state: dict[str, Any] = request.scope.setdefault("state", {})  # what `request.state` wraps
    known: Caller | None = state.get("caller")
    if known is not None:
        return known
    scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
    if scheme.lower() != "bearer" or not token:
        return None
    caller = state["caller"] = await identify(request, token)
    return caller


async def identify(connection: HTTPConnection, token: str) -> Caller:
    """Whom a token speaks for that came with a connection.

    Raises:
        ProblemError: 401, when the token is not valid.
    """
    authenticator: Authenticator = connection.app.state.authenticator
    try:
        return await authenticator.caller(token)
    except TokenError as error:
        audit("token refused", reason=str(error), address=address_of(connection))
        is_expired = str(error) == jwt.ExpiredSignatureError.__name__
        detail = "The token has expired." if is_expired else "The token is not valid."
        raise unauthorized(detail, 'error="invalid_token"') from None


async def _anyone(request: Request, _credentials: Credentials) -> Caller | None:
    caller = await authenticated(request)
    if caller is None:
        if request.headers.get("authorization"):
            raise unauthorized("Only bearer tokens are accepted.", 'error="invalid_request"')
        return None
    return allow(caller, "read")


def is_public(route: APIRoute) -> bool:
    """Whether a route answers without a token, too."""
    return any(each.call is _anyone for each in route.dependant.dependencies)


async def _signed_in(request: Request, scope: str) -> Caller:
    caller = await authenticated(request)
    if caller is None:
        raise unauthorized("A bearer token is needed.")
    request.scope["state"]["scope_taken"] = scope
    return allow(caller, scope)


async def reading(request: Request) -> Caller:
    """Who reads.

    Raises:
        ProblemError: 401 without a valid token, 403 when it lacks the scope.
    """
    return await _signed_in(request, "read")


async def _reader(request: Request, _credentials: Credentials) -> Caller:
    return await reading(request)


async def _writer(request: Request, _credentials: Credentials) -> Caller:
    return await _signed_in(request, "write")


async def _moderator(request: Request, _credentials: Credentials) -> Caller:
    return await _signed_in(request, "moderate")


async def _producer(request: Request, _credentials: Credentials) -> Caller:
    return await _signed_in(request, "produce")


Anyone = Annotated[Caller | None, Depends(_anyone)]
Reading = Annotated[Caller, Depends(_reader)]
Writing = Annotated[Caller, Depends(_writer)]
Moderating = Annotated[Caller, Depends(_moderator)]
Producing = Annotated[Caller, Depends(_producer)]
