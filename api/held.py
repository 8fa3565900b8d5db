"""A feed as Redis gave it, grouped by post; of 1,000 entries only a page's are decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from connectors.redis_keys import SEPARATOR

_SEPARATOR = SEPARATOR.encode()

Position = tuple[int, str]
"""(time in ms of the newest entry, post id): candidates are ordered by it, descending."""


class Candidate(Struct):
    """A post on a timeline, with the time of its newest entry and its reasons."""

    post_id: str
    at: int
    reasons: list[str]

    @property
    def position(self) -> Position:
        """Where it stands."""
        return self.at, self.post_id


class Held:
    """The entries of a feed, given as member, score, member, score, newest first.

    Entries at or below `floor` (ms) may be missing; None: none are.
    """

    def __init__(self, flat: Sequence[bytes], floor: int | None) -> None:
        groups: dict[bytes, list[bytes]] = {}
        pairs = iter(flat)
        for entry, score in zip(pairs, pairs, strict=True):
            post, _, reason = entry.partition(_SEPARATOR)
            group = groups.get(post)
            if group is None:
                groups[post] = [score, reason]
            else:
                group.append(reason)
        self.floor = floor
        self._groups = list(groups.items())
        self._end = len(self._groups) if floor is None else self._first_below((floor + 1, ""))

    def __len__(self) -> int:
        """How many posts have their newest entry above the floor."""
        return self._end

    def post_ids(self) -> Iterator[str]:
        """The posts whose newest entry is above the floor."""
        return (post.decode() for post, _ in self._groups[: self._end])

    def index_below(self, after: Position | None) -> int:
        """The place of the first post that stands below a position."""
        return 0 if after is None else min(self._first_below(after), self._end)

    def candidates(self, start: int, count: int) -> list[Candidate]:
        """Some posts above the floor, with all their reasons."""
        found = []
        for post, (score, *reasons) in self._groups[start : min(start + count, self._end)]:
            names = list(dict.fromkeys(reason.decode() for reason in reasons))
            found.append(Candidate(post.decode(), _time(score), names))
        return found

    def _first_below(self, position: Position) -> int:
        low, high = 0, len(self._groups)
        while low < high:
            middle = (low + high) // 2
            post, group = self._groups[middle]
            if (_time(group[0]), post.decode()) < position:
                high = middle
            else:
                low = middle + 1
        return low


def _time(score: bytes) -> int:
    return int(float(score))
