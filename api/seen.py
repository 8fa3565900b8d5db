"""Which posts a user has seen lately: two Bloom filters, so that it forgets and has a bound."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

BITS = 20_480
HASHES = 7
FULL_BITS = BITS // 2
"""A filter is full when half of its bits are set.

B. H. Bloom, "Space/time trade-offs in hash coding with allowable errors" (1970): `n` entries leave
a bit unset with the chance `(1 - 1/m) ** (k * n)`, and an absent one is taken for present with the
chance `(share of set bits) ** k`, which is least for a given `m` where half are set. That is after
`n = m * ln(2) / k` = 2,028 entries, and then the chance is 1/128. The full one is kept beside the
next: so 2,028 entries are remembered at least, 4,056 at most, and the chance is 1/64 at worst.
"""


def bits_of(post_id: str) -> list[int]:
    """The bits that stand for a post: `h1 + i * h2` (A. Kirsch and M. Mitzenmacher, "Less hashing,
    same performance: building a better Bloom filter", 2006)."""
    digest = blake2b(post_id.encode(errors="surrogateescape"), digest_size=16).digest()
    first, step = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big") | 1
    return [(first + each * step) % BITS for each in range(HASHES)]


class Seen:
    """What was seen, by the filters as Redis has them: bit 0 is the highest of the first byte."""

    def __init__(self, filters: Iterable[bytes | None] = ()) -> None:
        self._filters = [raw for raw in filters if raw]

    def __contains__(self, post_id: object) -> bool:
        if not self._filters or not isinstance(post_id, str):
            return False
        bits = bits_of(post_id)
        return any(_has(raw, bits) for raw in self._filters)


def _has(raw: bytes, bits: list[int]) -> bool:
    """Whether all bits are set; most that are absent are found out by the first or second."""
    for bit in bits:
        byte = bit >> 3
        if byte >= len(raw) or not raw[byte] & 0x80 >> (bit & 7):
            return False
    return True
