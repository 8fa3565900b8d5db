"""Who is asking: bearer tokens (JWT, HS256), and where their key comes from."""

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
from msgspec import Struct

from api.errors import ProblemError
from api.ids import is_id
from connectors.settings import Settings

ALGORITHM = "HS256"
SCOPES = ("read", "write", "moderate", "produce")
USUAL_SCOPES = "read write"
LEEWAY_SECONDS = 5
SECRET_FILE = "jwt_secret"
_SECRET_BYTES = 32

_bearer = HTTPBearer(
    auto_error=False,
    bearerFormat="JWT",
    scheme_name="token",
    description="A JWT signed with HS256: `sub` is the user, `scope` some of `read`, `write`, "
    "`moderate` and `produce`, `exp` is required. `headrace token USER_ID` prints one.",
)


class SecretError(Exception):
    """The key file cannot be used."""


class Caller(Struct, frozen=True):
    """Who a valid token speaks for, and what it allows."""

    user_id: str
    scopes: frozenset[str]


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


class Authenticator:
    """Checks tokens made with one key."""

    def __init__(self, key: str) -> None:
        self._key = key

    def caller(self, token: str) -> Caller:
        """Whom the token speaks for.

        Raises:
            ProblemError: 401, when the token is not valid.
        """
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise _unauthorized("The token has expired.", 'error="invalid_token"') from None
        except jwt.InvalidTokenError:
            raise _unauthorized("The token is not valid.", 'error="invalid_token"') from None
        scope = claims.get("scope", "")
        if not is_id(claims["sub"]) or not isinstance(scope, str):
            raise _unauthorized("The token is not valid.", 'error="invalid_token"')
        return Caller(claims["sub"], frozenset(scope.split()))


def _unauthorized(detail: str, challenge: str = "") -> ProblemError:
    value = 'Bearer realm="headrace"' + (f", {challenge}" if challenge else "")
    return ProblemError(401, "unauthorized", detail, headers={"WWW-Authenticate": value})


def allow(caller: Caller, scope: str) -> Caller:
    """The caller, who has the scope.

    Raises:
        ProblemError: 403, when the token lacks it.
    """
    if scope not in caller.scopes:
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
    known: Caller | None = getattr(request.state, "caller", None)
    if known is not None:
        return known
    credentials = await _bearer(request)
    if credentials is None:
        return None
    authenticator: Authenticator = request.app.state.authenticator
    caller = authenticator.caller(credentials.credentials)
    request.state.caller = caller
    return caller


async def _anyone(request: Request, _credentials: Credentials) -> Caller | None:
    caller = await authenticated(request)
    if caller is None:
        if request.headers.get("authorization"):
            raise _unauthorized("Only bearer tokens are accepted.", 'error="invalid_request"')
        return None
    return allow(caller, "read")


def is_public(route: APIRoute) -> bool:
    """Whether a route answers without a token, too."""
    return any(each.call is _anyone for each in route.dependant.dependencies)


async def _signed_in(request: Request, scope: str) -> Caller:
    caller = await authenticated(request)
    if caller is None:
        raise _unauthorized("A bearer token is needed.")
    request.state.scope_taken = scope
    return allow(caller, scope)


async def _reader(request: Request, _credentials: Credentials) -> Caller:
    return await _signed_in(request, "read")


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
