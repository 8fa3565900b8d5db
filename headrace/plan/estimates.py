"""Rates, bytes, processors and nodes of a workload, each with its formula."""

from __future__ import annotations

from math import ceil

from msgspec import Struct

from headrace.plan import figures
from headrace.plan.workload import DAY_S, Hardware, Workload

YEAR_DAYS = 365
GIB = 1024**3
TIB = 1024**4
US = 1e-6
MIN_PARTITIONS = 8
PARTITIONS_A_CORE = 4
"""So that work is even when a worker comes or goes."""


class Estimate(Struct, frozen=True):
    """One figure of a plan: its group, name, value and unit, and how it is computed."""

    group: str
    name: str
    value: float
    unit: str
    formula: str


class Plan(Struct, frozen=True):
    """All estimates; the parts of all processors, and of all bytes, greatest first."""

    estimates: list[Estimate]
    cores: dict[str, float]
    bytes: dict[str, float]

    def value(self, name: str) -> float:
        """An estimate by its name.

        Raises:
            KeyError: there is none.
        """
        return {each.name: each.value for each in self.estimates}[name]


class _Sheet:
    """Estimates as they are added."""

    def __init__(self) -> None:
        self.estimates: list[Estimate] = []
        self._group = ""

    def value(self, name: str) -> float:
        """One that was added."""
        return next(each.value for each in self.estimates if each.name == name)

    def begin(self, group: str) -> None:
        self._group = group

    def add(self, name: str, value: float, unit: str, formula: str) -> float:
        self.estimates.append(Estimate(self._group, name, value, unit, formula))
        return value


def plan_for(load: Workload, hardware: Hardware) -> Plan:
    """What a workload needs."""
    sheet = _Sheet()
    _rates(sheet, load)
    _published(sheet, load)
    stored = _bytes(sheet, load, hardware)
    cores = _cores(sheet)
    _nodes(sheet, hardware, stored, cores)
    return Plan(sheet.estimates, _greatest_first(cores), _greatest_first(stored))


def _rates(sheet: _Sheet, load: Workload) -> None:
    sheet.begin("rates")
    posts = sheet.add("posts_per_day", load.dau * load.posts_per_day, "", "dau * posts per day")
    reads = sheet.add("reads_per_day", load.dau * load.reads_per_day, "", "dau * reads per day")
    acts = sheet.add(
        "engagements_per_day", load.dau * load.engagements_per_day, "", "dau * engagements per day"
    )
    deliveries = sheet.add(
        "deliveries_per_day",
        posts * load.follows * (1 - load.heavy_share),
        "",
        "posts_per_day * follows * (1 - heavy share): as many followers as follows",
    )
    for name, per_day in (
        ("posts", posts),
        ("reads", reads),
        ("engagements", acts),
        ("deliveries", deliveries),
    ):
        rate = sheet.add(f"{name}_per_s", per_day / DAY_S, "/s", f"{name}_per_day / 86,400")
        sheet.add(f"peak_{name}_per_s", rate * load.peak, "/s", f"{name}_per_s * peak")


def _published(sheet: _Sheet, load: Workload) -> None:
    """What users publish in a year, whatever keeps it."""
    sheet.begin("published in a year")
    posts = sheet.add(
        "posts_per_year", sheet.value("posts_per_day") * YEAR_DAYS, "", "posts_per_day * 365"
    )
    text = sheet.add(
        "text_tib", posts * load.post_bytes / TIB, "TiB", "posts_per_year * post bytes"
    )
    images = sheet.add(
        "images_tib",
        posts * load.image_share * load.image_bytes / TIB,
        "TiB",
        "posts_per_year * image share * image bytes",
    )
    sheet.add("published_tib", text + images, "TiB", "text_tib + images_tib")


def _bytes(sheet: _Sheet, load: Workload, hardware: Hardware) -> dict[str, float]:
    sheet.begin("bytes")
    day = {name: sheet.value(f"{name}_per_day") for name in ("posts", "engagements", "deliveries")}
    copies = hardware.replicas
    events = 2 * (
        day["posts"] * load.post_bytes + day["engagements"] * figures.ENGAGEMENT_BYTES.value
    )
    kept = {
        "Kafka: events": (
            events * figures.LOG_DAYS.value * copies,
            "kafka_events",
            "2 logs * (posts * post bytes + engagements * bytes) * 7 days * replicas",
        ),
        "Kafka: timeline-writes": (
            day["deliveries"] * figures.OPERATION_BYTES.value * figures.WRITES_DAYS.value * copies,
            "kafka_writes",
            "deliveries_per_day * bytes * 37 days * replicas",
        ),
        "Cassandra: timelines": (
            day["deliveries"] * figures.ROW_BYTES.value * figures.TIMELINE_DAYS.value * copies,
            "cassandra_timelines",
            "deliveries_per_day * bytes a row * 30 days * replicas",
        ),
        "Cassandra: posts of a year": (
            sheet.value("posts_per_year") * load.post_bytes * copies,
            "cassandra_posts",
            "posts_per_year * post bytes * replicas",
        ),
        "Cassandra: follows": (
            load.users * load.follows * 2 * figures.ROW_BYTES.value * copies,
            "cassandra_follows",
            "users * follows * 2 tables * bytes a row * replicas",
        ),
        "Redis: follows": (
            load.users * load.follows * figures.ENTRY_BYTES.value,
            "redis_follows",
            "users * follows * bytes an entry",
        ),
        "Workers: rows of state": (
            (load.users * load.follows * 2 + day["engagements"] * YEAR_DAYS)
            * figures.STATE_BYTES.value,
            "workers_state",
            "(users * follows * 2 folds + a year's engagements) * bytes a row",
        ),
        "Redis: feeds": (
            load.dau * figures.FEED_ENTRIES.value * figures.ENTRY_BYTES.value,
            "redis_feeds",
            "dau * 1,000 entries * bytes an entry",
        ),
        "Redis: posts and counts": (
            day["posts"] * figures.CACHED_DAYS.value * (load.post_bytes + figures.VIEW_BYTES.value),
            "redis_posts",
            "posts_per_day * 7 days * (post bytes + counts)",
        ),
    }
    for value, name, formula in kept.values():
        sheet.add(f"{name}_gib", value / GIB, "GiB", formula)
    return {label: value for label, (value, _, _) in kept.items()}


def _cores(sheet: _Sheet) -> dict[str, float]:
    """Processors at the peak, each used whole."""
    sheet.begin("processors at the peak")
    peak = {
        name: sheet.value(f"peak_{name}_per_s") for name in ("reads", "engagements", "deliveries")
    }
    used = {
        "fan-out": (
            peak["deliveries"] * figures.FOLD_US.value * US,
            "fan_out",
            "peak_deliveries_per_s * CPU of the folds",
        ),
        "engagement": (
            peak["engagements"] / figures.ENGAGEMENTS.value,
            "engagement",
            "peak_engagements_per_s / events per CPU second",
        ),
        "Redis sink": (
            peak["deliveries"] * figures.SINK_US.value * US,
            "redis_sink",
            "peak_deliveries_per_s * CPU of the sink",
        ),
        "Cassandra sink": (
            peak["deliveries"] * figures.ARCHIVE_US.value * US,
            "cassandra_sink",
            "peak_deliveries_per_s * CPU of the sink",
        ),
        "API": (
            peak["reads"] * figures.READ_MS.value / 1000,
            "api",
            "peak_reads_per_s * CPU of a read",
        ),
    }
    for value, name, formula in used.values():
        sheet.add(f"{name}_cores", value, "", formula)
    return {label: value for label, (value, _, _) in used.items()}


def _nodes(
    sheet: _Sheet, hardware: Hardware, stored: dict[str, float], cores: dict[str, float]
) -> None:
    sheet.begin("nodes")
    use = hardware.utilization
    folding = sum(cores[name] for name in ("fan-out", "engagement", "Redis sink", "Cassandra sink"))
    state = stored["Workers: rows of state"]
    workers = sheet.add(
        "workers",
        max(
            2,
            ceil(folding / use / hardware.worker_cores),
            ceil(state / (hardware.worker_tib * TIB * use)),
        ),
        f"of {hardware.worker_cores} cores and {hardware.worker_tib:g} TiB",
        "the greatest of 2, cores of folds and sinks / utilization / cores, and state / (disk * "
        "utilization), with HEADRACE_STATE=rocksdb",
    )
    sheet.add(
        "partitions",
        _partitions(workers * hardware.worker_cores),
        "of each topic",
        "4 for each core of a worker, rounded up to a power of two; 8 at least",
    )
    sheet.add(
        "api_processes",
        max(2, ceil(cores["API"] / use)),
        "",
        "api_cores / utilization; 2 at least",
    )
    memory = sum(value for name, value in stored.items() if name.startswith("Redis"))
    adds = sheet.value("peak_deliveries_per_s")
    sheet.add(
        "redis_nodes",
        max(
            1,
            ceil(memory / (hardware.redis_gib * GIB * use)),
            ceil(adds / (figures.REDIS_ADDS.value * use)),
        ),
        f"of {hardware.redis_gib:g} GiB",
        "the greater of bytes / (memory * utilization) and deliveries / (entries/s * utilization)",
    )
    disk = sum(value for name, value in stored.items() if name.startswith("Cassandra"))
    rows = adds * hardware.replicas
    sheet.add(
        "cassandra_nodes",
        max(
            hardware.replicas,
            ceil(disk / (hardware.cassandra_tib * TIB * use)),
            ceil(rows / (figures.CASSANDRA_ROWS.value * hardware.worker_cores * use)),
        ),
        f"of {hardware.cassandra_tib:g} TiB and {hardware.worker_cores} cores",
        "the greatest of the replicas, bytes / (disk * utilization) and deliveries * replicas / "
        "(rows/s * cores * utilization)",
    )


def _partitions(cores: float) -> int:
    wanted = ceil(cores * PARTITIONS_A_CORE)
    return max(MIN_PARTITIONS, 1 << (wanted - 1).bit_length())


def _greatest_first(parts: dict[str, float]) -> dict[str, float]:
    return dict(sorted(parts.items(), key=lambda each: -each[1]))
