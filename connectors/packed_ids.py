"""Ids packed into fewer bytes: as text, a ULID or a UUID takes more than twice what it says.

A packed id begins with a byte that no UTF-8 text has; every other id stays as it is.
"""

from __future__ import annotations

import re
import uuid
from itertools import product

ULID_LEAD, UUID_LEAD = b"\xff", b"\xfe"
FIRST_LEAD = UUID_LEAD[0]
"""The lowest byte that a packed id begins with."""
PACKED_BYTES = 1 + 16

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PLAIN = "0123456789abcdefghijklmnopqrstuv"  # the digits of `int`
_TO_PLAIN = str.maketrans(_CROCKFORD, _PLAIN)
_PAIRS = tuple(high + low for high, low in product(_CROCKFORD, repeat=2))
_is_ulid = re.compile(f"[0-7][{_CROCKFORD}]{{25}}").fullmatch
_is_uuid = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


def pack_id(value: str) -> bytes:
    """An id as bytes: 17 of a ULID (in capitals) or a UUID (in small letters, with hyphens), of
    which those of one kind keep their order; of another id its text."""
    if len(value) == 26 and _is_ulid(value):
        return ULID_LEAD + int(value.translate(_TO_PLAIN), 32).to_bytes(16)
    if len(value) == 36 and _is_uuid(value):
        return UUID_LEAD + bytes.fromhex(value.replace("-", ""))
    return value.encode(errors="surrogateescape")


def unpack_id(packed: bytes) -> str:
    """The id that was packed; bytes that no id is packed into are read as text."""
    if len(packed) == PACKED_BYTES:
        if packed.startswith(ULID_LEAD):
            number = int.from_bytes(packed[1:])
            return "".join([_PAIRS[number >> bits & 1023] for bits in range(120, -1, -10)])
        if packed.startswith(UUID_LEAD):
            return str(uuid.UUID(bytes=packed[1:]))
    return packed.decode(errors="surrogateescape")
