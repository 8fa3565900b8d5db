"""A schema registry, by the interface of Confluent's, which others speak too (Karapace, Apicurio).

Three of its requests are all that is needed of it, so they are made here: confluent-kafka's client
brings six packages more, an OAuth library and a second HTTP stack among them, and writes addresses
with their passwords into the log.
"""

from __future__ import annotations

import base64
import logging
import time
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

import httpcore
import msgspec
from msgspec import Struct

TIMEOUT_SECONDS = 3.0
"""For each of connecting, sending, and waiting for something to come; twice that for all of it."""

MAX_BYTES = 4 * 1024 * 1024
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
NO_SUBJECT, NO_SCHEMA = 40401, 40403

T = TypeVar("T")

logging.getLogger("httpcore").setLevel(logging.INFO)  # at DEBUG it prints headers, so passwords


class RegistryDownError(Exception):
    """The registry gives no answer that can be relied on; it may later."""


class RegistrationError(Exception):
    """The registry does not take a schema; the text says why."""


class Registered(Struct, frozen=True, rename={"text": "schema", "kind": "schemaType"}):
    """What the registry has under an id."""

    text: str
    kind: str = "AVRO"
    references: list[Any] = []


class _Id(Struct, frozen=True):
    id: int


class _Refusal(Struct, frozen=True):
    error_code: int
    message: str = ""


class Registry:
    """The registry at `url`, which may have a user and a password; for several threads.

    An answer counts if it is in the registry's own words: a proxy's "not found" says nothing of a
    schema.
    """

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        parts = urlsplit(url)
        self.address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        self._headers = [("Accept", MEDIA_TYPE), ("Content-Type", MEDIA_TYPE)]
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            basic = base64.b64encode(pair.encode()).decode()
            self._headers.append(("Authorization", f"Basic {basic}"))
        self._timeout_seconds = timeout_seconds
        self._pool = httpcore.ConnectionPool(max_connections=4, keepalive_expiry=60.0)

    def schema(self, number: int) -> Registered | None:
        """What is registered under an id, None if nothing is.

        Raises:
            RegistryDownError: it cannot be known now.
        """
        status, body = self._ask("GET", f"/schemas/ids/{number}")
        if status == 200:
            return self._read(body, Registered)
        if self._refusal(status, body).error_code == NO_SCHEMA:
            return None
        raise self._down(f"answered {status}")

    def id_of(self, subject: str, text: str) -> int | None:
        """The id of a schema in a subject, None if it is not registered there.

        Raises:
            RegistryDownError: it cannot be known now.
        """
        status, body = self._ask("POST", f"/subjects/{quote(subject, safe='')}", _asked(text))
        if status == 200:
            return self._read(body, _Id).id
        if self._refusal(status, body).error_code in (NO_SUBJECT, NO_SCHEMA):
            return None
        raise self._down(f"answered {status}")

    def register(self, subject: str, text: str) -> int:
        """Register a schema as the next version of a subject; its id, also if it was there.

        Raises:
            RegistrationError: it refuses to.
            RegistryDownError: it cannot now.
        """
        path = f"/subjects/{quote(subject, safe='')}/versions"
        status, body = self._ask("POST", path, _asked(text))
        if status == 200:
            return self._read(body, _Id).id
        refusal = self._refusal(status, body)
        if 400 <= status < 500:
            raise RegistrationError(
                f"{self.address} does not take it as a version of {subject}: {status}, "
                f"{refusal.message}"
            )
        raise self._down(f"answered {status}")

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_seconds)
        deadline = time.monotonic() + 2 * self._timeout_seconds
        found = bytearray()
        try:
            with self._pool.stream(
                method,
                self.address + path,
                headers=self._headers,
                content=body,
                extensions={"timeout": limits},
            ) as response:
                for part in response.iter_stream():
                    found += part
                    if len(found) > MAX_BYTES or time.monotonic() > deadline:
                        raise self._down("gives too long an answer")
                return response.status, bytes(found)
        # Their texts may quote headers, so only their names are passed on.
        except (
            httpcore.TimeoutException,
            httpcore.NetworkError,
            httpcore.ProtocolError,
            OSError,  # of TLS
        ) as error:
            raise self._down(type(error).__name__) from None

    def _read(self, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._down("does not answer as a registry does") from None

    def _refusal(self, status: int, body: bytes) -> _Refusal:
        if status < 400:
            raise self._down(f"answered {status}")
        try:
            return msgspec.json.decode(body, type=_Refusal)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._down(f"answered {status}, not as a registry does") from None

    def _down(self, what: str) -> RegistryDownError:
        return RegistryDownError(f"{self.address} {what}")


def _asked(text: str) -> bytes:
    return msgspec.json.encode({"schema": text, "schemaType": "AVRO"})
