"""What a run found: figures per system, ratios and targets."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from statistics import quantiles

from msgspec import Struct


class Figures(Struct, frozen=True, kw_only=True):
    """One system's run; void (None) where it failed or counted wrong, and why is in `void`.

    `load` is the machine's load average of the last minute when the run began.
    """

    events: int
    load: float
    seconds: float | None = None
    cpu_seconds: float | None = None
    cpu_seconds_by_process: dict[str, float] = {}
    records_per_s: float | None = None
    records_per_cpu_s: float | None = None
    void: str | None = None


def measured(events: int, load: float, seconds: float, cpu: dict[str, float]) -> Figures:
    """The figures of a run that counted right."""
    total = sum(cpu.values())
    return Figures(
        events=events,
        load=load,
        seconds=round(seconds, 3),
        cpu_seconds=round(total, 3),
        cpu_seconds_by_process={name: round(used, 3) for name, used in cpu.items()},
        records_per_s=round(events / seconds, 1),
        records_per_cpu_s=round(events / total, 1),
    )


class Target(Struct, frozen=True):
    """What a figure must at least be, or at most; one that was not measured is neither met nor
    missed."""

    figure: str
    wanted: float
    found: float | None
    is_most: bool = False

    @property
    def verdict(self) -> str:
        """PASS, MISS or not measured."""
        if self.found is None:
            return "not measured"
        is_met = self.found <= self.wanted if self.is_most else self.found >= self.wanted
        return "PASS" if is_met else "MISS"


class Machine(Struct, frozen=True):
    """Where it ran."""

    cpus: int
    processor: str
    python: str


def this_machine() -> Machine:
    """This one."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if "model name" in line), model)
    return Machine(os.cpu_count() or 1, model, platform.python_version())


def percentiles(times: list[float]) -> tuple[float, float]:
    """The 50th and the 99th."""
    found = quantiles(times, n=100, method="inclusive")
    return round(found[49], 1), round(found[98], 1)


def ratio(of: float | None, to: float | None) -> float | None:
    """How many times as much, None when either is void."""
    return None if of is None or not to else round(of / to, 3)
