"""The steps of soaking: start, load, restart, wait, compare."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from statistics import fmean

from msgspec import Struct, field

from connectors.lag import LagTimeoutError, wait_until_quiet
from connectors.settings import settings
from connectors.stack.local import LocalStack
from headrace.chaos.ground import Ground, NotLandedError
from headrace.chaos.outcome import Outcome
from headrace.freshness import percentile
from headrace.soak.probe import Probe, Sample
from headrace.verify.run import Progress

WORKERS = ("app", "views", "archive", "api")
FRESH_S = 5.0
END_S = 10.0
WINDOW_S = 60.0
AGE_S = 20.0
"""How old a process must be before its memory counts: it grows while it starts."""

NOISE_MB, NOISE = 24.0, 0.1
"""What the mean memory of a worker's last life may be above that of its first."""


class Options(Struct, frozen=True, kw_only=True):
    """How long, how often a worker is restarted, the load (events a second, of so many people), and
    the posts a second whose way to a feed is timed."""

    minutes: float
    seed: int
    every_s: float = 60.0
    rate: float = 300.0
    users: int = 250
    probes: float = 4.0
    quiet_s: float = 600.0


class Restart(Struct, frozen=True):
    """A worker was ended and started again; times in seconds, `at_s` since the load began."""

    worker: str
    at_s: float
    ended_in_s: float
    code: int | None
    ready_in_s: float


class Life(Struct):
    """The memory (MB) of a process of a worker, every second from its 20th on."""

    worker: str
    pid: int
    sizes: list[int] = []


class SoakOutcome(Outcome, kw_only=True):
    """What came of soaking, in which no worker may end by itself; times in seconds, memory in
    MB."""

    seconds: float = 0.0
    restarts: list[Restart] = field(default_factory=list)
    probes: int = 0
    lost: int = 0
    fresh_p50_s: float = 0.0
    fresh_p99_s: float = 0.0
    windows_p99_s: list[float] = field(default_factory=list)
    """Of each minute."""
    memory: dict[str, list[int]] = field(default_factory=dict)
    """By worker the mean of each of its lives."""

    @property
    def wrong(self) -> list[str]:
        """What is not as it must be."""
        return [
            *(*self.of_views(), *self.of_counts(), *self.of_ends()),
            *(*self._of_restarts(), *self._of_freshness(), *self._of_growth(), *self.of_memory()),
        ]

    def _of_restarts(self) -> list[str]:
        found = [] if self.restarts else ["nothing was restarted"]
        for each in self.restarts:
            if each.code != 0 or each.ended_in_s > END_S:
                found.append(f"{each.worker} ended with {each.code} in {each.ended_in_s:.1f} s")
        return found

    def _of_freshness(self) -> list[str]:
        found = [] if self.probes else ["nothing was timed"]
        if self.lost:
            found.append(f"{self.lost:,} posts did not come")
        late = [each for each in self.windows_p99_s if each > FRESH_S]
        if late:
            found.append(f"p99 was over {FRESH_S:.0f} s in {len(late)} minutes: {max(late):.1f} s")
        return found

    def _of_growth(self) -> list[str]:
        return [
            f"{worker} grew from {lives[0]:,} to {lives[-1]:,} MB"
            for worker, lives in self.memory.items()
            if len(lives) > 1 and lives[-1] > lives[0] + max(NOISE_MB, NOISE * lives[0])
        ]


def run(options: Options, stack: LocalStack, log_dir: Path, progress: Progress) -> SoakOutcome:
    """Restart the workers on `stack`, which has its topics and tables, one after the other."""
    outcome = SoakOutcome(seed=options.seed)
    progress.step("starting the workers and the API")
    with Ground(
        stack,
        log_dir,
        seed=options.seed,
        rate=options.rate,
        users=options.users,
        state="rocksdb",
        patience_s=180.0,
        say=progress.detail,
    ) as ground:
        lives: list[Life] = []
        partitions = settings().partitions
        probe = Probe(ground.addresses, partitions, options.seed, options.probes)
        with ground.load, probe:
            progress.step(f"{options.minutes:g} minutes")
            began = time.monotonic()
            names = cycle(WORKERS)
            while (passed := time.monotonic() - began) < options.minutes * 60:
                _rest(ground, probe, lives, min(options.every_s, options.minutes * 60 - passed))
                if time.monotonic() - began < options.minutes * 60:
                    outcome.restarts.append(_restart(ground, next(names), began, progress.detail))
            outcome.seconds = round(time.monotonic() - began, 1)
        outcome.events = ground.load.acknowledged
        progress.step("waiting until nothing waits any more")
        try:
            wait_until_quiet(ground.addresses.kafka, options.quiet_s)
        except (NotLandedError, LagTimeoutError) as error:
            outcome.failure = str(error)
        note_freshness(outcome, probe.samples, probe.lost)
        note_memory(outcome, lives)
        outcome.compare(ground, {}, progress)
    return outcome


def _rest(ground: Ground, probe: Probe, lives: list[Life], seconds: float) -> None:
    """Let everything run, and look at the memory each second."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(min(1.0, max(0.0, until - time.monotonic())))
        ground.load.check()
        probe.check()
        for name, size in ground.crew.memory_mb().items():
            if ground.crew.age_s(name) >= AGE_S:
                _life_of(lives, name, ground.crew.pid(name)).sizes.append(size)


def _life_of(lives: list[Life], name: str, pid: int) -> Life:
    for life in reversed(lives):
        if (life.worker, life.pid) == (name, pid):
            return life
    lives.append(Life(name, pid, []))
    return lives[-1]


def _restart(ground: Ground, name: str, began: float, say: Callable[[str], None]) -> Restart:
    at_s = round(time.monotonic() - began, 1)
    ended_in_s, code = ground.crew.restart(name)
    since = time.monotonic()
    ground.wait(f"{name} to be ready", lambda: ground.crew.are_ready(name) or None)
    restart = Restart(name, at_s, ended_in_s, code, round(time.monotonic() - since, 1))
    say(f"{name} ended with {code} in {ended_in_s:.1f} s, ready after {restart.ready_in_s:.1f} s")
    return restart


def note_freshness(outcome: SoakOutcome, samples: list[Sample], lost: int) -> None:
    """Put down how long posts took, over all and minute by minute."""
    outcome.probes, outcome.lost = len(samples) + lost, lost
    took = [each.took_s for each in samples]
    outcome.fresh_p50_s = round(percentile(took, 0.5), 3)
    outcome.fresh_p99_s = round(percentile(took, 0.99), 3)
    windows: dict[int, list[float]] = {}
    for each in samples:
        windows.setdefault(int(each.at_s / WINDOW_S), []).append(each.took_s)
    outcome.windows_p99_s = [round(percentile(windows[n], 0.99), 3) for n in sorted(windows)]


def note_memory(outcome: SoakOutcome, lives: list[Life]) -> None:
    """Put down the mean memory of each life of each worker."""
    for life in lives:
        outcome.memory.setdefault(life.worker, []).append(round(fmean(life.sizes)))
