"""A feed as Redis gave it, walked by post; of 1,000 entries only a page's are decoded."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from heapq import merge
from itertools import islice
from operator import attrgetter

from msgspec import Struct

from connectors.packed_ids import FIRST_LEAD, PACKED_BYTES, unpack_id
from connectors.redis_keys import SEPARATOR, halves_of, split_member, unpack_reason

Position = tuple[int, str]
"""(time in ms of an entry, post id): candidates are ordered by it, descending."""


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
    """A post at a place of a timeline, with the reasons of its entries there, and of those that
    stand above and below, as far as they are known."""

    post_id: str
    at: int
    reasons: list[str]
    above: Sequence[str] = ()
    below: Sequence[str] = ()

    @property
    def position(self) -> Position:
        """Where it stands."""
        return self.at, self.post_id


class Entries:
    """The entries of a sorted set, given as member, score, member, score, newest first."""

    def __init__(self, flat: Sequence[bytes]) -> None:
        members = flat[::2]
        self._members = members
        self._scores = flat[1::2]
        self.posts = [
            entry[:PACKED_BYTES] if entry[0] >= FIRST_LEAD else entry.partition(SEPARATOR)[0]
            for entry in members
        ]
        numbers = range(len(members) - 1, -1, -1)
        self.first = dict(zip(reversed(self.posts), numbers, strict=True))
        """Packed post id to the number of its newest entry."""

    def below(self, at: int | None) -> Iterator[tuple[int, bytes]]:
        """Times and packed post ids, those of a time (ms) and older; None: all."""
        start = 0 if at is None else bisect_left(self._scores, -at, key=_before)
        times = map(_time_of, islice(self._scores, start, None))
        return zip(times, islice(self.posts, start, None), strict=True)

    def of(self, post: bytes) -> Iterable[tuple[int, bytes]]:
        """Times and members of the entries of a post that has some."""
        numbers = self._repeated.get(post) or (self.first[post],)
        return [(_time_of(self._scores[each]), self._members[each]) for each in numbers]

    @cached_property
    def rows(self) -> list[TimelineRow]:
        """All entries, decoded."""
        pairs = zip(map(_time_of, self._scores), self._members, strict=True)
        return [TimelineRow(at, *split_member(entry)) for at, entry in pairs]

    @cached_property
    def _repeated(self) -> dict[bytes, list[int]]:
        """The numbers of the entries of posts that have several."""
        if len(self.first) == len(self.posts):
            return {}
        numbers: defaultdict[bytes, list[int]] = defaultdict(list)
        for number, post in enumerate(self.posts):
            numbers[post].append(number)
        return {post: each for post, each in numbers.items() if len(each) > 1}


class Held:
    """The entries of a feed, and with them what heavy sources hold.

    Entries of the feed at or below `floor` (ms) may be missing; None: there is no feed, and nothing
    stands above the floor. `is_partial` when what some sources hold could not be read.
    """

    def __init__(
        self,
        feed: Entries,
        floor: int | None,
        recents: Sequence[Entries] = (),
        *,
        is_partial: bool = False,
    ) -> None:
        self.floor = floor
        self.is_partial = is_partial
        self._recents = recents
        self._all = [each for each in (feed, *recents) if each.posts]

    @property
    def pulled(self) -> list[TimelineRow]:
        """All that heavy sources hold."""
        return [row for recent in self._recents for row in recent.rows]

    def walk(self, after: Position | None) -> Iterator[Candidate]:
        """The posts below a position (None: from the top) and above the floor, once for each time
        of their entries, with all reasons, whatever is below the floor among them. O(log n) each,
        of n sorted sets."""
        if self.floor is None:
            return
        group: dict[bytes, None] = {}
        group_at = 0
        for at, post in self._below(None if after is None else after[0]):
            if at != group_at:
                yield from self._named(group_at, group, after)
                if at <= self.floor:
                    return
                group, group_at = {}, at
            group[post] = None
        yield from self._named(group_at, group, after)

    def _named(
        self, at: int, posts: Iterable[bytes], after: Position | None
    ) -> Sequence[Candidate]:
        """Posts that have entries of a time, those below a position."""
        found = []
        for post in posts:
            post_id = _id_of(post)
            if after is not None and (at, post_id) >= after:
                continue
            entries = [(each, _reason_of(halves_of(entry)[1])) for each, entry in self._of(post)]
            if len(entries) == 1:
                found.append(Candidate(post_id, at, [entries[0][1]]))
            else:
                found.append(_among(post_id, at, entries))
        if len(found) > 1:  # Redis has them in the order of their bytes, which is not that of ids
            found.sort(key=_post_id, reverse=True)
        return found

    def _below(self, at: int | None) -> Iterable[tuple[int, bytes]]:
        if len(self._all) == 1:
            return self._all[0].below(at)
        return merge(*(each.below(at) for each in self._all), reverse=True)

    def _of(self, post: bytes) -> Iterable[tuple[int, bytes]]:
        """Times and members of all entries of a post, newest first."""
        having = [each for each in self._all if post in each.first]
        if len(having) == 1:
            return having[0].of(post)
        return sorted((entry for each in having for entry in each.of(post)), reverse=True)


def _among(post_id: str, at: int, entries: list[tuple[int, str]]) -> Candidate:
    """A post at one of the times of its entries, given as time and reason, newest first."""
    return Candidate(
        post_id,
        at,
        list(dict.fromkeys(reason for each, reason in entries if each == at)),
        tuple(reason for each, reason in entries if each > at),
        tuple(reason for each, reason in entries if each < at),
    )


def _time_of(score: bytes) -> int:
    """A score as ms since 1970; only of entries that are looked at, as it takes long."""
    return int(float(score))


def _before(score: bytes) -> int:
    """What grows down the entries."""
    return -_time_of(score)


_post_id = attrgetter("post_id")
_id_of = lru_cache(50_000)(unpack_id)
_reason_of = lru_cache(50_000)(unpack_reason)
