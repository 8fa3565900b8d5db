"""Which posts or topics of a partition are on the rise: their acts, and lists of the first 50."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice

from msgspec.structs import replace

from schemas.topics import Topic
from schemas.views import TrendingEntry, TrendingKind, TrendingView, TrendingWindow
from streams import trend_scores
from streams.engine.outbox import Outbox
from streams.engine.owners import of_partition
from streams.engine.state import State
from streams.trend_rows import Kept, ListSize, Trend, TrendClock, Waiting
from streams.trend_scores import (
    KEPT_BUCKETS,
    STEPS,
    Depths,
    Rise,
    Standing,
    after,
    bucket_of,
    deeper,
    depth_at,
    is_sampled,
    rise,
)

MAX_ACTS = 2_048
LISTED = 50
MAX_LISTS = 64
LOOKED_AT_PER_TICK = 50_000  # acts, a quarter of them of keys that time has changed; 0.1 s
ACTS_A_KEY = 16  # by what looking at a key costs besides
WINDOWS: tuple[TrendingWindow, ...] = ("1h", "24h")
EVERYTHING = ""
_ALL = ""
_MAX_BAND = 50  # scores are below it: that of 10**10 acts is 43
_LAST = 10**4

STANDING, LISTS = "trend_standing", "trend_list"


ONCE, NEW = Kept(), Trend()
Sample = tuple[tuple[str, ...], Depths]
"""Acts, and the depths at which they are sampled."""

Lists = Callable[[str], tuple[str, ...]]
"""The languages in whose lists a key may stand; `EVERYTHING` is that of all."""


class Trends:
    """The trends of one partition's keys of one kind.

    An act costs O(1) rows. A key that was acted upon is looked at with the next tick; that costs
    O(its acts that are kept), `MAX_ACTS` at most. Time alone changes where a key stands when a
    bucket leaves a window: a key waits in one queue for the next such bucket. A tick looks at
    `LOOKED_AT_PER_TICK` acts, and leaves the rest to the next. A list that has changed costs what
    its first 50 do, and is shown with every bucket, so that it can be told from one that is stale.

    Args:
        kind: What the keys are.
        lists_of: The languages in whose lists a key may stand.
        name_of: The entity of a key, in whose partition it is.
    """

    def __init__(
        self,
        state: State,
        outbox: Outbox,
        kind: TrendingKind,
        lists_of: Lists,
        name_of: Callable[[str], str] = str,
    ) -> None:

        def of_key(key: str, _sub: str) -> str:
            return name_of(key)

        def of_waiting(_queue: str, key: str) -> str:
            return name_of(key)

        def of_standing(_band: str, sub: str) -> str:
            return name_of(_key_in(sub))

        self._acts = state.group_table("act", Kept, of_key)
        self._trends = state.table("trend", Trend, of_key)
        self._queues = state.group_table("trend_queue", Waiting, of_waiting)
        self._standing = state.group_table(STANDING, Standing, of_standing)
        self._sizes = state.group_table(LISTS, ListSize, of_partition)
        self._clock = state.table("trend_clock", TrendClock, of_partition)
        self._outbox = outbox
        self._kind: TrendingKind = kind
        self._lists_of = lists_of
        self._name_of = name_of

    def kept(self, key: str) -> list[str]:
        """The acts of a key that are kept, in order."""
        return [] if self._trends.get(key) is None else sorted(a for a, _ in self._acts.scan(key))

    def depths(self, key: str) -> Depths:
        """Of how many acts of a key those are that are kept."""
        trend = self._trends.get(key)
        return () if trend is None else trend.depths

    def add(self, key: str, act: str, bucket: int) -> Sample | None:
        """An act upon a key, of a bucket: what is new of it, nothing (None) if it was there, is too
        old or not of the sample."""
        if self._acts.get(key, act) is not None:
            return None
        clock = self._clock.get(_ALL) or TrendClock()
        if bucket <= clock.bucket - KEPT_BUCKETS:
            return None
        before = self._trends.get(key) or NEW
        if before.depths and not is_sampled(act, before.depths):
            return None
        self._acts.put(key, act, ONCE)
        size = before.size + _weight(act)
        if before.is_due:
            if size == before.size:
                return (act,), before.depths
        elif self._can_wait(key, clock, before):
            self._let_wait(key, before, size, bucket)
            return (act,), ()
        after = self._put(key, clock, before, size, before.depths)
        if after.depths is before.depths or is_sampled(act, after.depths):
            return (act,), after.depths
        return (), after.depths

    def change(self, key: str, acts: Collection[str], change: int, depths: Depths) -> None:
        """Acts upon a key are brought once more, or (-1) once less, of a sample at `depths`."""
        clock = self._clock.get(_ALL) or TrendClock()
        before = trend = self._trends.get(key) or NEW
        if depths and (deepened := deeper(trend.depths, depths)) != trend.depths:
            trend = self._thin(key, replace(trend, depths=deepened))
        size = trend.size
        for act in acts:
            if bucket_of(act) <= clock.bucket - KEPT_BUCKETS or (
                trend.depths and not is_sampled(act, trend.depths)
            ):
                continue
            row = self._acts.get(key, act)
            times = change if row is None else row.times + change
            if times > 0:
                self._acts.put(key, act, ONCE if times == 1 else Kept(times))
                size += _weight(act) if row is None else 0
            elif row is not None:
                self._acts.delete(key, act)
                size -= _weight(act)
        if not before.is_due and self._can_wait(key, clock, trend):
            self._let_wait(key, before, size, max(map(bucket_of, acts), default=clock.bucket))
        elif not before.is_due or (size, trend.depths) != (before.size, before.depths):
            self._put(key, clock, before, size, trend.depths)

    def touch(self, key: str) -> None:
        """What a key's lists depend on has changed."""
        trend, clock = self._trends.get(key), self._clock.get(_ALL) or TrendClock()
        if trend is not None and not self._can_wait(key, clock, trend):
            self._put(key, clock, trend, trend.size, trend.depths)

    def _can_wait(self, key: str, clock: TrendClock, trend: Trend) -> bool:
        """Whether a key has so few acts that it is on no list, and need not be looked at until they
        are old: so most keys cost little."""
        if trend.depths or any(trend.levels) or not clock.at:
            return False
        least = trend_scores.MIN_USERS
        return sum(1 for _ in islice(self._acts.scan(key), least)) < least

    def _let_wait(self, key: str, before: Trend, size: int, bucket: int) -> None:
        """Put the size of a key that can wait; a new one is looked at when its act is old."""
        queue = before.queue
        if next(iter(self._acts.scan(key)), None) is None:
            self._move(key, queue, "")
            self._trends.delete(key)
        elif not queue or size != before.size:
            if not queue:
                queue = f"b{bucket + KEPT_BUCKETS}"
                self._move(key, "", queue)
            self._trends.put(key, Trend(size, queue=queue))

    def _put(self, key: str, clock: TrendClock, before: Trend, size: int, depths: Depths) -> Trend:
        """Put a key's size and depths; it is looked at with the next tick."""
        queue = before.queue if before.is_due else clock.next_queue
        if before.queue != queue:
            self._move(key, before.queue, queue)
        after = Trend(size, depths, queue, before.levels, before.lists)
        while after.size > MAX_ACTS:
            last = after.depths[-1][1] if after.depths else 0
            deepened = deeper(after.depths, ((0, last + 1),))
            after = self._thin(key, replace(after, depths=deepened))
        self._trends.put(key, after)
        return after

    def _thin(self, key: str, trend: Trend) -> Trend:
        """Keep of a key's acts those of its sample. O(acts), each time half of them go."""
        gone = [act for act, _ in self._acts.scan(key) if not is_sampled(act, trend.depths)]
        for act in gone:
            self._acts.delete(key, act)
        return replace(trend, size=trend.size - sum(map(_weight, gone)))

    def _move(self, key: str, old: str, new: str) -> None:
        if old:
            self._queues.delete(old, key)
        if new:
            self._queues.put(new, key, Waiting())

    # Ticks: keys that wait are looked at, and lists that have changed are shown

    def tick(self, at: int) -> None:
        """It is `at` (ms)."""
        clock = self._clock.get(_ALL) or TrendClock()
        if at <= clock.at:
            return
        now = replace(clock, at=at, number=clock.number + 1)
        changed: dict[tuple[int, str], str] = {}
        oldest = clock.oldest_bucket or now.bucket
        room = LOOKED_AT_PER_TICK // 4
        while oldest <= now.bucket and room > 0:
            room -= self._look(f"b{oldest}", now.bucket, room, changed)
            oldest += room > 0
        room = max(room, 0) + LOOKED_AT_PER_TICK - LOOKED_AT_PER_TICK // 4
        number = clock.oldest_number
        while number <= now.number and room > 0:
            room -= self._look(f"n{number}", now.bucket, room, changed)
            number += room > 0
        self._clock.put(_ALL, replace(now, oldest_number=number, oldest_bucket=oldest))
        if changed or now.bucket != clock.bucket:
            self._show(now, changed, is_new_bucket=now.bucket != clock.bucket)

    def _look(self, queue: str, bucket: int, room: int, changed: dict[tuple[int, str], str]) -> int:
        """Look at the keys of a queue until `room` is used up; how much of it was, less than all if
        nothing waits there any more."""
        used = 1
        for key in [key for key, _ in islice(self._queues.scan(queue), room)]:
            if used >= room:
                break
            used += self._look_at(key, bucket, changed)
        else:
            return min(used, room - 1)
        return used

    def _look_at(self, key: str, bucket: int, changed: dict[tuple[int, str], str]) -> int:
        """Forget a key's old acts, and put it where it stands now; how many acts that took."""
        trend = self._trends.get(key)
        assert trend is not None
        kept = [act for act, _ in self._acts.scan(key)]
        acts = [act for act in kept if bucket_of(act) > bucket - KEPT_BUCKETS]
        for act in set(kept).difference(acts):
            self._acts.delete(key, act)
        depths = _eased(trend.depths, len(acts), bucket)
        if acts:
            found = rise(acts, depths, bucket)
            lists = self._lists_of(key) if any(found.levels) else ()
            self._stand(key, trend, found, lists, changed)
            queue = f"b{found.changes_at}"
            levels = found.levels if lists else (0, 0)
            self._trends.put(key, Trend(sum(map(_weight, acts)), depths, queue, levels, lists))
        else:
            queue = ""
            self._stand(key, trend, None, (), changed)
            self._trends.delete(key)
        self._move(key, trend.queue, queue)
        return ACTS_A_KEY + len(kept)

    def _stand(
        self,
        key: str,
        trend: Trend,
        found: Rise | None,
        lists: tuple[str, ...],
        changed: dict[tuple[int, str], str],
    ) -> None:
        for window, level in enumerate(trend.levels):
            now = 0 if found is None else found.levels[window]
            for language in trend.lists if level else ():
                changed[window, language] = key
                if now != level or language not in lists:
                    self._standing.delete(*_place(window, language, level, key))
                if not now or language not in lists:
                    self._count(window, language, -1)
            if found is None or not now:
                continue
            for language in lists:
                changed[window, language] = key
                self._standing.put(*_place(window, language, now, key), found.standings[window])
                if not level or language not in trend.lists:
                    self._count(window, language, 1)

    def _count(self, window: int, language: str, change: int) -> None:
        size = self._size(window, language)
        self._resize(window, language, replace(size, keys=size.keys + change))

    def _size(self, window: int, language: str) -> ListSize:
        return self._sizes.get(_ALL, f"{window}{language}") or ListSize()

    def _resize(self, window: int, language: str, size: ListSize) -> None:
        if size == ListSize():
            self._sizes.delete(_ALL, f"{window}{language}")
        elif size != self._size(window, language):
            self._sizes.put(_ALL, f"{window}{language}", size)

    def _show(
        self, clock: TrendClock, changed: dict[tuple[int, str], str], *, is_new_bucket: bool
    ) -> None:
        """Show the lists that have changed, of the `MAX_LISTS` languages with the most keys."""
        sizes = dict(self._sizes.scan(_ALL))
        for window in range(len(WINDOWS)):
            mine = [(name[1:], size) for name, size in sizes.items() if name[0] == str(window)]
            mine.sort(key=lambda each: (each[0] != EVERYTHING, -each[1].keys, each[0]))
            for rank, (language, size) in enumerate(mine):
                is_shown = size.keys > 0 and rank < MAX_LISTS
                owner = changed.get((window, language))
                is_due = is_new_bucket or owner is not None or not size.is_shown
                if is_shown and is_due:
                    self._show_list(window, language, clock.at, *self._first(window, language))
                elif size.is_shown and not is_shown:
                    owner = owner or self._first(window, language)[0]
                    self._show_list(window, language, clock.at, owner, ())
                self._resize(window, language, replace(size, is_shown=is_shown))

    def _first(self, window: int, language: str) -> tuple[str, tuple[TrendingEntry, ...]]:
        """A key that stands in a list, and its first entries, by score and then by key."""
        found: list[TrendingEntry] = []
        last = ""
        for band in range(_MAX_BAND, -1, -1):
            group = _band(window, language, band)
            for sub, standing in self._standing.page(group, "", LISTED - len(found)):
                level, last = _LAST - int(sub[:4]), _key_in(sub)
                found.append(
                    TrendingEntry(
                        self._name_of(last),
                        level / STEPS,
                        standing.users,
                        standing.velocity,
                        standing.is_viral,
                    )
                )
            if len(found) == LISTED:
                break
        return last, tuple(found)

    def _show_list(
        self, window: int, language: str, at: int, key: str, entries: tuple[TrendingEntry, ...]
    ) -> None:
        owner = self._name_of(key)
        view = TrendingView(
            self._kind, WINDOWS[window], language, self._outbox.partition_of(owner), at, entries
        )
        name = f"{self._kind}/{WINDOWS[window]}/{language}"
        self._outbox.show(Topic.VIEW_TRENDING, owner, name, view)


def _weight(act: str) -> int:
    """By what an act counts toward a key's size: one of 16 does, for all of them, so that most acts
    change no row but their own; of a user's, those of every 16th bucket."""
    return 16 if act[-1] == "0123456789abcdef"[bucket_of(act) % 16] else 0


def _eased(depths: Depths, acts: int, bucket: int) -> Depths:
    """The depths from which on a key that has become calm keeps more again; no act is as far ahead
    of the clock as the bucket in which that begins."""
    if not depths:
        return depths
    depths = after(depths, bucket - KEPT_BUCKETS)
    if depths and depths[-1][1] and depths[-1][0] <= bucket and acts <= MAX_ACTS // 4:
        depths = (*depths, (bucket + 2, depth_at(depths, bucket) - 1))
    return depths


def _band(window: int, language: str, band: int) -> str:
    return f"{window}{language}/{band}"


def _place(window: int, language: str, level: int, key: str) -> tuple[str, str]:
    """Where a key stands: in a group of those whose score is of the same whole number, the highest
    score first."""
    return _band(window, language, level // STEPS), f"{_LAST - level:04}{key}"


def _key_in(sub: str) -> str:
    return sub[4:]


def list_of(band: str) -> str:
    """The list that has a band: the id of its size."""
    return band.rpartition("/")[0]
