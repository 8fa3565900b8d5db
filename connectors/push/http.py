"""Requests of the connectors: bounded in time and size, never redirected, never logged."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpcore
import msgspec
from msgspec import Struct

from connectors.push.connector import RetryLaterError

TIMEOUT_SECONDS = 10.0
"""For each of connecting, sending, and waiting for something to come; twice that for all of it."""

LONGEST_ANSWER = 64 * 1024
LONGEST_WAIT_SECONDS = 86_400.0
_PASSING = frozenset({408, 425, 429})

T = TypeVar("T")

for _name in ("httpcore", "hpack", "py_vapid"):  # at DEBUG they print headers, and so tokens
    logging.getLogger(_name).setLevel(logging.INFO)


class Reply(Struct, frozen=True):
    """An answer: header names in lower case, at most the first 64 KiB of the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def read(self, kind: type[T]) -> T | None:
        """The body as JSON of this type; None if it is something else."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


class HttpClient:
    """A pool of connections for POST requests; `http2` alone speaks nothing else.

    It takes no proxy from the environment and follows no redirect.
    """

    def __init__(
        self,
        *,
        http1: bool = True,
        http2: bool = False,
        tls: ssl.SSLContext | None = None,
        backend: httpcore.AsyncNetworkBackend | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or httpcore.default_ssl_context(),
            max_connections=64,
            max_keepalive_connections=16,
            keepalive_expiry=60.0,
            http1=http1,
            http2=http2,
            network_backend=backend,
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The answer to one request.

        Raises:
            RetryLaterError: there is none, or not in time.
        """
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_seconds)
        try:
            async with (
                asyncio.timeout(2 * self._timeout_seconds),
                self._pool.stream(
                    "POST",
                    url,
                    headers=[(name.encode(), value.encode()) for name, value in headers.items()],
                    content=body,
                    extensions={"timeout": limits},
                ) as response,
            ):
                return Reply(
                    response.status,
                    {
                        name.decode("latin-1").lower(): value.decode("latin-1")
                        for name, value in response.headers
                    },
                    await _beginning(response),
                )
        # Their texts may quote headers, so only their names are passed on.
        except (httpcore.TimeoutException, TimeoutError):
            raise RetryLaterError("timeout") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:  # OSError: of TLS
            raise RetryLaterError(type(error).__name__) from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


async def _beginning(response: httpcore.Response) -> bytes:
    found = bytearray()
    async for chunk in response.aiter_stream():
        found += chunk
        if len(found) >= LONGEST_ANSWER:
            break
    return bytes(found[:LONGEST_ANSWER])


def raise_if_passing(reply: Reply, reason: str, now: float) -> None:
    """Raise what says "later", if the answer does: 408, 425, 429 and all of 5xx.

    Raises:
        RetryLaterError: with the reason, and what `Retry-After` says.
    """
    if reply.status in _PASSING or reply.status >= 500:
        raise RetryLaterError(reason, retry_after(reply.headers.get("retry-after"), now))


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a `Retry-After` asks for: a number of seconds or a date (RFC 9110, 10.2.3).

    A day at most; None if it says nothing.
    """
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), LONGEST_WAIT_SECONDS)
    try:
        then = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, then - now), LONGEST_WAIT_SECONDS)
