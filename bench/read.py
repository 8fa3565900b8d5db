"""`headrace bench read`: how long pages of feeds take from one core, and how many there are."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from statistics import median, quantiles

import msgspec
import psutil  # type: ignore[import-untyped]

from api.auth import issue, signing_key
from bench.core import Say
from bench.engagements import PARTITIONS
from bench.figures import Machine, Target, ratio, this_machine
from bench.parts import Parts
from bench.read_load import Outcome, Plan, Reader
from bench.read_town import PAGE, RANKED, Town
from bench.workers import Workers, cpu_seconds
from connectors.prepare import prepare
from connectors.settings import settings
from connectors.stack.errors import StackError

READERS = 200
LATEST_MS = NEXT_MS = 10
NEW_MS = 50
TO_BARE = 0.5
_WARM_UP_S = 2.0
_MOST_S = 60.0
"""Beyond what a load is to take."""

_TOKEN_S = 3_600
_FEED = f"/api/v1/feed?limit={PAGE}"
_BARE = "/{number}?"
_API_CORE, _LOAD_CORE = 0, 1


class ReadReport(msgspec.Struct, kw_only=True):
    """Milliseconds from when a page was due to its end, at a steady rate; `most` is of `latest`
    alone, as many as one process answers; `bare` the same of a handler that only asks Redis the
    same and sends prepared bytes. Void (None) if a page was wrong."""

    machine: Machine
    load: float
    readers: int
    wanted_reads_per_s: float
    is_pinned: bool
    reads: int = 0
    reads_per_s: float | None = None
    cpu_ms_per_read: float | None = None
    latest_p50_ms: float | None = None
    latest_p99_ms: float | None = None
    ranked_next_p50_ms: float | None = None
    ranked_next_p99_ms: float | None = None
    ranked_p50_ms: float | None = None
    ranked_p99_ms: float | None = None
    most_reads_per_s: float | None = None
    most_cpu_ms_per_read: float | None = None
    bare_reads_per_s: float | None = None
    bare_cpu_ms_per_read: float | None = None
    ratio_to_bare: float | None = None
    void: str | None = None

    def targets(self) -> list[Target]:
        """What must hold."""
        return [
            Target("latest_p99_ms", LATEST_MS, self.latest_p99_ms, is_most=True),
            Target("ranked_next_p99_ms", NEXT_MS, self.ranked_next_p99_ms, is_most=True),
            Target("ranked_p99_ms", NEW_MS, self.ranked_p99_ms, is_most=True),
            Target("ratio_to_bare", TO_BARE, self.ratio_to_bare),
        ]

    @property
    def is_void(self) -> bool:
        """Whether it failed."""
        return self.void is not None


def run(parts: Parts, readers: int, rate: float, seconds: float, say: Say) -> ReadReport:
    """Fill Redis with a town, and read its timelines: at a rate, and then as fast as may be."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
    report = ReadReport(
        machine=this_machine(),
        load=round(os.getloadavg()[0], 2),
        readers=readers,
        wanted_reads_per_s=rate,
        is_pinned=cores >= {_API_CORE, _LOAD_CORE},
    )
    town = Town(readers, time.time_ns() // 1_000_000)
    prepare(parts.addresses)
    say(f"{readers:,} readers with 1,000 entries each")
    town.write(parts.addresses.redis, PARTITIONS)
    plan = _plan(town, parts, seconds, is_pinned=report.is_pinned)
    try:
        _measure(report, parts, plan, rate, say)
    except (StackError, TimeoutError) as error:
        report.void = str(error)
    return report


def _measure(report: ReadReport, parts: Parts, plan: Plan, rate: float, say: Say) -> None:
    with Workers(parts.addresses, parts.directory, say) as workers:
        command = [sys.executable, "-m", "headrace", "api", "--port"]
        api, plan.port = workers.start_server("api", command, "/healthz")
        if report.is_pinned:
            _pin(api)
        say(f"{plan.seconds:.0f} s of {rate:,.0f} reads/s")
        plan.rate = rate
        found, report.cpu_ms_per_read = _load(workers, parts, plan, api)
        _note(report, found)
        say(f"{plan.seconds:.0f} s of as many as are answered")
        plan.rate = None
        most, report.most_cpu_ms_per_read = _load(workers, parts, plan, api)
        report.most_reads_per_s = round(most.answers / most.seconds, 1)
        workers.end("api")
        say(f"{plan.seconds:.0f} s of a bare handler")
        file = _write(parts, plan)
        command = [sys.executable, "-m", "bench.read_bare", str(file)]
        bare, plan.port = workers.start_server("bare", command, "/0")
        if report.is_pinned:
            _pin(bare)
        plan.path = _BARE
        limit, report.bare_cpu_ms_per_read = _load(workers, parts, plan, bare)
    report.bare_reads_per_s = round(limit.answers / limit.seconds, 1)
    report.ratio_to_bare = ratio(report.most_reads_per_s, report.bare_reads_per_s)
    report.void = found.wrong or most.wrong or limit.wrong
    if report.void:
        report.latest_p99_ms = report.ranked_next_p99_ms = report.ranked_p99_ms = None
        report.ratio_to_bare = None


def _plan(town: Town, parts: Parts, seconds: float, *, is_pinned: bool) -> Plan:
    key = signing_key(settings().model_copy(update={"data_dir": parts.directory}))
    readers = [
        Reader(issue(key, name, _TOKEN_S), town.newest(name, PAGE), town.newest(name, RANKED))
        for name in town.followed
    ]
    core = _LOAD_CORE if is_pinned else None
    return Plan(0, _FEED, readers, seconds, min(_WARM_UP_S, seconds), core=core)


def _load(
    workers: Workers, parts: Parts, plan: Plan, server: psutil.Process
) -> tuple[Outcome, float]:
    """What came of a plan, and the milliseconds of CPU that a read took the server."""
    file, out = _write(parts, plan), parts.directory / "outcome"
    before = cpu_seconds(server)
    command = [sys.executable, "-m", "bench.read_load", str(file), str(out)]
    raw = workers.run("load", command, out, plan.warm_up_s + plan.seconds + _MOST_S)
    used = cpu_seconds(server) - before
    found = msgspec.msgpack.decode(raw, type=Outcome)
    return found, round(used * 1_000 / found.asked, 3)


def _write(parts: Parts, plan: Plan) -> Path:
    file = parts.directory / "plan"
    file.write_bytes(msgspec.msgpack.encode(plan))
    return file


def _note(report: ReadReport, found: Outcome) -> None:
    report.reads = found.answers
    report.reads_per_s = round(found.answers / found.seconds, 1)
    report.latest_p50_ms, report.latest_p99_ms = _percentiles(found.latest_ms)
    report.ranked_next_p50_ms, report.ranked_next_p99_ms = _percentiles(found.ranked_next_ms)
    report.ranked_p50_ms, report.ranked_p99_ms = _percentiles(found.ranked_new_ms)


def _percentiles(times: list[float]) -> tuple[float, float]:
    """The 50th and the 99th, to a hundredth."""
    return round(median(times), 2), round(quantiles(times, n=100, method="inclusive")[98], 2)


def _pin(process: psutil.Process) -> None:
    """Have all threads of a process run on one core, as those that it starts later will."""
    for thread in process.threads():
        os.sched_setaffinity(thread.id, {_API_CORE})
