"""`headrace bench fanout`: from posts to entries on timelines in Redis, and to rows of them in
Cassandra."""

from __future__ import annotations

import time
from contextlib import closing

import msgspec
import psutil  # type: ignore[import-untyped]
from redis import Redis

from bench import archive
from bench.archive import ArchiveFigures
from bench.core import Say
from bench.crowd import Crowd, publish
from bench.engagements import PARTITIONS
from bench.figures import Machine, Target, ratio, this_machine
from bench.parts import Parts
from bench.topic import make
from bench.workers import Workers, cpu_seconds
from connectors.lag import GROUPS, wait_until_quiet
from connectors.redis_keys import Keys, member
from connectors.stack.errors import StackError
from schemas.partitioning import partition_of
from schemas.topics import Topic, declared

AUDIENCES = (10, 200, 1_000, 9_000)
MIN_RATIO = 0.4
FLAT = (100, 10_000, 1_000_000)
FLAT_AUDIENCE = 100
FLAT_RATIO = 1.5
MAX_BYTES_PER_ENTRY = 100
MIN_ARCHIVE_ROWS = 30_000
QUIET_S = 600.0
APPS = {group: topics for group, topics in GROUPS.items() if group != "headrace-archive"}
_AT_A_TIME = 10_000
_LOOKED_AT = 200
_RAW = 300_000
_LOST_AFTER_S = 300.0
_LOOK_EVERY_S = 0.01


class FanOutFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A crowd's posts; void (None) if not every entry was there. CPU time of the fold's process and
    the sink's, in µs."""

    users: int
    audience: int
    deliveries: int
    seconds: float | None = None
    cpu_seconds: float | None = None
    deliveries_per_s: float | None = None
    fold_us_per_delivery: float | None = None
    sink_us_per_delivery: float | None = None
    bytes_per_entry: float | None = None
    void: str | None = None


class FanOutReport(msgspec.Struct, kw_only=True):
    """Figures by audience, and by the number of users at one audience; the raw loop's deliveries/s
    in the same run, and ratios to it."""

    machine: Machine
    raw_deliveries_per_s: float
    by_audience: dict[str, FanOutFigures]
    by_users: dict[str, FanOutFigures]
    archive: ArchiveFigures | None = None
    ratio_to_raw_10: float | None = None
    ratio_to_raw_200: float | None = None
    ratio_to_raw_1000: float | None = None
    ratio_to_raw_9000: float | None = None
    ratio_of_costs: float | None = None
    bytes_per_entry: float | None = None
    archive_rows_per_s: float | None = None

    def compare(self) -> None:
        """Compute the ratios: to the raw loop, and of the fold's greatest cost of a delivery to
        that among the fewest users. (The sink's is less among few, as entries of one user share a
        command.)"""
        for audience, found in self.by_audience.items():
            share = ratio(found.deliveries_per_s, self.raw_deliveries_per_s)
            setattr(self, f"ratio_to_raw_{audience}", share)
        costs = [found.fold_us_per_delivery for found in self.by_users.values()]
        if costs and all(costs):
            self.ratio_of_costs = ratio(max(cost or 0 for cost in costs), costs[0])
        sizes = [each.bytes_per_entry for each in self.by_users.values() if each.bytes_per_entry]
        self.bytes_per_entry = sizes[0] if sizes else None
        self.archive_rows_per_s = self.archive.rows_per_s if self.archive else None

    def targets(self) -> list[Target]:
        """What must hold."""
        return [
            Target("ratio_to_raw_200", MIN_RATIO, self.ratio_to_raw_200),
            Target("ratio_to_raw_1000", MIN_RATIO, self.ratio_to_raw_1000),
            Target("ratio_to_raw_9000", MIN_RATIO, self.ratio_to_raw_9000),
            Target("ratio_of_costs", FLAT_RATIO, self.ratio_of_costs, is_most=True),
            Target("bytes_per_entry", MAX_BYTES_PER_ENTRY, self.bytes_per_entry, is_most=True),
            Target("archive_rows_per_s", MIN_ARCHIVE_ROWS, self.archive_rows_per_s),
        ]

    @property
    def is_void(self) -> bool:
        """Whether any part failed."""
        figures = (*self.by_audience.values(), *self.by_users.values(), self.archive)
        return any(each is None or each.void for each in figures)


def crowds(deliveries: int) -> tuple[list[Crowd], list[Crowd]]:
    """The crowds by audience, and those by users, whose posts come to some `deliveries`; those that
    have more followers or users than that are left out."""
    by_audience: list[Crowd] = []
    for audience in filter(deliveries.__ge__, AUDIENCES):
        sources = max(1, min(100_000, deliveries) // audience)
        posts = max(1, deliveries // (sources * audience))
        by_audience.append(
            Crowd(
                name=f"A{len(by_audience)}",
                users=sources * audience,
                sources=sources,
                audience=audience,
                posts=posts,
            )
        )
    by_users: list[Crowd] = []
    for users in filter(deliveries.__ge__, FLAT):
        sources = max(FLAT_AUDIENCE, users // FLAT_AUDIENCE)
        fewer = min(deliveries, users * 1_000)  # as many as a feed holds
        sources = max(1, min(sources, fewer // FLAT_AUDIENCE))
        posts = max(1, fewer // (sources * FLAT_AUDIENCE))
        by_users.append(
            Crowd(
                name=f"N{len(by_users)}",
                users=users,
                sources=sources,
                audience=FLAT_AUDIENCE,
                posts=posts,
            )
        )
    return by_audience, by_users


def run(parts: Parts, deliveries: int, say: Say, *, is_lasting: bool) -> FanOutReport:
    """Fan out the posts of one crowd after the other, by the same two processes; into Cassandra
    with parts of its own, lasting ones for a run that lets them warm up."""
    by_audience, by_users = crowds(deliveries)
    make(parts.addresses.kafka, [spec.name for spec in declared()])
    report = FanOutReport(
        machine=this_machine(), raw_deliveries_per_s=0.0, by_audience={}, by_users={}
    )
    with (
        Workers(parts.addresses, parts.directory, say) as workers,
        closing(Redis.from_url(parts.addresses.redis)) as client,
    ):
        app, sink = workers.start_ready({"app": "topology:app", "views": "topology:views"})
        processes = (app, sink)
        warm_up = msgspec.structs.replace(by_audience[0], name="W0", posts=1)
        _measure(parts, warm_up, processes, workers, client)
        for each, found in ((by_audience, report.by_audience), (by_users, report.by_users)):
            for crowd in each:
                say(f"{crowd.deliveries:,} deliveries: {crowd.audience:,} of {crowd.users:,} users")
                figures = _measure(parts, crowd, processes, workers, client)
                key = str(crowd.audience if each is by_audience else crowd.users)
                found[key] = figures
        say("the same with a pipeline of redis-py")
        report.raw_deliveries_per_s = _raw(client, by_audience[-1])
    say("timelines in Cassandra")
    directory = parts.directory / "archive"
    report.archive = archive.measure(directory, by_audience[0], say, is_lasting=is_lasting)
    report.compare()
    return report


def _measure(
    parts: Parts,
    crowd: Crowd,
    processes: tuple[psutil.Process, psutil.Process],
    workers: Workers,
    client: Redis,
) -> FanOutFigures:
    figures = FanOutFigures(users=crowd.users, audience=crowd.audience, deliveries=crowd.deliveries)
    brokers = parts.addresses.kafka
    try:
        publish(brokers, Topic.USERS, crowd.reads())
        publish(brokers, Topic.FOLLOWS, crowd.follows())
        wait_until_quiet(brokers, QUIET_S, groups=APPS)
        before, began = list(map(cpu_seconds, processes)), time.monotonic()
        publish(brokers, Topic.POSTS, crowd.written())
        _wait_for_all(client, crowd, workers)
        seconds = time.monotonic() - began
        after = list(map(cpu_seconds, processes))
        entries, size = count(client, crowd)
        if entries < crowd.deliveries:
            wait_until_quiet(brokers, QUIET_S, groups=APPS)
            entries, size = count(client, crowd)
    except (StackError, TimeoutError) as error:
        return msgspec.structs.replace(figures, void=str(error))
    if entries != crowd.deliveries:
        return msgspec.structs.replace(
            figures, void=f"{entries:,} of {crowd.deliveries:,} entries are there"
        )
    return msgspec.structs.replace(
        figures,
        seconds=round(seconds, 3),
        cpu_seconds=round(sum(after) - sum(before), 3),
        deliveries_per_s=round(crowd.deliveries / seconds, 1),
        fold_us_per_delivery=round((after[0] - before[0]) / crowd.deliveries * 1e6, 2),
        sink_us_per_delivery=round((after[1] - before[1]) / crowd.deliveries * 1e6, 2),
        bytes_per_entry=round(size, 1),
    )


def _wait_for_all(client: Redis, crowd: Crowd, workers: Workers) -> None:
    """Wait until each author's last follower of each partition has all entries: posts of an author
    need not come in the order in which they were written, followers come in that of their ids."""
    keys = Keys(PARTITIONS)
    last: dict[str, None] = {}
    for source in range(crowd.sources):
        readers = crowd.followers(source)
        last |= dict.fromkeys({partition_of(each, PARTITIONS): each for each in readers}.values())
    waiting = [keys.feed(user_id) for user_id in last]
    entries = crowd.deliveries // crowd.users
    deadline = time.monotonic() + _LOST_AFTER_S
    checked = time.monotonic()
    while waiting:
        some = waiting[-_LOOKED_AT:]
        pipe = client.pipeline(transaction=False)
        for feed in some:
            pipe.zcard(feed)
        left = [feed for feed, size in zip(some, pipe.execute(), strict=True) if size < entries]
        waiting = waiting[: -len(some)] + left
        if not left:
            continue
        time.sleep(_LOOK_EVERY_S)
        if time.monotonic() > checked + 1:
            checked = time.monotonic()
            workers.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(waiting):,} timelines did not get all entries")


def count(client: Redis, crowd: Crowd) -> tuple[int, float]:
    """The entries on all timelines, and the bytes of one in the first thousand."""
    keys = [Keys(PARTITIONS).feed(crowd.user(number)) for number in range(crowd.users)]
    entries = size = sampled = 0
    for start in range(0, len(keys), _AT_A_TIME):
        pipe = client.pipeline(transaction=False)
        for key in keys[start : start + _AT_A_TIME]:
            pipe.zcard(key)
        entries += sum(pipe.execute())
    for key in keys[:1_000]:
        size += client.memory_usage(key, samples=0) or 0
        sampled += client.zcard(key)
    return entries, size / max(1, sampled)


def _raw(client: Redis, crowd: Crowd) -> float:
    """Deliveries/s of a plain loop: one ZADD for each, 10,000 a round trip, nothing else."""
    keys = Keys(PARTITIONS)
    deliveries = (
        (f"raw:{keys.feed(user_id)}", member(crowd.post(source, number), crowd.source(source)))
        for number in range(crowd.posts)
        for source in range(crowd.sources)
        for user_id in crowd.followers(source)
    )
    wanted = [each for each, _ in zip(deliveries, range(min(_RAW, crowd.deliveries)), strict=False)]
    began = time.perf_counter()
    for start in range(0, len(wanted), _AT_A_TIME):
        pipe = client.pipeline(transaction=False)
        for key, entry in wanted[start : start + _AT_A_TIME]:
            pipe.zadd(key, {entry: crowd.began_at})
        pipe.execute()
    return round(len(wanted) / (time.perf_counter() - began), 1)
