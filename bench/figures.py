"""What a run found: figures per system, ratios and targets."""

from __future__ import annotations

from msgspec import Struct


class Figures(Struct, frozen=True, kw_only=True):
    """One system's run; void (None) where it failed or counted wrong, and why is in `void`."""

    events: int
    seconds: float | None = None
    cpu_seconds: float | None = None
    cpu_seconds_by_process: dict[str, float] = {}
    void: str | None = None
    records_per_s: float | None = None
    records_per_cpu_s: float | None = None


def measured(events: int, seconds: float, cpu: dict[str, float]) -> Figures:
    """The figures of a run that counted right."""
    total = sum(cpu.values())
    return Figures(
        events=events,
        seconds=round(seconds, 3),
        cpu_seconds=round(total, 3),
        cpu_seconds_by_process={name: round(used, 3) for name, used in cpu.items()},
        records_per_s=round(events / seconds, 1),
        records_per_cpu_s=round(events / total, 1),
    )
