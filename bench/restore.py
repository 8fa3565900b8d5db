"""`headrace bench restore`: how fast the state of the job comes back from its changelog."""

from __future__ import annotations

import os
import sys

import msgspec

from bench.core import Say, Work, measure, prepare
from bench.figures import Machine, Target, ratio, this_machine
from bench.parts import Parts
from bench.systems import SYSTEMS
from bench.topic import records
from bench.workers import Workers, patience_s
from connectors.stack.errors import StackError


class RestoreFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One system's restore of `rows` changelog records; void (None) if its state is not whole."""

    load: float
    rows: int = 0
    seconds: float | None = None
    cpu_seconds: float | None = None
    rows_per_s: float | None = None
    rows_per_cpu_s: float | None = None
    void: str | None = None


class RestoreReport(msgspec.Struct, kw_only=True):
    """Figures of each system; the ratio is of rows/s."""

    machine: Machine
    systems: dict[str, RestoreFigures]
    ratio_to_stock: float | None = None

    def compare(self) -> None:
        """Compute the ratio."""
        nothing = RestoreFigures(load=0.0)
        mine = self.systems.get("headrace", nothing)
        theirs = self.systems.get("stock", nothing)
        self.ratio_to_stock = ratio(mine.rows_per_s, theirs.rows_per_s)

    def targets(self) -> list[Target]:
        """What must hold."""
        return [
            Target("headrace rows_per_s", 150_000, self.systems["headrace"].rows_per_s),
            Target("ratio_to_stock", 8, self.ratio_to_stock),
        ]

    @property
    def is_void(self) -> bool:
        """Whether a restore failed or was not whole."""
        return any(figures.void for figures in self.systems.values())


def run(parts: Parts, events: int, say: Say) -> RestoreReport:
    """Let each system do the job once, which writes its changelog, and then restore from it."""
    names = ("stock", "headrace")
    works = prepare(parts, names, events, say)
    found: dict[str, RestoreFigures] = {}
    for name in names:
        system = SYSTEMS[name]
        work = works[system.topic]
        say(f"{system.title}: writing the changelog of {work.events:,} events")
        job = measure(parts, name, work, under="", say=say)
        if job.void:
            found[name] = RestoreFigures(load=job.load, void=job.void)
        else:
            say(f"{system.title}: restoring")
            found[name] = _restore(parts, name, work, say)
    report = RestoreReport(machine=this_machine(), systems=found)
    report.compare()
    return report


def _restore(parts: Parts, name: str, work: Work, say: Say) -> RestoreFigures:
    load = round(os.getloadavg()[0], 2)
    with Workers(parts.addresses, parts.directory, say) as workers:
        if name == "stock":
            command = SYSTEMS[name].command(workers)
        else:
            command = [sys.executable, "-m", "bench.restore_headrace"]
        try:
            restored = workers.run_restoring(name, command, patience_s(work.events))
        except (StackError, TimeoutError) as error:
            return RestoreFigures(load=load, void=str(error))
    if restored.reactions != work.reactions:
        void = f"{restored.reactions:,} of {work.reactions:,} reactions were restored"
        return RestoreFigures(load=load, void=void)
    rows = restored.rows
    if rows is None:
        rows = records(parts.addresses.kafka, SYSTEMS[name].changelogs)
    return RestoreFigures(
        load=load,
        rows=rows,
        seconds=round(restored.seconds, 3),
        cpu_seconds=round(restored.cpu_seconds, 3),
        rows_per_s=round(rows / restored.seconds, 1),
        rows_per_cpu_s=round(rows / restored.cpu_seconds, 1),
    )
