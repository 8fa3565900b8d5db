"""Compares what a store holds with what the oracle expects, and names what differs.

Rows are compared in one normal form (see `headrace.verify`), where a row that equals no row is
left out. Timelines are compared entry by entry, as ranks in the oracle's order of all entries.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.oracle.affinity import NEGLIGIBLE
from tests.oracle.timelines import Timelines, member

TOLERANCE = 1e-6
ESTIMATED = frozenset({"views", "clicks"})
EXACT_UP_TO = 1_024
FOUR_SIGMA = 4 * 1.04 / 4096**0.5
KEPT_DIFFERENCES = 1_000
REDIS_HOLDS = 1_000
CASSANDRA_DAYS_MS = 30 * 86_400_000
EXPIRY_MARGIN_MS = 3_600_000

Entry = tuple[str, str, int]
"""Post id, reason, time: as a store holds it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that is not as expected; None stands for no row."""

    what: str
    expected: object
    found: object


@dataclass
class Tally:
    """What came of comparing one kind of row in one store."""

    kind: str
    store: str
    compared: int = 0
    different: int = 0
    differences: list[Difference] = field(default_factory=list)
    """The first of those that differ."""

    def differ(self, what: str, expected: object, found: object) -> None:
        """Count a row that is not as expected."""
        self.different += 1
        if len(self.differences) < KEPT_DIFFERENCES:
            self.differences.append(Difference(what, expected, found))


def compare_rows(
    tally: Tally,
    expected: Mapping[Hashable, object],
    found: Mapping[Hashable, object],
    same: Callable[[object, object], bool] | None = None,
) -> Tally:
    """Compare rows by key; rows that are in one of the two only differ, unless `same` says so."""
    tally.compared += len(expected)
    for key, want in expected.items():
        got = found.get(key)
        if want == got or (same is not None and same(want, got)):
            continue
        tally.differ(name(key), want, got)
    for key in found.keys() - expected.keys():
        tally.compared += 1
        if same is None or not same(None, found[key]):
            tally.differ(name(key), None, found[key])
    return tally


def name(key: Hashable) -> str:
    """A row's key as a person reads it."""
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def same_score(want: object, got: object) -> bool:
    """Whether two affinities are the same: nearly equal, or both negligible."""
    a = want if isinstance(want, float) else 0.0
    b = got if isinstance(got, float) else 0.0
    if abs(a - b) <= TOLERANCE * (1 + max(abs(a), abs(b))):
        return True
    return max(a, b) < NEGLIGIBLE * (1 + TOLERANCE)


def same_counts(want: object, got: object) -> bool:
    """Whether a post's counts are the same: views and clicks by more than 1,024 users are estimated
    with a standard error of 1.6 %, and may be off by four of it; all else is exact."""
    if not isinstance(want, dict) or not isinstance(got, dict):
        return False
    return want.keys() == got.keys() and all(
        got[name] == count
        or (
            name in ESTIMATED
            and count > EXACT_UP_TO
            and abs(got[name] - count) <= FOUR_SIGMA * count
        )
        for name, count in want.items()
    )


class TimelineCheck:
    """Compares timelines of one store, in whatever order they come. Redis holds those of
    `readers`."""

    def __init__(
        self,
        tally: Tally,
        timelines: Timelines,
        now_ms: int,
        readers: Collection[str] = frozenset(),
    ) -> None:
        self.tally = tally
        self._all = timelines
        self._readers = readers
        self._kept_since = now_ms - CASSANDRA_DAYS_MS
        self._seen: set[Hashable] = set()

    def redis(self, user_id: str, found: Sequence[tuple[str, float]], floor: int | None) -> None:
        """A feed: (member, time) newest first, and its floor; None while it is not there."""
        self._seen.add(user_id)
        is_wanted = user_id in self._readers
        if is_wanted != (floor is not None):
            wanted = "there" if is_wanted else "not there"
            self.tally.differ(f"feed {user_id}", wanted, f"{len(found)} entries above {floor}")
        elif floor is None:
            self._entries(user_id, (), found, -1, -1)
        else:
            ranks = self._all.rows.get(user_id, ())
            self._demand_length(user_id, ranks, found, floor)
            self._entries(user_id, ranks, found, floor, -1)

    def _demand_length(
        self,
        user_id: str,
        ranks: Sequence[int],
        found: Sequence[tuple[str, float]],
        floor: int,
    ) -> None:
        """The 1,000 newest are there of what all sources hold, unless the timeline was longer
        once."""
        held_above = self._all.floor_of(user_id)
        above = sum(1 for _, at in found if at > floor)
        wanted = min(REDIS_HOLDS, sum(1 for rank in ranks if self._all.at[rank] > held_above))
        if above < wanted and user_id not in self._all.shrunk:
            self.tally.differ(f"floor {user_id}", f"{wanted} entries", f"{above} above {floor}")

    def redis_rest(self) -> None:
        """Timelines that Redis holds nothing of."""
        for user_id in {*self._all.rows, *self._readers} - self._seen:
            self.redis(user_id, (), None)

    def cassandra(self, owner: str, bucket: int, found: Sequence[tuple[str, float]]) -> None:
        """A partition of the table, newest first."""
        self._seen.add((owner, bucket))
        ranks = next((r for b, r in self._buckets(owner) if b == bucket), ())
        self._kept_entries(f"{owner} {bucket}", ranks, found)

    def cassandra_rest(self) -> None:
        """Partitions that Cassandra holds nothing of."""
        for owner in self._all.rows:
            for bucket, ranks in self._buckets(owner):
                if (owner, bucket) not in self._seen:
                    self._kept_entries(f"{owner} {bucket}", ranks, ())

    def _kept_entries(
        self, what: str, ranks: Sequence[int], found: Sequence[tuple[str, float]]
    ) -> None:
        """Rows near their expiry may be there or not; older ones may not."""
        self._entries(
            what,
            ranks,
            found,
            self._kept_since + EXPIRY_MARGIN_MS,
            self._kept_since - EXPIRY_MARGIN_MS,
        )

    def _buckets(self, owner: str) -> Iterator[tuple[int, Sequence[int]]]:
        """A timeline by months in UTC, newest first."""
        row, at = self._all.rows.get(owner, ()), self._all.at
        first = 0
        while first < len(row):
            moment = datetime.fromtimestamp(at[row[first]] / 1000, UTC)
            begin = datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp() * 1000
            end = bisect_left(row, True, lo=first, key=lambda rank: at[rank] < begin)
            yield moment.year * 100 + moment.month, row[first:end]
            first = end

    def _entries(
        self,
        what: str,
        ranks: Sequence[int],
        found: Sequence[tuple[str, float]],
        floor: int,
        bottom: int,
    ) -> None:
        """Above `floor` exactly the expected, in order; between it and `bottom` only expected
        ones; nothing below `bottom`."""
        at, rank_of = self._all.at, self._all.rank
        needed = len(ranks)
        if needed and at[ranks[-1]] <= floor:
            needed = bisect_left(ranks, True, key=lambda rank: at[rank] <= floor)
        if len(found) == needed:
            for (entry, time), rank in zip(found, ranks, strict=False):
                if rank_of.get(entry) != rank or at[rank] != time:
                    break
            else:
                self.tally.compared += needed
                return
        self._name_differences(what, ranks, needed, found, floor, bottom)

    def _name_differences(
        self,
        what: str,
        ranks: Sequence[int],
        needed: int,
        found: Sequence[tuple[str, float]],
        floor: int,
        bottom: int,
    ) -> None:
        everything = self._all
        allowed = {
            (member(everything.post[r], everything.reason[r]), everything.at[r])
            for r in ranks
            if everything.at[r] >= bottom
        }
        wanted = {
            (member(everything.post[r], everything.reason[r]), everything.at[r])
            for r in ranks[:needed]
        }
        there = set(found)
        missing = dict(wanted - there)
        extra = sorted(there - allowed, key=lambda row: -row[1])
        self.tally.compared += len(wanted | there)
        for entry, time in extra:
            self.tally.differ(_named(what, entry), missing.pop(entry, None), int(time))
        for entry, time in missing.items():
            self.tally.differ(_named(what, entry), time, None)
        if len(there) != len(found):
            self.tally.differ(what, "each entry once", f"{len(found) - len(there)} doubled")
        order = [row for row in dict.fromkeys(found) if row[1] > floor and row in wanted]
        right = sorted(order, key=lambda row: rank_key(everything, row[0]))
        for got, want in zip(order, right, strict=True):
            if got != want:
                self.tally.differ(_named(what, want[0]), "in order", "out of order")


def rank_key(timelines: Timelines, entry: str) -> int:
    """Where an expected entry stands among all."""
    return timelines.rank[entry]


def _named(what: str, entry: str) -> str:
    post_id, _, reason = entry.partition("\0")
    return f"{what}: {post_id} {reason}"


Served = Sequence[tuple[str, Iterable[str]]]


def compare_served(
    tally: Tally,
    user_id: str,
    timelines: Timelines,
    found: Served,
    now_ms: int,
    is_hidden: Callable[[str, str], bool] = lambda *_: False,
    floor: int | None = None,
) -> None:
    """Compare a walk through the API's pages with the timeline grouped by post.

    What is older than 30 days may be left out at the end; hidden entries (post, reason) must be. A
    post stands where the newest of its others does. Of entries at or below the floor only that one
    must be among its reasons.
    """
    kept_since = now_ms - CASSANDRA_DAYS_MS + EXPIRY_MARGIN_MS
    required: dict[str, set[str]] = {}
    allowed: dict[str, set[str]] = {}
    place: dict[str, int] = {}
    for at, post_id, reason in timelines.candidates(user_id):
        if is_hidden(post_id, reason):
            continue
        is_newest = post_id not in place
        place.setdefault(post_id, len(place))
        allowed.setdefault(post_id, set()).add(reason)
        if at > kept_since and (is_newest or floor is None or at > floor):
            required.setdefault(post_id, set()).add(reason)
    there = {post_id: set(reasons) for post_id, reasons in found}
    tally.compared += len(required.keys() | there.keys())
    for post_id in required.keys() | there.keys():
        want, may = required.get(post_id, set()), allowed.get(post_id)
        got = there.get(post_id)
        if got is None or may is None or not want <= got <= may:
            tally.differ(f"{user_id}: {post_id}", sorted(may or ()) or None, _listed(got))
    if len(there) != len(found):
        tally.differ(user_id, "each post once", f"{len(found) - len(there)} doubled")
        return
    order = [post_id for post_id, _ in found if post_id in place]
    for got_id, want_id in zip(order, sorted(order, key=place.__getitem__), strict=True):
        if got_id != want_id:
            tally.differ(f"{user_id}: {want_id}", "in order", f"{got_id} stands there")


def _listed(reasons: set[str] | None) -> list[str] | None:
    return None if reasons is None else sorted(reasons)
