"""The timelines of a partition in Cassandra: compared with the log, and corrected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from headrace.rebuild.compare import Difference, compare_rows, without_pending
from headrace.rebuild.log import PartitionLog
from headrace.rebuild.patience import StoreEmptyError
from headrace.rebuild.replay import Replay
from headrace.rebuild.report import StoreReport
from headrace.rebuild.rows import TimelineRows, buckets_of, missed_removals
from headrace.rebuild.withheld import Withheld

CASSANDRA = "Cassandra"


class Archive:
    """Compares rows, and corrects those that differ unless `is_dry_run`.

    `known` has the buckets that owners are known to have rows in.
    """

    def __init__(
        self,
        rows: TimelineRows,
        log: PartitionLog,
        withheld: Withheld,
        report: StoreReport,
        *,
        known: Mapping[str, Iterable[int]],
        is_dry_run: bool,
        clock: Callable[[], int],
    ) -> None:
        self._rows = rows
        self._log = log
        self._withheld = withheld
        self._report = report
        self._known = known
        self._is_dry_run = is_dry_run
        self._clock = clock

    def position(self) -> int:
        """Where the sink stands.

        Raises:
            StoreEmptyError: it has written nothing.
            ForeignStoreError: what it wrote is of another log.
        """
        position = self._rows.position()
        if position is None:
            raise StoreEmptyError(CASSANDRA, self._rows.partition)
        return position

    def settle(self, replay: Replay, owners: Iterable[str]) -> None:
        """Compare the rows of owners, correct what differs, and look again.

        Raises:
            CorrectionError: no write time is left for it.
        """
        found = self._differences(replay, owners)
        self._report.users += len(found)
        wrong = {owner: difference for owner, difference in found.items() if difference}
        for owner, difference in wrong.items():
            self._report.add(owner, difference)
        if not wrong or self._is_dry_run:
            return
        self._correct(replay, wrong)
        left = [owner for owner, rest in self._differences(replay, wrong).items() if rest]
        self._report.left += left
        self._report.mended += len(wrong) - len(left)

    def _differences(self, replay: Replay, owners: Iterable[str]) -> dict[str, Difference]:
        """What is wrong for certain: what the sink may be writing now, it writes whatever is there.

        The log's end is asked for after the rows were read: what the sink had written of what is
        behind its position was committed by then.
        """
        replay.advance(max(self.position(), replay.position))
        now_ms = self._clock()
        timelines = replay.timelines
        buckets = {
            owner: buckets_of(
                [(*entry, at) for entry, at in timelines.of(owner).entries.items()],
                self._known.get(owner, ()),
                now_ms,
            )
            for owner in owners
        }
        there = self._rows.read(buckets)
        pending = replay.pending(self._log.end())
        operations = [operation for placed in pending for operation in placed.operations]
        found = {
            owner: compare_rows(timelines, owner, rows, now_ms) for owner, rows in there.items()
        }
        found = without_pending(found, operations)
        withheld = self._withheld.of({owner: each.missing for owner, each in found.items()})
        return {owner: each.without(withheld.get(owner, ())) for owner, each in found.items()}

    def _correct(self, replay: Replay, wrong: Mapping[str, Difference]) -> None:
        """Write what was found, at a write time before all that the log had not folded then: so
        what the sink writes since wins, in whatever order they come.

        Only when it removes a whole source it deletes what it finds: that is done once more.
        """
        given = [(owner, row) for owner, each in wrong.items() for row in each.missing]
        taken = [(owner, row) for owner, each in wrong.items() for row in each.extra]
        timestamp = self._rows.time_of_correction(replay.position)
        self._rows.correct(given, taken, timestamp, self._clock())
        if given:
            since = replay.pending(self._log.end())
            self._rows.take_at(missed_removals(given, since))
