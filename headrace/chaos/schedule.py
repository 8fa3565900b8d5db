"""Which faults a run injects, in which order: decided by the seed alone, before anything runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from random import Random

from msgspec import Struct
from msgspec.structs import replace

LONGEST_PAUSE_S = 5.0


class Fault(Struct, frozen=True, kw_only=True):
    """One fault; `headrace.chaos.faults` says what each kind does.

    `target` is a worker, `point` a failpoint, of one topic only if `topic` is given, and `passes`
    the pass at which it kills (or how often it happens); `seconds` is how long what is broken stays
    so; `pause_s` comes before.
    """

    kind: str
    target: str = ""
    point: str = ""
    topic: str = ""
    passes: int = 1
    seconds: float = 0.0
    pause_s: float = 0.0

    @property
    def order(self) -> str:
        """The failpoint as workers are armed with it, "" without one."""
        at = f"@{self.topic}" if self.topic else ""
        return self.point and f"{self.point}{at}:{self.passes}"

    @property
    def worker(self) -> str | None:
        """The only worker that it breaks, by its rows or its store too, if the others need not be
        whole meanwhile; they must when the timeline of one reader is swept, for which the sink is
        kept away."""
        is_sweep = (self.target, self.point) == ("views", "mid-sink")
        if self.kind in ("kill", "join-and-leave", "zombie") and not is_sweep:
            return self.target
        part, _, _ = self.kind.partition("-")
        return {"state": "app", "redis": "views", "cassandra": "archive"}.get(part)

    def __str__(self) -> str:
        parts = [self.kind, self.target, self.order]
        return " ".join(filter(None, [*parts, f"{self.seconds:.0f} s" if self.seconds else ""]))


KILLS = (
    *(("app", point, 40) for point in ("before-outputs", "after-outputs", "after-changelog")),
    *(("app", point, 40) for point in ("before-commit", "after-commit")),
    ("app", "mid-restore", 12),
    *(("views", point, most) for point, most in (("mid-sink", 1), ("after-sink", 20))),
    *(("archive", point, 20) for point in ("before-sink", "mid-sink", "after-sink")),
)
"""Worker, failpoint, and the latest pass at which it may kill."""

UNFENCED = Fault(kind="zombie", target="archive", point="mid-sink")
"""Its rows are written: what comes late is the position."""

STALL_S = 30.0  # the longest


def every_fault(
    rng: Random, *, outage_s: float, stall_s: float, kafka_kills: int, state: str
) -> list[Fault]:
    """Each fault once: every failpoint, and one of every other kind for each of its targets.

    Args:
        rng: Chooses the passes.
        outage_s: How long a store is down.
        stall_s: How long the network holds bytes back.
        kafka_kills: How often the broker is killed.
        state: Where workers keep rows; those on disk (`rocksdb`) can be damaged too.
    """
    faults = [
        Fault(kind="kill", target=target, point=point, passes=rng.randint(1, most))
        for target, point, most in KILLS
    ]
    # Before its transaction: an open one Kafka aborts by itself about when the second takes over.
    for target, point in (("app", "before-outputs"), ("views", "before-sink")):
        faults.append(Fault(kind="join-and-leave", target=target))
        passes = rng.randint(1, 40)
        faults.append(Fault(kind="zombie", target=target, point=point, passes=passes))
    faults.append(replace(UNFENCED, passes=rng.randint(1, 20)))
    if state == "rocksdb":
        flips = Fault(kind="state-flipped", passes=rng.randint(1, 1_000))
        faults += [Fault(kind="state-deleted"), flips]
    faults += [
        Fault(kind="kafka-kill", passes=kafka_kills, seconds=1.0),
        Fault(kind="kafka-kill-at-commit"),
        Fault(kind="lost-answer"),
        Fault(kind="kafka-stall", seconds=stall_s),
        Fault(kind="redis-kill", seconds=2.0),
        Fault(kind="redis-empty"),
        Fault(kind="redis-flush"),
        Fault(kind="redis-stall", seconds=stall_s),
        Fault(kind="cassandra-kill", seconds=outage_s),
        Fault(kind="cassandra-stall", seconds=stall_s),
        Fault(kind="poison"),
        Fault(kind="poison-inside"),
    ]
    return faults


def schedule(seed: int, state: str = "rocksdb") -> Iterator[Fault]:
    """Rounds of every fault without an end, each round in an order of its own."""
    rng = Random(f"chaos:{seed}")
    while True:
        stall_s = rng.uniform(5, STALL_S)
        faults = every_fault(rng, outage_s=60.0, stall_s=stall_s, kafka_kills=5, state=state)
        rng.shuffle(faults)
        for fault in faults:
            yield replace(fault, pause_s=round(rng.uniform(0, LONGEST_PAUSE_S), 1))


def within(
    faults: Iterable[Fault], seconds: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[Fault]:
    """The faults that are asked for within so many seconds of the first."""
    end: float | None = None
    for fault in faults:
        now = clock()
        end = now + seconds if end is None else end
        if now >= end:
            return
        yield fault


def beside(faults: Iterable[Fault]) -> tuple[list[list[Fault]], list[Fault]]:
    """What breaks one worker each, in lanes by worker that need not wait for each other; and the
    rest, in order."""
    lanes: dict[str, list[Fault]] = {}
    rest = []
    for fault in faults:
        if fault.worker is None:
            rest.append(fault)
        else:
            lanes.setdefault(fault.worker, []).append(fault)
    return list(lanes.values()), rest


def brief(seed: int) -> list[Fault]:
    """Every fault but the one that nothing fences once, in a fixed order, with short outages."""
    rng = Random(f"chaos:{seed}")
    faults = every_fault(rng, outage_s=5.0, stall_s=4.0, kafka_kills=2, state="rocksdb")
    return [fault for fault in faults if replace(fault, passes=1) != UNFENCED]
