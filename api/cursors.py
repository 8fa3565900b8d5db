"""Cursors: where a page ends, as an opaque text (urlsafe base64 of a version and a place)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Literal

from api.errors import ProblemError
from api.ids import MAX_ID_BYTES, is_id

Measure = Literal["time", "likes"]

_OF_ID, _OF_RANK = b"\x02", b"\x03"
_OF_PLACE: dict[Measure, bytes] = {"time": b"\x01", "likes": b"\x04"}
_INDEX_BYTES = 2
_NAME = re.compile(r"[A-Za-z0-9_-]{16}")
_MOST = 253_402_300_799_999
_NUMBER_BYTES = 6
_MAX_LENGTH = 4 * (MAX_ID_BYTES + _NUMBER_BYTES + 3) // 3


def encode_place(place: tuple[int, str], by: Measure = "time") -> str:
    """The cursor of a time (ms, 48 bit), or a number of likes, and an id, which may be empty."""
    number, name = place
    return _encode(_OF_PLACE[by] + number.to_bytes(_NUMBER_BYTES, "big") + name.encode())


def decode_place(text: str, by: Measure = "time") -> tuple[int, str]:
    """The time, or the number of likes, and the id in a cursor.

    Raises:
        ProblemError: 400, when it is none of ours, or of a list in another order.
    """
    raw = _decode(text, _OF_PLACE[by])
    number = int.from_bytes(raw[1 : 1 + _NUMBER_BYTES], "big")
    name = _text(raw[1 + _NUMBER_BYTES :])
    if len(raw) < 1 + _NUMBER_BYTES or number > _MOST or (name and not is_id(name)):
        raise _refusal()
    return number, name


def encode_id(name: str) -> str:
    """The cursor of an id."""
    return _encode(_OF_ID + name.encode())


def decode_id(text: str) -> str:
    """The id in a cursor.

    Raises:
        ProblemError: 400, when it is none of ours.
    """
    name = _text(_decode(text, _OF_ID)[1:])
    if not is_id(name):
        raise _refusal()
    return name


def encode_rank(name: str, index: int) -> str:
    """The cursor of a place, from 0, in what is kept under a name."""
    return _encode(_OF_RANK + index.to_bytes(_INDEX_BYTES, "big") + name.encode())


def decode_rank(text: str) -> tuple[str, int]:
    """The name and the place in a cursor.

    Raises:
        ProblemError: 400, when it is none of ours.
    """
    raw = _decode(text, _OF_RANK)
    name = _text(raw[1 + _INDEX_BYTES :])
    if not _NAME.fullmatch(name):
        raise _refusal()
    return name, int.from_bytes(raw[1 : 1 + _INDEX_BYTES], "big")


def is_rank(text: str) -> bool:
    """Whether a text begins as the cursor of a place (below 4,096) in what is kept does."""
    return text[:2] == _encode(_OF_RANK)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str, version: bytes) -> bytes:
    if len(text) > _MAX_LENGTH:
        raise _refusal()
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise _refusal() from None
    if raw[:1] != version or _encode(raw) != text:
        raise _refusal()
    return raw


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _refusal() from None


def _refusal() -> ProblemError:
    return ProblemError(400, "bad-cursor", "The cursor is not one of this API's.")
