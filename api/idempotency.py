"""Idempotency keys: a write that a client repeats is made once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

from fastapi import Request
from msgspec import Struct

from api.errors import ProblemError, invalid
from api.ids import as_id

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_KEY_LENGTH = 128
REMEMBERED_SECONDS = 24 * 60 * 60

_KEY = re.compile(rf"[!-~]{{1,{MAX_KEY_LENGTH}}}")
_ID_BYTES = 16


class Remembered(Struct, frozen=True, array_like=True):
    """What was asked with a key: the time (ms) of the write and, once it was accepted, the scope
    that it took and the answer; until then `body` is empty."""

    fingerprint: bytes
    at: int
    scope: str = ""
    body: bytes = b""


class DerivedIds:
    """Ids that are the same for the same caller, key and request, whenever and wherever they are
    made. They do not sort by time."""

    def __init__(self, caller: str, key: str, fingerprint: bytes) -> None:
        self._seed = _digest((caller.encode(), key.encode(), fingerprint))
        self._made = 0

    def new(self, at: int) -> str:
        """The next id; `at` is not in it, as it may differ when the write is repeated."""
        del at
        self._made += 1
        digest = _digest((self._seed, self._made.to_bytes(4, "big")))
        return as_id(int.from_bytes(digest[:_ID_BYTES], "big"))


def key_of(request: Request) -> str | None:
    """The key of a request.

    Raises:
        ProblemError: 422, when it is none.
    """
    key = request.headers.get(HEADER)
    if key is not None and _KEY.fullmatch(key) is None:
        raise invalid(
            f"header.{HEADER}", f"1 to {MAX_KEY_LENGTH} visible characters of ASCII, no spaces"
        )
    return key


async def fingerprint_of(request: Request) -> bytes:
    """What tells one request from another: method, path, body, and all of the query but `wait`."""
    query = sorted(pair for pair in request.query_params.multi_items() if pair[0] != "wait")
    parts = [request.method, request.url.path, *(part for pair in query for part in pair)]
    return _digest([*(part.encode() for part in parts), await request.body()])


def reused() -> ProblemError:
    """The answer when a key comes with another request than before."""
    return ProblemError(
        422,
        "key-reused",
        f"The {HEADER} was used for another request within a day: use another key.",
    )


def _digest(parts: Iterable[bytes]) -> bytes:
    """SHA-256 of parts; each is told from the next by its length."""
    found = sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big"))
        found.update(part)
    return found.digest()
