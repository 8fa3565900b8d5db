"""`headrace bench core`: each system does the whole job once over the same filled topic."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Sequence

import msgspec
from redis import Redis

from bench.counts import LastCounts, wrong
from bench.figures import Figures, Machine, Target, measured, ratio, this_machine
from bench.limits import kafka_records_per_s, redis_sets_per_s
from bench.parts import Parts
from bench.systems import SYSTEMS
from bench.topic import INPUTS, WORKED_ON, fill, make
from bench.workers import Workers, cpu_seconds, patience_s
from connectors.stack.errors import StackError

_LOOK_EVERY_S = 0.01
_CHECK_EVERY_S = 1.0

_SHORT = {
    "stock": "stock",
    "kafka_streams": "kafka_streams",
    "quix": "quixstreams",
    "alo": "at_least_once",
}
"""The systems that Headrace is compared with, by their names in the ratios."""

Say = Callable[[str], None]


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a topic: how many events and pairs of a post and a user, and the likes
    that each post has in the end."""

    events: int
    reactions: int
    likes: dict[str, int]


class CoreReport(msgspec.Struct, kw_only=True):
    """Figures of each system, and Headrace's as multiples of the others'.

    Ratios are of records/s; those that end with `per_cpu` of records per CPU second.
    """

    machine: Machine
    events: int
    limits: dict[str, int]
    systems: dict[str, Figures]
    ratio_to_stock: float | None = None
    ratio_to_kafka_streams: float | None = None
    ratio_to_quix: float | None = None
    ratio_to_alo: float | None = None
    ratio_to_stock_per_cpu: float | None = None
    ratio_to_kafka_streams_per_cpu: float | None = None
    ratio_to_quix_per_cpu: float | None = None
    ratio_to_alo_per_cpu: float | None = None

    def compare(self) -> None:
        """Compute the ratios."""
        nothing = Figures(events=0, load=0.0)
        mine = self.systems.get("headrace", nothing)
        for short, name in _SHORT.items():
            theirs = self.systems.get(name, nothing)
            wall = ratio(mine.records_per_s, theirs.records_per_s)
            cpu = ratio(mine.records_per_cpu_s, theirs.records_per_cpu_s)
            setattr(self, f"ratio_to_{short}", wall)
            setattr(self, f"ratio_to_{short}_per_cpu", cpu)

    def targets(self) -> list[Target]:
        """What must hold."""
        mine = self.systems.get("headrace")
        return [
            Target("ratio_to_stock", 25, self.ratio_to_stock),
            Target("ratio_to_kafka_streams_per_cpu", 1.25, self.ratio_to_kafka_streams_per_cpu),
            Target("ratio_to_quix", 2, self.ratio_to_quix),
            Target("ratio_to_alo", 0.7, self.ratio_to_alo),
            Target("headrace records_per_cpu_s", 110_000, mine.records_per_cpu_s if mine else None),
        ]

    @property
    def is_void(self) -> bool:
        """Whether any system failed or counted wrong."""
        return any(figures.void for figures in self.systems.values())


def run(parts: Parts, names: Sequence[str], events: int, under: str, say: Say) -> CoreReport:
    """Measure the systems one after the other; `under` is a command to run the folds under."""
    brokers = parts.addresses.kafka
    works = prepare(parts, names, events, say)
    topic, most = max(works.items(), key=lambda item: item[1].events)
    limits = {
        "kafka_records_per_s": round(kafka_records_per_s(brokers, topic, most.events)),
        "redis_sets_per_s": round(redis_sets_per_s(parts.addresses.redis)),
    }
    found: dict[str, Figures] = {}
    for name in names:
        system = SYSTEMS[name]
        work = works[system.topic]
        say(f"{system.title}: {work.events:,} events")
        found[name] = measure(parts, name, work, under=under, say=say)
    report = CoreReport(machine=this_machine(), events=events, limits=limits, systems=found)
    report.compare()
    return report


def prepare(parts: Parts, names: Sequence[str], events: int, say: Say) -> dict[str, Work]:
    """Make and fill the topics that these systems read; what stands in each."""
    brokers = parts.addresses.kafka
    make(brokers, INPUTS)
    works: dict[str, Work] = {}
    for topic, limit in sorted({(SYSTEMS[name].topic, SYSTEMS[name].limit) for name in names}):
        count = min(events, limit or events)
        say(f"writing {count:,} events into {topic}")
        tally = fill(brokers, topic, count)
        works[topic] = Work(events=count, reactions=tally.reactions, likes=tally.likes())
    return works


def measure(parts: Parts, name: str, work: Work, *, under: str, say: Say) -> Figures:
    """Run a system once."""
    system, events = SYSTEMS[name], work.events
    client = Redis.from_url(parts.addresses.redis)
    client.flushall()
    make(parts.addresses.kafka, (*WORKED_ON, *system.changelogs))
    load = round(os.getloadavg()[0], 2)
    try:
        with Workers(parts.addresses, parts.directory, say) as workers:
            seconds, cpu = _run(name, events, workers, client, shlex.split(under))
        differing = wrong(client, system.counts, work.likes)
    except (StackError, TimeoutError) as error:
        return Figures(events=events, load=load, void=str(error))
    finally:
        client.close()
    if differing:
        void = f"{differing:,} of {len(work.likes):,} counts are wrong"
        return Figures(events=events, load=load, void=void)
    return measured(events, load, seconds, cpu)


def _run(
    name: str, events: int, workers: Workers, client: Redis, under: list[str]
) -> tuple[float, dict[str, float]]:
    """Seconds, and CPU seconds by process, from the mark of the start to the last count."""
    system, timeout_s = SYSTEMS[name], patience_s(events)
    sink = workers.start_ready({f"{name}-sink": system.sink})[0] if system.sink else None
    main, start = workers.start_measured(name, [*under, *system.command(workers)])
    sink_before = cpu_seconds(sink) if sink else 0.0
    workers.say(f"  it is process {main.pid}" + (f", its sink {sink.pid}" if sink else ""))
    last = LastCounts(client, system.counts)
    checked = time.monotonic()
    while not last.are_there():
        now = time.monotonic()
        if now - checked > _CHECK_EVERY_S:
            checked = now
            workers.check()
        if now - start.at > timeout_s:
            raise workers.too_late(f"{system.title}: the last count was not there", timeout_s)
        time.sleep(_LOOK_EVERY_S)
    seconds = time.monotonic() - start.at
    cpu = {name: cpu_seconds(main) - start.cpu}
    if sink is not None:
        cpu[f"{name}-sink"] = cpu_seconds(sink) - sink_before
    return seconds, cpu
