"""The public keys of who issues tokens: a JSON Web Key Set (RFC 7517), at an address or in a
file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpcore
import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from api.errors import unavailable

ALGORITHMS = ("RS256", "ES256")
MAX_AGE_SECONDS = 600.0
"""How long keys are taken without asking again."""
MAX_STALE_SECONDS = 24 * 60 * 60.0
"""How long they are taken while who issues them cannot be asked."""
LEAST_PAUSE_SECONDS = 10.0
"""Between two fetches, whatever tokens ask for."""
FETCH_SECONDS = 5.0
MAX_BYTES = 256 * 1024
MIN_RSA_BITS = 2048

log = structlog.get_logger(__name__)


class FetchError(Exception):
    """The keys cannot be fetched now, or are no key set."""


Fetch = Callable[[], Awaitable[bytes]]


class KeySet:
    """Keys by their id, fetched when they are old, or when a token names another.

    A token cannot have them fetched more often than every 10 s, and what was fetched is used for a
    day when it cannot be fetched anew.
    """

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()

    async def key(self, kid: str) -> jwt.PyJWK | None:
        """The key with an id, None when there is none.

        Raises:
            ProblemError: 503, when no keys are known that are not too old.
        """
        is_old = self._age() > MAX_AGE_SECONDS
        if kid not in self._keys or (is_old and not self._fetching.locked()):
            await self._refresh()
        if self._age() > MAX_STALE_SECONDS:
            raise unavailable("The keys of tokens cannot be fetched now.")
        return self._keys.get(kid)

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    async def _refresh(self) -> None:
        """Fetch the keys, unless that was tried a moment ago; of many requests one does."""
        async with self._fetching:
            now = self._clock()
            if self._tried_at is not None and now - self._tried_at < LEAST_PAUSE_SECONDS:
                return
            self._tried_at = now
            try:
                self._keys = keys_of(await self._fetch())
            except FetchError as error:
                log.warning("keys not fetched", reason=str(error))
                return
            self._fetched_at = now
            log.info("keys fetched", keys=len(self._keys))


def keys_of(raw: bytes) -> dict[str, jwt.PyJWK]:
    """The keys of a set that can verify tokens: with an id, for RS256 (2,048 bits or more) or
    ES256. Others, symmetric ones among them, are passed over.

    Raises:
        FetchError: it is no key set.
    """
    try:
        listed = msgspec.json.decode(raw, type=dict[str, list[dict[str, object]]]).get("keys", [])
    except msgspec.MsgspecError as error:
        raise FetchError("no JSON Web Key Set") from error
    found: dict[str, jwt.PyJWK] = {}
    for each in listed:
        if not isinstance(each.get("kid"), str) or each.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(each)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        if key.algorithm_name in ALGORITHMS and not _is_weak(key):
            found[str(each["kid"])] = key
    return found


def _is_weak(key: jwt.PyJWK) -> bool:
    return isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS


def key_set(source: str) -> KeySet:
    """The keys at an address (https, or http on this machine), or in a file."""
    if source.startswith(("https://", "http://")):
        return KeySet(lambda: _fetched(source))
    return KeySet(lambda: _read(Path(source)))


async def _read(path: Path) -> bytes:
    try:
        return await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise FetchError(f"{path}: {error.strerror}") from error


async def _fetched(url: str) -> bytes:
    """What is at an address; no redirect is followed."""
    body = bytearray()
    try:
        async with (
            asyncio.timeout(FETCH_SECONDS),
            httpcore.AsyncConnectionPool() as pool,
            pool.stream("GET", url, headers={"Accept": "application/json"}) as response,
        ):
            if response.status != 200:
                raise FetchError(f"{url} answered {response.status}")
            async for part in response.aiter_stream():
                body += part
                if len(body) > MAX_BYTES:
                    raise FetchError(f"{url} answered more than {MAX_BYTES // 1024} KiB")
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError, TimeoutError) as error:
        raise FetchError(f"{url}: {type(error).__name__}") from error
    return bytes(body)
