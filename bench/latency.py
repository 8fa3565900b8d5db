"""`headrace bench latency`: how long an event takes until its count can be read in Redis."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import closing

import msgspec
from confluent_kafka import Producer
from redis import Redis

from bench.core import Say
from bench.counts import ViewCounts
from bench.engagements import PARTITIONS
from bench.figures import Machine, Target, percentiles, this_machine
from bench.load import MOST, READERS
from bench.parts import Parts
from bench.systems import SYSTEMS
from bench.topic import INPUTS, WORKED_ON, make, records
from bench.workers import Workers
from connectors.lag import LagReader
from connectors.stack.errors import StackError
from schemas.codec import encode
from schemas.events import Engagement
from schemas.partitioning import partition_of
from schemas.topics import Topic

NAME = "headrace"
PROBE_EVERY_S = 0.05
IDLE_PART = 3  # of the time under load
_LOOK_EVERY_S = 0.002
_LOST_AFTER_S = 30.0
MOST_S = 24.0
_WARM_UP_S = 6.0
_SETTLE_S = 2.0
_ENOUGH = 0.9  # of the wanted load


class LatencyReport(msgspec.Struct, kw_only=True):
    """Milliseconds from when an event is due to its count in Redis: idle, with nothing but the
    probes, and then under a steady load of records/s; the most that was carried, if measured."""

    machine: Machine
    load: float
    most_records_per_s: float | None = None
    wanted_records_per_s: float = 0.0
    records_per_s: float | None = None
    probes: int = 0
    idle_p50_ms: float | None = None
    idle_p99_ms: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    void: str | None = None

    def targets(self) -> list[Target]:
        """What must hold."""
        return [
            Target("idle_p50_ms", 60, self.idle_p50_ms, is_most=True),
            Target("p50_ms", 150, self.p50_ms, is_most=True),
            Target("p99_ms", 1_000, self.p99_ms, is_most=True),
        ]

    @property
    def is_void(self) -> bool:
        """Whether it failed."""
        return self.void is not None


class Probes:
    """Likes of posts of their own, whatever became of those before; each counts from when it was
    due, so that one that could not be sent in time is as late as it was."""

    def __init__(self, brokers: str, url: str) -> None:
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})
        self._client = Redis.from_url(url)
        self._counts = ViewCounts()
        self._waiting: dict[str, float] = {}
        self._times_ms: list[float] = []
        self.sent = 0

    def run(self, seconds: float) -> list[float]:
        """Send one every 50 ms, and wait for the last ones; the milliseconds that each took.

        Raises:
            TimeoutError: one was not counted within 30 s.
        """
        self._times_ms = []
        begun, sent_before = time.monotonic(), self.sent
        while True:
            after = (self.sent - sent_before) * PROBE_EVERY_S
            if after < seconds:
                if time.monotonic() >= begun + after:
                    self._send(begun + after)
            elif not self._waiting:
                return self._times_ms
            self._look()
            time.sleep(_LOOK_EVERY_S)

    def close(self) -> None:
        """Let the connections go."""
        self._producer.flush()
        self._client.close()

    def _send(self, due: float) -> None:
        post_id = f"probe{self.sent}"
        self.sent += 1
        event = Engagement(
            event_id=post_id, action="like", user_id="probe", post_id=post_id, at=1_800_000_000_000
        )
        self._waiting[self._counts.key(post_id)] = due
        partition = partition_of(post_id, PARTITIONS)
        self._producer.produce(str(Topic.ENGAGEMENTS), encode(event), post_id, partition)
        self._producer.poll(0)

    def _look(self) -> None:
        if not self._waiting:
            return
        keys = list(self._waiting)
        found: list[bytes | None] = self._client.mget(keys)  # type: ignore[assignment]
        now = time.monotonic()
        for key, value in zip(keys, found, strict=True):
            if value is not None:
                self._times_ms.append((now - self._waiting.pop(key)) * 1_000)
            elif now - self._waiting[key] > _LOST_AFTER_S:
                raise TimeoutError(f"{key} did not come within {_LOST_AFTER_S:.0f} s")


def run(parts: Parts, rate: float | None, seconds: float, say: Say) -> LatencyReport:
    """Probe under a load of `rate` records/s, by default half of the most that is carried."""
    report = LatencyReport(machine=this_machine(), load=round(os.getloadavg()[0], 2))
    try:
        if rate is None:
            report.most_records_per_s = _most(parts, say)
            rate = report.most_records_per_s / 2
        report.wanted_records_per_s = round(rate, 1)
        _probe(report, parts, seconds, say)
    except (StackError, TimeoutError) as error:
        report.void = str(error)
    return report


def _most(parts: Parts, say: Say) -> float:
    """The records/s that are read while another process writes as fast as it is let, with at most
    `AHEAD` that wait."""
    with Workers(parts.addresses, parts.directory, say) as workers:
        _start(workers, parts)
        say(f"{MOST_S:.0f} s of as many records as are read, for the maximum")
        _load(workers, MOST, MOST_S)
        time.sleep(_WARM_UP_S)
        with closing(LagReader(parts.addresses.kafka, READERS)) as lag:
            waited = lag.read().total
            since = time.monotonic()
            written = _records_per_s(parts, lambda: time.sleep(MOST_S - _WARM_UP_S - _SETTLE_S))
            more = (lag.read().total - waited) / (time.monotonic() - since)
        workers.check()  # that there was something to write until now
        return round(written - more, 1)


def _probe(report: LatencyReport, parts: Parts, seconds: float, say: Say) -> None:
    rate = report.wanted_records_per_s
    with (
        Workers(parts.addresses, parts.directory, say) as workers,
        closing(Probes(parts.addresses.kafka, parts.addresses.redis)) as probes,
    ):
        _start(workers, parts)
        say(f"{seconds / IDLE_PART:.0f} s of probes alone")
        report.idle_p50_ms, report.idle_p99_ms = percentiles(probes.run(seconds / IDLE_PART))
        say(f"{seconds:.0f} s of probes under {rate:,.0f} records/s")
        _load(workers, str(rate), seconds + 3 * _SETTLE_S)
        time.sleep(_SETTLE_S)
        times_ms: list[float] = []
        report.records_per_s = _records_per_s(parts, lambda: times_ms.extend(probes.run(seconds)))
    report.probes = len(times_ms)
    if report.records_per_s < _ENOUGH * rate:
        report.void = f"the load came to {report.records_per_s:,.0f} records/s only"
        return
    report.p50_ms, report.p99_ms = percentiles(times_ms)
    report.max_ms = round(max(times_ms), 1)


def _start(workers: Workers, parts: Parts) -> None:
    """Start fold and sink, on empty topics and an empty Redis."""
    system = SYSTEMS[NAME]
    make(parts.addresses.kafka, (*INPUTS, *WORKED_ON))
    with Redis.from_url(parts.addresses.redis) as client:
        client.flushall()
    assert system.sink is not None
    workers.start_ready({f"{NAME}-sink": system.sink})
    workers.start_measured(NAME, system.command(workers))


def _load(workers: Workers, rate: str, seconds: float) -> None:
    """Start writing."""
    workers.start_measured("load", [sys.executable, "-m", "bench.load", rate, str(seconds)])


def _records_per_s(parts: Parts, meanwhile: Callable[[], None]) -> float:
    """How many engagements are written a second while something is done."""
    brokers = parts.addresses.kafka
    before, since = records(brokers, [Topic.ENGAGEMENTS]), time.monotonic()
    meanwhile()
    took = time.monotonic() - since
    return round((records(brokers, [Topic.ENGAGEMENTS]) - before) / took, 1)
