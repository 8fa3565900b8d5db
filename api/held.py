"""A feed as Redis gave it, grouped by post; of 1,000 entries only a page's are decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec import Struct

from connectors.packed_ids import FIRST_LEAD, unpack_id
from connectors.redis_keys import halves_of, split_member, unpack_reason

_Group = tuple[bytes, list[bytes]]
"""A packed post id; the newest entry's score, and then the packed reasons."""

Position = tuple[int, str]
"""(time in ms of the newest entry, post id): candidates are ordered by it, descending."""


class TimelineRow(Struct, frozen=True):
    """An entry of a timeline; the order is (at, post_id, reason), descending."""

    at: int
    post_id: str
    reason: str

    @property
    def place(self) -> tuple[int, str, str]:
        """What rows are ordered by."""
        return self.at, self.post_id, self.reason


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
    """The entries of a feed, given as member, score, member, score, newest first, and with them
    what heavy sources hold, each given in the same way.

    Entries of the feed at or below `floor` (ms) may be missing; None: there is no feed, and nothing
    stands above the floor. `pulled` is all that heavy sources hold.
    """

    def __init__(
        self, feed: Sequence[bytes], floor: int | None, recents: Sequence[Sequence[bytes]] = ()
    ) -> None:
        flat = _merged([feed, *recents]) if any(recents) else feed
        self.pulled = [row for recent in recents for row in _rows(recent)]
        groups: dict[bytes, list[bytes]] = {}
        pairs = iter(flat)
        for entry, score in zip(pairs, pairs, strict=True):
            post, reason = halves_of(entry)
            group = groups.get(post)
            if group is None:
                groups[post] = [score, reason]
            else:
                group.append(reason)
        self.floor = floor
        self._groups = _in_order(list(groups.items()))
        self._end = 0 if floor is None else self._first_below((floor + 1, ""))

    def __len__(self) -> int:
        """How many posts have their newest entry above the floor."""
        return self._end

    def post_ids(self) -> Iterator[str]:
        """The posts whose newest entry is above the floor."""
        return (unpack_id(post) for post, _ in self._groups[: self._end])

    def index_below(self, after: Position | None) -> int:
        """The place of the first post that stands below a position."""
        return 0 if after is None else min(self._first_below(after), self._end)

    def candidates(self, start: int, count: int) -> list[Candidate]:
        """Some posts above the floor, with all their reasons."""
        found = []
        for post, (score, *reasons) in self._groups[start : min(start + count, self._end)]:
            names = list(dict.fromkeys(map(unpack_reason, reasons)))
            found.append(Candidate(unpack_id(post), _time(score), names))
        return found

    def _first_below(self, position: Position) -> int:
        low, high = 0, len(self._groups)
        while low < high:
            middle = (low + high) // 2
            post, group = self._groups[middle]
            if (_time(group[0]), unpack_id(post)) < position:
                high = middle
            else:
                low = middle + 1
        return low


def _in_order(groups: list[_Group]) -> list[_Group]:
    """Posts by (time, id) descending. Redis has them so, but for those of one time: there packed
    ids stand above texts."""
    tied = (
        one[0] != other[0] and one[0] >= FIRST_LEAD
        for (one, (score, *_)), (other, (below, *_)) in pairwise(groups)
        if score == below
    )
    if not any(tied):
        return groups
    return sorted(groups, key=lambda group: (_time(group[1][0]), unpack_id(group[0])), reverse=True)


def _merged(feeds: Sequence[Sequence[bytes]]) -> list[bytes]:
    """The entries of several feeds as those of one, each once."""
    entries = {
        (_time(score), entry): score
        for feed in feeds
        for entry, score in zip(feed[::2], feed[1::2], strict=True)
    }
    return [part for place in sorted(entries, reverse=True) for part in (place[1], entries[place])]


def _rows(feed: Sequence[bytes]) -> Iterator[TimelineRow]:
    for entry, score in zip(feed[::2], feed[1::2], strict=True):
        yield TimelineRow(_time(score), *split_member(entry))


def _time(score: bytes) -> int:
    return int(float(score))
