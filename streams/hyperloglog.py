"""How many distinct digests there were, from 4,096 small numbers: HyperLogLog.

Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog: the analysis of a near-optimal cardinality
estimation algorithm" (2007). A digest of 64 bits names a register by its first 12 bits; its rank is
the number of zeros before the first one in the other 52, and one more. A register keeps the
greatest rank. So neither the order of the digests counts, nor how often each came.

The estimate is the improved raw one of Ertl, "New cardinality estimation algorithms for HyperLogLog
sketches" (2017): it has no bias at any number, and needs only how many registers have each rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt

INDEX_BITS = 12
REGISTERS = 1 << INDEX_BITS
RANK_BITS = 64 - INDEX_BITS
RANKS = RANK_BITS + 2
"""A rank is below that; 0 is that of a register without a digest."""

STANDARD_ERROR = 1.04 / sqrt(REGISTERS)
"""Of the estimate, relative: 1.6 %."""


def place_of(digest: int) -> tuple[int, int]:
    """A digest's register and rank."""
    rest = digest & (1 << RANK_BITS) - 1
    return digest >> RANK_BITS, RANK_BITS - rest.bit_length() + 1


def estimate(registers_of_rank: Sequence[int]) -> float:
    """The number of digests, from how many registers have each rank; O(64). Ertl's correction for
    ranks that are cut off is left out, which matters beyond 2**60 digests."""
    divisor = 0.0
    for rank in range(RANKS - 1, 0, -1):
        divisor = (divisor + registers_of_rank[rank]) / 2
    divisor += REGISTERS * _sigma(registers_of_rank[0] / REGISTERS)
    return float(REGISTERS**2) / (2 * log(2) * divisor)


def _sigma(share: float) -> float:
    """`x + sum(x**(2**k) * 2**(k - 1) for k from 1)`, infinite for 1."""
    if share == 1:
        return float("inf")
    total, factor = share, 1.0
    while True:
        share *= share
        before, total = total, total + share * factor
        if total == before:
            return total
        factor *= 2
