"""A user's timeline as candidates: grouped by post, newest first, from Redis and then Cassandra,
with what heavy sources hold that the user follows.

A post comes at each place where it has entries: at which it is shown depends on who reads. Redis is
complete above the floor; at and below it, or where there is no feed, Cassandra is read, for the 30
days that it keeps.
To who was dormant nothing was pushed: until the feed is there, posts are pulled from their authors.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from api.feed_models import FeedDegraded
from api.held import Candidate, Entries, Held, Position, TimelineRow
from api.stores import REDIS, StoreDownError
from api.views import Needs, Reader
from connectors.cassandra_tables import TIMELINE_TTL_SECONDS

KEPT_MS = TIMELINE_TTL_SECONDS * 1000
AHEAD_MS = 3_600_000
"""Entries may stand a little in the future, by a producer's clock."""

CHUNK_ROWS = 500
PULLED_ROWS = 50
MAX_PULLED = 101
"""Of many authors at once: what is read of them grows with the square (`Archive.authored`)."""
SKIP_ROWS = 2_000


class Timeline:
    """The candidates of the reader's viewer below a position, batch by batch."""

    def __init__(self, reader: Reader, owner: str, after: Position | None, now: int) -> None:
        self._reader = reader
        self._owner = owner
        self.after = after
        """Below what the candidates are; None: from the top."""
        self._oldest = now - KEPT_MS
        self._ahead = now + AHEAD_MS
        self._held = Held(Entries(()), None)
        self._walk: Iterator[Candidate] = iter(())
        self._pulled_rows: Sequence[TimelineRow] | None = None
        self._authors: list[str] = []
        self._ready: deque[Candidate] = deque()
        self._above: dict[str, list[str]] = {}
        """The posts that stand above what Cassandra is asked for next, with their reasons."""
        self._below: tuple[int, str, str] | None = None
        self._is_open = False
        self.has_feed = True
        """Whether Redis has a feed, as far as is known."""
        self.is_cut = False
        """Whether entries may remain that could not be read."""
        self.is_opening = False
        """Whether posts are pulled from their authors, and shares and topics may be missing."""

    @property
    def degraded(self) -> list[FeedDegraded]:
        """What would have been needed and could not be read."""
        found: list[FeedDegraded] = [*self._reader.degraded]
        return [*found, "sources"] if self._held.is_partial else found

    @property
    def may_have_more(self) -> bool:
        """Whether candidates may remain."""
        return self._is_held() or self._below is not None or self.is_cut

    def _is_held(self) -> bool:
        if self._ready:
            return True
        following = list(islice(self._walk, 1))
        self._walk = chain(following, self._walk)
        return bool(following)

    @property
    def _pulled(self) -> Sequence[TimelineRow]:
        """What heavy sources hold."""
        return self._held.pulled if self._pulled_rows is None else self._pulled_rows

    @property
    def resume_at(self) -> Position:
        """Where to go on when nothing was taken."""
        if self.after is not None:
            return self.after
        return (self._below[0], "") if self._below else (self._ahead, "")

    async def take(self, count: int) -> list[Candidate]:
        """The next candidates; fewer than `count` only at the end, or when `is_cut`."""
        if not self._is_open:
            await self._open(count)
        found = list(islice(self._walk, count))
        if len(found) == count:
            return found
        self._ready.extendleft(reversed(found))
        while len(self._ready) < count and self._below is not None and not self.is_cut:
            await self._read_on(count)
        return [self._ready.popleft() for _ in range(min(count, len(self._ready)))]

    async def _open(self, count: int) -> None:
        self._is_open = True
        if not self._reader.is_down(REDIS):
            try:
                self._held = await self._reader.stores.cache.timeline(self._owner)
                self.has_feed = self._held.floor is not None
            except StoreDownError as error:
                self._reader.mark_down(error)
        if self._reader.is_down(REDIS):
            await self._pull()
        if self._held.floor is None:
            await self._look_who_slept()
        self._walk = self._held.walk(self.after, count)
        floor = self._held.floor
        if floor is None:
            floor = self._ahead
        if floor > self._oldest:
            self._below = (floor + 1, "", "")

    async def _pull(self) -> None:
        """Read from Cassandra what heavy sources hold."""
        try:
            self._pulled_rows = await self._reader.stores.archive.pulled(self._owner)
        except StoreDownError as error:
            self._reader.mark_down(error)

    async def _look_who_slept(self) -> None:
        await self._reader.load(Needs(users=[self._owner]))
        self.is_opening = self._reader.user(self._owner).is_dormant
        if self.is_opening:
            try:
                self._authors = await self._reader.stores.archive.authors(self._owner)
            except StoreDownError as error:
                self._reader.mark_down(error)

    async def _read_on(self, count: int) -> None:
        """Read one more chunk from Cassandra."""
        if not self._above:
            for each in self._held.walk(None):
                self._above.setdefault(each.post_id, []).extend(each.reasons)
        try:
            if self.after is not None and (*self.after, "") < (self._below or ()):
                await self._skip_to(self.after)
            assert self._below is not None
            below = self._below
            rows, end = await self._chunk(below, count)
        except StoreDownError as error:
            self.is_cut = True
            self._reader.mark_down(error)
            return
        waiting: defaultdict[str, list[Candidate]] = defaultdict(list)
        for candidate in self._ready:
            waiting[candidate.post_id].append(candidate)
        for row in self._with_pulled(rows, below, end):
            self._add(row, waiting[row.post_id])
        self._below = end

    def _add(self, row: TimelineRow, waiting: list[Candidate]) -> None:
        """Add a row to the candidates that wait of its post."""
        above = self._above.setdefault(row.post_id, [])
        if waiting and waiting[-1].at == row.at:
            *higher, candidate = waiting
            candidate.reasons = (*candidate.reasons, row.reason)
        else:
            higher, candidate = waiting, Candidate(row.post_id, row.at, (row.reason,), tuple(above))
            self._ready.append(candidate)
        for each in higher:
            each.below = (*each.below, row.reason)
        waiting.append(candidate)
        above.append(row.reason)

    async def _chunk(
        self, below: tuple[int, str, str], count: int
    ) -> tuple[list[TimelineRow], tuple[int, str, str] | None]:
        """Rows below a place, some `count` of them, and the place down to which they are all; None:
        to the end."""
        archive, oldest = self._reader.stores.archive, self._oldest
        limit = max(CHUNK_ROWS, count)
        if self._authors:
            limit = max(PULLED_ROWS, min(count, MAX_PULLED))
        parts = [await archive.timeline(self._owner, below, oldest, limit)]
        if self._authors:
            parts.append(await archive.authored(self._authors, below, oldest, limit))
        end = max((rows[-1].place for rows in parts if len(rows) >= limit), default=None)
        return [row for rows in parts for row in rows if end is None or row.place >= end], end

    def _with_pulled(
        self,
        rows: Sequence[TimelineRow],
        below: tuple[int, str, str],
        end: tuple[int, str, str] | None,
    ) -> list[TimelineRow]:
        """Rows of the archive between two places, with what heavy sources hold there."""
        pulled = (row for row in self._pulled if row.place < below)
        pulled = (row for row in pulled if end is None or row.place >= end)
        return sorted({*rows, *pulled}, key=lambda row: row.place, reverse=True)

    async def _skip_to(self, after: Position) -> None:
        """Go down to a position that was reached before, noting the posts that stand above."""
        assert self._below is not None
        place = self._below
        self._note(row for row in self._pulled if (row.at, row.post_id) >= after)
        while True:
            rows = await self._reader.stores.archive.timeline(
                self._owner, place, max(self._oldest, after[0]), SKIP_ROWS
            )
            self._note(row for row in rows if (row.at, row.post_id) >= after)
            if len(rows) < SKIP_ROWS or (rows[-1].at, rows[-1].post_id) < after:
                break
            place = rows[-1].place
        self._below = (*after, "")

    def _note(self, rows: Iterable[TimelineRow]) -> None:
        for row in rows:
            self._above.setdefault(row.post_id, []).append(row.reason)
