"""Ids: what is one, and how the API makes new ones (ULIDs, which sort by time as text)."""

from __future__ import annotations

import secrets
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

MAX_ID_BYTES = 256
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS = 80
_LENGTH = 26
_KEPT_TIMES = 4_096


def is_id(value: object) -> bool:
    """Whether a value is a text of 1 to 256 bytes without control characters."""
    if not isinstance(value, str) or not value or len(value) > MAX_ID_BYTES:
        return False
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return False
    return size <= MAX_ID_BYTES and not any(unicodedata.category(c) == "Cc" for c in value)


def _checked(value: str) -> str:
    if not is_id(value):
        raise ValueError("an id has 1 to 256 bytes and no control characters")
    return value


Id = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_ID_BYTES,
        examples=["01JZ8B0V3QKX4M5T7N9R2C6DHE"],
        json_schema_extra={"pattern": r"^[^\x00-\x1f\x7f-\x9f]+$"},
    ),
    AfterValidator(_checked),
]


def as_id(number: int) -> str:
    """A number of 128 bits as an id has it: 26 characters that sort as the numbers do."""
    return "".join(_ALPHABET[(number >> 5 * place) & 31] for place in range(_LENGTH - 1, -1, -1))


class Mint:
    """Makes ids of 48 bits of time (ms) and 80 of randomness; those of one ms rise too, also when
    some of other times are made between them: requests keep the time at which they came."""

    def __init__(self) -> None:
        self._newest: dict[int, int] = {}

    def new(self, at: int) -> str:
        """A new id for the time `at` (ms since 1970 UTC)."""
        before = self._newest.get(at)
        # The top bit is left free, so that counting up never overflows.
        number = secrets.randbits(_RANDOM_BITS - 1) if before is None else before + 1
        self._newest[at] = number
        if len(self._newest) > _KEPT_TIMES:
            del self._newest[next(iter(self._newest))]
        return as_id((at << _RANDOM_BITS) | number)
