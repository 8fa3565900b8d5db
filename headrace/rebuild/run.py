"""The steps of a rebuild: partition by partition, first in Redis, then in Cassandra."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack, closing
from typing import Protocol

from msgspec import Struct

from connectors import cassandra, redis
from connectors.lag import LagReader
from connectors.log_id import log_id_of
from connectors.redis_keys import Keys
from connectors.redis_servers import Client
from connectors.redis_shadow import ShadowFeeds, scan_owners
from connectors.settings import Settings
from connectors.stack.addresses import Addresses
from headrace.rebuild.archive import CASSANDRA, Archive
from headrace.rebuild.feeds import REDIS, Feeds
from headrace.rebuild.log import PartitionLog
from headrace.rebuild.moment import Moment, MomentError, Window, window_of
from headrace.rebuild.patience import Patience, wait_for
from headrace.rebuild.replay import ENTRIES, Replay, Share
from headrace.rebuild.report import Report, StoreReport
from headrace.rebuild.rows import TimelineRows, scan_buckets
from headrace.rebuild.withheld import Withheld
from schemas.partitioning import partition_of
from schemas.topics import Topic
from streams.feeds import FEED_ENTRIES
from streams.timelines import Timelines

OWNERS_PER_ROUND = 20
"""Feeds that are read, or swapped, at once: some 20,000 entries."""

_ARCHIVE = "headrace-archive"
_JUDGED_BY = (Topic.VIEW_POSTS, Topic.VIEW_USERS, Topic.VIEW_MINE)


class Options(Struct, frozen=True, kw_only=True):
    """What to rebuild: the timelines of `users`, or all; as of a moment, or as they must be now."""

    users: tuple[str, ...] = ()
    moment: Moment | None = None
    at: str | None = None
    is_dry_run: bool = False
    entries: int = ENTRIES


class Progress(Protocol):
    """Where the steps say what they do; the command shows it."""

    def step(self, text: str) -> None:
        """A step has begun."""

    def detail(self, text: str) -> None:
        """How far the step is."""


class Side(Protocol):
    """A store with the timelines of a partition."""

    def position(self) -> int:
        """Where its sink stands."""

    def settle(self, replay: Replay, owners: list[str]) -> None:
        """Compare timelines, and mend what differs."""


def run(addresses: Addresses, config: Settings, options: Options, progress: Progress) -> Report:
    """Compare timelines with the log, and mend what differs; what came of it."""
    with ExitStack() as held:
        rebuild = Rebuild(addresses, config, options, progress, held)
        since = time.perf_counter()
        rebuild.run()
        rebuild.report.seconds = round(time.perf_counter() - since, 3)
        return rebuild.report


class Rebuild:
    """A rebuild; what it opens is closed when `held` is."""

    def __init__(
        self,
        addresses: Addresses,
        config: Settings,
        options: Options,
        progress: Progress,
        held: ExitStack,
    ) -> None:
        self.report = Report(
            is_dry_run=options.is_dry_run,
            at=options.at,
            redis=StoreReport(store=REDIS),
            cassandra=StoreReport(store=CASSANDRA),
        )
        self._brokers = addresses.kafka
        self._options = options
        self._progress = progress
        self._partitions = config.partitions
        self._keys = Keys(config.partitions)
        self._redis: Client = redis.connect(addresses.redis)
        held.callback(self._redis.close)
        cluster, self._session = cassandra.connect(addresses.cassandra, config.cassandra_keyspace)
        held.callback(cluster.shutdown)
        self._log_id = log_id_of(addresses.kafka)
        self._withheld = Withheld(self._session, is_as_of=options.moment is not None)

    def run(self) -> None:
        """All steps.

        Raises:
            MomentError: the log does not reach back so far, or users are of other partitions.
        """
        now_ms = _now_ms()
        partitions = partitions_of(self._options, self._partitions)
        if self._options.moment is not None:
            self._progress.step("waiting for what was deleted")
            self._wait_for_deletions()
        feeds: Mapping[int, Collection[str]] = {}
        buckets: Mapping[int, Mapping[str, Iterable[int]]] = {}
        if not self._options.users:
            self._progress.step("looking who has a timeline")
            feeds = scan_owners(self._redis, self._keys, partitions)
            buckets = scan_buckets(self._session, self._partitions, partitions)
        for partition in partitions:
            self._progress.step(f"partition {partition}")
            with PartitionLog(self._brokers, partition) as log:
                if not log.end():  # nothing was ever put onto a timeline there
                    continue
                window = window_of(log, partition, self._options.moment, now_ms)
                self._note(window)
                known = feeds.get(partition, ())
                self._each_share(log, window, self._feeds(partition), known, REDIS)
                found = buckets.get(partition, {})
                archive = self._archive(log, partition, found)
                self._each_share(log, window, archive, found, CASSANDRA)

    def _note(self, window: Window) -> None:
        if window.since is not None:
            begins = self.report.reaches_back_to
            self.report.reaches_back_to = max(window.since, begins or 0)

    def _feeds(self, partition: int) -> Feeds:
        return Feeds(
            ShadowFeeds(self._redis, self._keys, partition),
            self._withheld,
            self.report.redis,
            log_id=self._log_id,
            partition=partition,
            is_dry_run=self._options.is_dry_run,
        )

    def _archive(
        self,
        log: PartitionLog,
        partition: int,
        known: Mapping[str, Iterable[int]],
    ) -> Archive:
        return Archive(
            TimelineRows(self._session, self._log_id, partition),
            log,
            self._withheld,
            self.report.cassandra,
            known=known,
            is_dry_run=self._options.is_dry_run,
            clock=_now_ms,
        )

    def _each_share(
        self, log: PartitionLog, window: Window, side: Side, known: Iterable[str], store: str
    ) -> None:
        """Fold and settle all owners, or one part of them after the other where they are many."""
        users = set(self._options.users)
        shares = [Share()]
        while shares:
            share = shares.pop()
            is_wanted = users.__contains__ if users else share.has if share.bits else None
            timelines = Timelines(FEED_ENTRIES, is_wanted, window.horizon)
            position = wait_for(
                store,
                self._brokers,
                Topic.TIMELINE_WRITES,
                log.partition,
                side.position,
                window.resume,
            )
            replay = Replay(log, timelines, window, share)
            shares += replay.begin(position, None if users else self._options.entries, self._tell)
            owners = users or {*timelines.owners(), *filter(replay.share.has, known)}
            self._settle(side, replay, sorted(owners), store)
            self.report.records += replay.records

    def _tell(self, records: int) -> None:
        self._progress.detail(f"{records:,} records of the log")

    def _settle(self, side: Side, replay: Replay, owners: list[str], store: str) -> None:
        for first in range(0, len(owners), OWNERS_PER_ROUND):
            side.settle(replay, owners[first : first + OWNERS_PER_ROUND])
            self._progress.detail(f"{store}: {first:,} of {len(owners):,} users")

    def _wait_for_deletions(self) -> None:
        """Wait until Cassandra has what the views said of posts, users and shares when this began:
        what is deleted there does not come back."""
        patience = Patience(f"{CASSANDRA}, {', '.join(_JUDGED_BY)}")
        with closing(LagReader(self._brokers, {_ARCHIVE: _JUDGED_BY})) as reader:
            ends = {place: at.end for place, at in reader.standings(_ARCHIVE).items()}
            while True:
                now = reader.standings(_ARCHIVE)
                waiting = sum(max(0, end - now[place].committed) for place, end in ends.items())
                if not waiting:
                    return
                patience.wait(f"the sink has not written all; {waiting} records wait")


def partitions_of(options: Options, partitions: int) -> list[int]:
    """The partitions to rebuild.

    Raises:
        MomentError: an offset is given, and its partition is not known or not that of the users.
    """
    wanted = {partition_of(user_id, partitions) for user_id in options.users}
    moment = options.moment
    if moment is None or moment.offset is None:
        return sorted(wanted) or list(range(partitions))
    if moment.partition is None and len(wanted) != 1:
        raise MomentError(
            "an offset is of one partition: give it as partition:offset, or the users of one "
            "partition (--user)"
        )
    if moment.partition is None:
        return list(wanted)
    if moment.partition >= partitions:
        raise MomentError(f"there are the partitions 0 to {partitions - 1}")
    if wanted - {moment.partition}:
        raise MomentError(
            f"not all of these users are in partition {moment.partition}, but in "
            f"{', '.join(map(str, sorted(wanted)))}"
        )
    return [moment.partition]


def _now_ms() -> int:
    return int(time.time() * 1000)
