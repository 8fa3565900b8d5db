"""The steps of a chaos run: start, load, break, wait, compare."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from connectors.lag import LagTimeoutError, wait_until_quiet
from connectors.stack.local import LocalStack
from headrace.chaos.faults import inject
from headrace.chaos.ground import Ground, NotLandedError
from headrace.chaos.outcome import Outcome
from headrace.chaos.schedule import Fault, beside
from headrace.verify.run import Progress


class Landed(Struct, frozen=True):
    """A fault that happened: when (seconds after the start of the load), how long until the
    workers were ready again, and what proves it."""

    fault: Fault
    at_s: float
    seconds: float
    evidence: dict[str, Any]


class ChaosOutcome(Outcome, kw_only=True):
    """What came of a run with faults, which workers' ends belong to; times in seconds."""

    faults: list[Landed] = field(default_factory=list)
    load_s: float = 0.0
    quiet_s: float = 0.0
    """From the end of the load until nothing waited."""
    memory_at_begin: dict[str, int] = field(default_factory=dict)
    memory_at_end: dict[str, int] = field(default_factory=dict)


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


def run(options: Options, stack: LocalStack, log_dir: Path, progress: Progress) -> ChaosOutcome:
    """Break what runs on `stack`, which has its topics and tables, and compare.

    The events that are in Kafka already count too. A fault that does not land ends the faults;
    the comparison is made in any case.
    """
    outcome = ChaosOutcome(seed=options.seed)
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
            is_proxied=True,
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
        outcome.memory_at_end = ground.crew.memory_mb()
        outcome.compare(ground, ground.planted, progress)
    return outcome


def _break(
    ground: Ground, outcome: ChaosOutcome, began: float, progress: Progress, faults: Iterable[Fault]
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
