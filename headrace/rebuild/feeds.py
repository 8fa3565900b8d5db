"""The feeds of a partition in Redis: compared with the log, and swapped while their sink writes."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.log_id import ForeignStoreError
from connectors.redis_fence import Mark, read_mark
from connectors.redis_shadow import Feed, ShadowFeeds, Swap
from headrace.rebuild.compare import Difference, Row, compare_feed, feed_wanted
from headrace.rebuild.patience import Patience, StoreEmptyError
from headrace.rebuild.replay import Replay
from headrace.rebuild.report import StoreReport
from headrace.rebuild.withheld import Withheld
from streams.timelines import owners_of

REDIS = "Redis"
TRIES = 100
"""How often the sink may be quicker, one time after the other."""


class Feeds:
    """Compares feeds, and mends those that differ unless `is_dry_run`."""

    def __init__(
        self,
        shadows: ShadowFeeds,
        withheld: Withheld,
        report: StoreReport,
        *,
        log_id: str,
        partition: int,
        is_dry_run: bool,
    ) -> None:
        self._shadows = shadows
        self._withheld = withheld
        self._report = report
        self._log_id = log_id
        self._partition = partition
        self._is_dry_run = is_dry_run

    def position(self) -> int:
        """Where the sink stands.

        Raises:
            StoreEmptyError: it has written nothing.
            ForeignStoreError: what it wrote is of another log.
        """
        return self._standing(self._shadows.read(()).mark)[0]

    def settle(self, replay: Replay, owners: Sequence[str]) -> None:
        """Compare the feeds of owners, and mend what differs.

        A feed that the sink has written in part is looked at again.

        Raises:
            NotWrittenError: it stays so, or the sink was always quicker.
        """
        patience = Patience(f"{REDIS}, timeline-writes/{self._partition}")
        waiting = list(owners)
        while True:
            snapshot = self._shadows.read(waiting)
            position, reached, _ = self._standing(snapshot.mark)
            replay.advance(position)
            busy = self._busy(replay, reached)
            settled = {owner: snapshot.feeds[owner] for owner in waiting if owner not in busy}
            self._settle(replay, settled, patience)
            waiting = [owner for owner in waiting if owner in busy]
            if not waiting:
                return
            if settled:
                patience.renew()
            patience.wait("the sink has been in the midst of a batch")

    def _settle(self, replay: Replay, feeds: dict[str, Feed], patience: Patience) -> None:
        wrong: dict[str, Difference] = {}
        given: dict[str, list[Row]] = {}
        for owner, feed in feeds.items():
            difference = compare_feed(replay.timelines, owner, feed)
            if difference:
                wrong[owner] = difference
                entries = replay.timelines.of(owner).entries
                given[owner] = [(*e, at) for e, at in entries.items() if feed.entries.get(e) != at]
        withheld = self._withheld.of(given)
        wrong = {o: found.without(withheld.get(o, ())) for o, found in wrong.items()}
        wrong = {owner: difference for owner, difference in wrong.items() if difference}
        self._report.users += len(feeds)
        for owner, difference in wrong.items():
            self._report.add(owner, difference)
        if wrong and not self._is_dry_run:
            try:
                self._swap(replay, set(wrong), withheld, patience)
            finally:
                self._shadows.discard()

    def _swap(
        self, replay: Replay, waiting: set[str], withheld: dict[str, set[Row]], patience: Patience
    ) -> None:
        """Swap feeds. What the sink writes meanwhile is folded, and makes the shadows of those
        whom it concerns stale; the others are swapped at once. One that is closed meanwhile needs
        nothing more."""
        stale, tries = set(waiting), 0
        while waiting:
            snapshot = self._shadows.read(sorted(stale))
            position, reached, mark = self._standing(snapshot.mark)
            closed = {owner for owner, feed in snapshot.feeds.items() if feed.floor is None}
            waiting -= closed
            changed = (replay.advance(position) & waiting) - stale
            self._shadows.build(
                {
                    owner: feed_wanted(replay.timelines, owner, feed, withheld.get(owner, ()))
                    for owner, feed in snapshot.feeds.items()
                    if owner not in closed
                }
            )
            ready = waiting - changed - self._busy(replay, reached)
            stale = changed
            outcome = self._shadows.swap(sorted(ready), mark) if ready else Swap.MOVED
            if outcome == Swap.DONE:
                waiting -= ready
                stale &= waiting
                self._report.mended += len(ready)
                patience.renew()
                tries = 0
                continue
            tries += 1
            self._report.retries += bool(ready)
            if outcome == Swap.LOST:
                stale |= ready
            if tries > TRIES or not ready:
                patience.wait("the sink was always quicker, or in the midst of a batch")

    def _standing(self, raw: bytes | None) -> tuple[int, int | None, bytes]:
        """The position, how far the sink may have come beyond it, and the mark itself."""
        mark = Mark("", "", None) if raw is None else read_mark(raw)
        if raw is None or mark.position is None:
            raise StoreEmptyError(REDIS, self._partition)
        if mark.log_id != self._log_id:
            raise ForeignStoreError(REDIS, mark.log_id, self._log_id)
        return mark.position, mark.reached, raw

    def _busy(self, replay: Replay, reached: int | None) -> set[str]:
        """Whose feeds may have more than the mark says."""
        return {
            owner for placed in replay.pending(reached) for owner in owners_of(placed.operations)
        }
