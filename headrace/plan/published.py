"""The worked numbers of requirement document 002, beside what its own formulas give."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from headrace.plan.estimates import Plan
from headrace.plan.workload import Workload

WORKLOAD = Workload(users=1_000_000_000, dau=100_000_000)
"""002, "Traffic Estimates"."""


class Worked(Struct, frozen=True):
    """A number as 002 prints it, with so many decimals, and the estimate that it is of."""

    label: str
    name: str
    printed: float
    decimals: int = 0


NUMBERS = (
    Worked("Daily Posts", "posts_per_day", 50_000_000),
    Worked("Write QPS", "posts_per_s", 579),
    Worked("Peak Write QPS", "peak_posts_per_s", 1_736),
    Worked("Read QPS", "reads_per_s", 11_574),
    Worked("Peak Read QPS", "peak_reads_per_s", 34_722),
    Worked("Yearly Posts", "posts_per_year", 18_250_000_000),
    Worked("Text Storage, TB", "text_tib", 0.02, 2),
    Worked("Image Storage, TB", "images_tib", 1.01, 2),
    Worked("Total Storage, TB", "published_tib", 1.03, 2),
    Worked("Daily Fanout Operations", "deliveries_per_day", 10_000_000_000),
    Worked("Fanout Ops/Second", "deliveries_per_s", 115_741),
)


class Compared(Struct, frozen=True):
    """A number of 002 beside that of its formula."""

    label: str
    printed: float
    computed: float
    agrees: bool


def compare(plan: Plan) -> Iterator[Compared]:
    """Each number of 002 beside that of a plan for its workload, rounded as 002 rounds."""
    for worked in NUMBERS:
        computed = round(plan.value(worked.name), worked.decimals or None)
        yield Compared(worked.label, worked.printed, computed, computed == worked.printed)
