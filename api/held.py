"""A feed as Redis gave it, walked by post; of 1,000 entries only a page's are decoded."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from functools import cached_property
from operator import attrgetter, itemgetter

from msgspec import Struct

from api.memo import Memo
from connectors.packed_ids import FIRST_LEAD, PACKED_BYTES, unpack_id
from connectors.redis_keys import halves_of, split_member, unpack_reason

MANY_ENTRIES = 200
"""Of a set with more, times are decoded when they are looked at; of others at once, and kept."""

Cut = Callable[[bytes], bytes]

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


class Candidate(Struct, gc=False):
    """A post at a place of a timeline, with the reasons of its entries there, and of those that
    stand above and below, as far as they are known."""

    post_id: str
    at: int
    reasons: Sequence[str]
    above: Sequence[str] = ()
    below: Sequence[str] = ()

    @property
    def position(self) -> Position:
        """Where it stands."""
        return self.at, self.post_id


class Entries:
    """The entries of a sorted set, given as member, score, member, score, newest first."""

    def __init__(self, flat: Sequence[bytes]) -> None:
        self._members = flat[::2]
        self._scores = flat[1::2]
        is_packed = bool(self._members) and min(self._members) >= _PACKED
        self._post_of: Cut = _PACKED_POST if is_packed else _post_of
        self._reason_of: Cut = _PACKED_REASON if is_packed else _packed_reason
        self._held = frozenset(map(self._post_of, self._members))

    def __len__(self) -> int:
        return len(self._members)

    def down_to(self, at: int, start: int = 0) -> int:
        """How many entries are of a time (ms) or newer, of which it is known that `start` are."""
        if len(self._scores) > MANY_ENTRIES:
            return bisect_right(self._scores, -at, start, key=_before)
        return bisect_right(self._falling, -at, start)

    def time_of(self, number: int) -> int:
        """The time (ms) of an entry, from 0."""
        return _time_of(self._scores[number])

    def between(self, start: int, end: int) -> Iterable[tuple[int, bytes, bytes]]:
        """Some entries: time (ms), packed post id and packed reason."""
        members, times = self._members[start:end], _times_of(self._scores[start:end])
        posts, reasons = map(self._post_of, members), map(self._reason_of, members)
        return zip(times, posts, reasons, strict=True)

    def holding(self, posts: Set[bytes]) -> Set[bytes]:
        """Which of some posts have an entry."""
        return posts & self._held

    def of(self, post: bytes) -> Iterable[tuple[int, bytes]]:
        """Times and packed reasons of the entries of a post."""
        numbers = self._numbers.get(post, ())
        return [(self.time_of(each), self._reason_of(self._members[each])) for each in numbers]

    @cached_property
    def rows(self) -> list[TimelineRow]:
        """All entries, decoded."""
        pairs = zip(_times_of(self._scores), self._members, strict=True)
        return [TimelineRow(at, *split_member(entry)) for at, entry in pairs]

    @cached_property
    def repeated(self) -> Set[bytes]:
        """The posts that have several entries."""
        if len(self._held) == len(self._members):
            return frozenset()
        counts = Counter(map(self._post_of, self._members))
        return {post for post, count in counts.items() if count > 1}

    @cached_property
    def _numbers(self) -> dict[bytes, list[int]]:
        """The numbers of the entries of each post."""
        numbers: defaultdict[bytes, list[int]] = defaultdict(list)
        for number, post in enumerate(map(self._post_of, self._members)):
            numbers[post].append(number)
        return numbers

    @cached_property
    def _falling(self) -> Sequence[int]:
        """Times, less than zero: what grows down the entries."""
        return [-at for at in _times_of(self._scores)]


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
        self._all = [each for each in (feed, *recents) if len(each)]

    @property
    def pulled(self) -> list[TimelineRow]:
        """All that heavy sources hold."""
        return [row for recent in self._recents for row in recent.rows]

    def walk(self, after: Position | None, at_once: int = 100) -> Iterator[Candidate]:
        """The posts below a position (None: from the top) and above the floor, once for each time
        of their entries, with all reasons, whatever is below the floor among them.

        Some `at_once` are made together, from the entries down to the time of which any set has as
        many: O(at_once log(at_once) + n) for n sets, and O(entries) once if posts have several.
        """
        if self.floor is None:
            return
        lowest = self.floor + 1
        starts = [0 if after is None else each.down_to(after[0] + 1) for each in self._all]
        cut: int | None = None
        while cut is None or cut > lowest:
            cut = lowest
            for each, start in zip(self._all, starts, strict=True):
                if start + at_once <= len(each):
                    cut = max(cut, each.time_of(start + at_once - 1))
            ends = [each.down_to(cut, start) for each, start in zip(self._all, starts, strict=True)]
            yield from self._named(starts, ends, after)
            starts = ends

    def _named(
        self, starts: Sequence[int], ends: Sequence[int], after: Position | None
    ) -> Sequence[Candidate]:
        """The posts of entries between two numbers in each set, those below a position."""
        entries: list[tuple[int, bytes, bytes]] = []
        for each, start, end in zip(self._all, starts, ends, strict=True):
            if start < end:
                entries += each.between(start, end)
        entries.sort(reverse=True)
        repeated = self._repeated({post for _, post, _ in entries})
        if not repeated:
            found = [Candidate(_id_of[post], at, _only[reason]) for at, post, reason in entries]
        else:
            found = self._grouped(entries, repeated)
        if len({at for at, _, _ in entries}) < len(entries):
            # Redis has the order of bytes, which is not that of ids.
            found.sort(key=_position, reverse=True)
        if after is not None and found and found[0].position >= after:
            found = [each for each in found if each.position < after]
        return found

    def _grouped(
        self, entries: Sequence[tuple[int, bytes, bytes]], repeated: Set[bytes]
    ) -> list[Candidate]:
        """The posts of entries, of which some are repeated: once for each time."""
        made: set[tuple[int, bytes]] = set()
        found = []
        for at, post, reason in entries:
            if post not in repeated:
                found.append(Candidate(_id_of[post], at, _only[reason]))
            elif (at, post) not in made:
                made.add((at, post))
                found.append(_among(_id_of[post], at, self._of(post)))
        return found

    def _repeated(self, posts: Set[bytes]) -> Set[bytes]:
        """Which of some posts have several entries, wherever these are."""
        known: set[bytes] = set()
        repeated: set[bytes] = set()
        for each in self._all:
            if here := each.holding(posts):
                repeated |= here & known
                repeated |= here & each.repeated
                known |= here
        return repeated

    def _of(self, post: bytes) -> list[tuple[int, str]]:
        """Times and reasons of all entries of a post, newest first."""
        entries = sorted((entry for each in self._all for entry in each.of(post)), reverse=True)
        return [(at, *_only[reason]) for at, reason in entries]


def _among(post_id: str, at: int, entries: list[tuple[int, str]]) -> Candidate:
    """A post at one of the times of its entries, given as time and reason, newest first."""
    return Candidate(
        post_id,
        at,
        tuple(dict.fromkeys(reason for each, reason in entries if each == at)),
        tuple(reason for each, reason in entries if each > at),
        tuple(reason for each, reason in entries if each < at),
    )


def _time_of(score: bytes) -> int:
    """A score as ms since 1970; only of entries that are looked at, as it takes long."""
    return int(float(score))


def _times_of(scores: Sequence[bytes]) -> Sequence[int]:
    """Several scores as ms; Redis writes whole numbers as such, up to 17 digits."""
    try:
        return list(map(int, scores))
    except ValueError:
        return list(map(_time_of, scores))


def _before(score: bytes) -> int:
    return -_time_of(score)


def _post_of(entry: bytes) -> bytes:
    return halves_of(entry)[0]


def _packed_reason(entry: bytes) -> bytes:
    return halves_of(entry)[1]


_PACKED = bytes([FIRST_LEAD])
_PACKED_POST, _PACKED_REASON = (
    itemgetter(slice(PACKED_BYTES)),
    itemgetter(slice(PACKED_BYTES, None)),
)
"""What cuts a member whose post has a packed id, in C."""

_position = attrgetter("position")


def _alone(packed: bytes) -> tuple[str]:
    """The reasons of who has one."""
    return (unpack_reason(packed),)


_id_of: Memo[bytes, str] = Memo(unpack_id)
_only: Memo[bytes, tuple[str]] = Memo(_alone)
