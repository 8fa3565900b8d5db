"""The steps of a chaos run: start, load, break, wait, compare."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from connectors.lag import LagTimeoutError, wait_until_quiet
from connectors.stack.local import LocalStack
from headrace.chaos.faults import inject
from headrace.chaos.ground import Ground, NotLandedError
from headrace.chaos.outputs import Outputs
from headrace.chaos.schedule import Fault, beside
from headrace.chaos.verdict import Once, compare
from headrace.verify.report import Report
from headrace.verify.run import Progress

MOST_MEMORY_MB = {"app": 768, "views": 512, "archive": 512, "api": 256}
"""What a worker may take; docs/reliability.md says what that is made of."""


class Landed(Struct, frozen=True):
    """A fault that happened: when (seconds after the start of the load), how long until the
    workers were ready again, and what proves it."""

    fault: Fault
    at_s: float
    seconds: float
    evidence: dict[str, Any]


class Outcome(Struct, kw_only=True):
    """What came of a run; times in seconds, memory in MB by worker."""

    seed: int
    faults: list[Landed] = []
    failure: str = ""
    """The fault that did not land, or what did not come to rest."""
    events: int = 0
    load_s: float = 0.0
    quiet_s: float = 0.0
    """From the end of the load until nothing waited."""
    memory_at_begin: dict[str, int] = {}
    memory_at_end: dict[str, int] = {}
    memory_peak: dict[str, int] = {}
    ends: list[str] = []
    """How workers ended."""
    views: Report = msgspec.field(default_factory=Report)
    once: Once | None = None
    outputs: Outputs | None = None

    @property
    def is_right(self) -> bool:
        """Whether every fault landed, no row differs, and nothing was lost or doubled."""
        return not self.wrong

    @property
    def wrong(self) -> list[str]:
        """What is not as it must be."""
        found = [self.failure] if self.failure else []
        if not self.views.compared:
            found.append("nothing was compared")
        if self.views.different:
            found.append(f"{self.views.different:,} of {self.views.compared:,} rows differ")
        for counted in (self.once, self.outputs):
            found += ["nothing was counted"] if counted is None else counted.wrong
        for name, size in self.memory_peak.items():
            if size > MOST_MEMORY_MB[name]:
                found.append(f"{name} took {size:,} MB, and may take {MOST_MEMORY_MB[name]:,}")
        return found

    def json(self) -> bytes:
        """Everything, with the verdict."""
        values = msgspec.to_builtins(self, enc_hook=repr, str_keys=True)
        values["views"] |= {"compared": self.views.compared, "different": self.views.different}
        values |= {"is_right": self.is_right, "wrong": self.wrong}
        return msgspec.json.format(msgspec.json.encode(values), indent=1) + b"\n"


class Options(Struct, frozen=True, kw_only=True):
    """What to do: the faults, whether those of different workers come beside each other, the load
    (events a second, of so many people), where the workers keep rows, and how long is waited for
    each step of a recovery, and for the end of all work."""

    seed: int
    faults: Iterable[Fault]
    are_beside: bool = False
    rate: float = 300.0
    users: int = 250
    state: str = "rocksdb"
    patience_s: float = 180.0
    quiet_s: float = 600.0


def run(options: Options, stack: LocalStack, log_dir: Path, progress: Progress) -> Outcome:
    """Break what runs on `stack`, which has its topics and tables, and compare.

    The events that are in Kafka already count too. A fault that does not land ends the faults;
    the comparison is made in any case.
    """
    outcome = Outcome(seed=options.seed)
    with ExitStack() as held:
        progress.step("starting the workers and the API")
        ground = Ground(
            stack,
            log_dir,
            seed=options.seed,
            rate=options.rate,
            users=options.users,
            state=options.state,
            patience_s=options.patience_s,
            say=progress.detail,
        )
        held.enter_context(ground)
        outcome.memory_at_begin = ground.crew.memory_mb()
        began = time.monotonic()
        with ground.load:
            breaking = partial(_break, ground, outcome, began, progress)
            if options.are_beside:
                lanes, rest = beside(options.faults)
                with ThreadPoolExecutor(len(lanes)) as pool:
                    list(pool.map(breaking, lanes))
                breaking(rest)
            else:
                breaking(options.faults)
        outcome.events = ground.load.acknowledged
        outcome.load_s = _since(began)
        progress.step("waiting until nothing waits any more")
        began = time.monotonic()
        try:
            ground.recover()
            wait_until_quiet(ground.addresses.kafka, options.quiet_s)
        except (NotLandedError, LagTimeoutError) as error:
            outcome.failure = outcome.failure or str(error)
        outcome.quiet_s = _since(began)
        outcome.ends = ground.crew.ends
        outcome.memory_at_end = ground.crew.memory_mb()
        outcome.memory_peak = dict(ground.peaks)
        progress.step("comparing")
        outcome.views, outcome.once, outcome.outputs, _ = compare(
            ground.addresses,
            ground.planted,
            (ground.crew.api_url, ground.crew.token),
            options.seed,
            progress.detail,
        )
    return outcome


def _break(
    ground: Ground, outcome: Outcome, began: float, progress: Progress, faults: Iterable[Fault]
) -> None:
    """Inject one fault after the other, until one does not land."""
    for fault in faults:
        if outcome.failure:
            return
        progress.step(str(fault))
        at_s, since = _since(began), time.monotonic()
        try:
            evidence = inject(ground, fault)
        except NotLandedError as error:
            outcome.failure = f"{fault}: {error}"
            return
        landed = Landed(fault, at_s, _since(since), evidence)
        outcome.faults.append(landed)
        progress.detail(f"{fault}: mended in {landed.seconds:.1f} s: {evidence}")


def _since(start: float) -> float:
    return round(time.monotonic() - start, 1)
