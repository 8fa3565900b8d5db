"""How far what a user says carries."""

from __future__ import annotations

from math import log10


def influence(followers: int, following: int) -> float:
    """`log10(1 + followers) * followers / (followers + following)` (001, "influence scoring").

    It grows tenfold in followers at a time, and is less for who follows many in order to be
    followed. 0 for who has no followers. To 6 digits, so that what is the same has the same order:
    7 followers of 21 relations are worth one of one.
    """
    if not followers:
        return 0.0
    return round(log10(1 + followers) * followers / (followers + following), 6)
