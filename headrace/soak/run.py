"""The steps of soaking: start, load, restart, wait, compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean

from msgspec import Struct, field

from connectors.lag import LagTimeoutError, wait_until_quiet
from connectors.settings import settings
from connectors.stack.local import LocalStack
from headrace.chaos.crew import Crew
from headrace.chaos.ground import Ground, NotLandedError
from headrace.chaos.outcome import Outcome
from headrace.freshness import percentile
from headrace.installation import THIS, Installation
from headrace.soak.behind import Behind, LagWatch
from headrace.soak.probe import Probe, Sample
from headrace.soak.steps import BESIDE, FIRST, SECOND, Step, restarts, upgrades
from headrace.verify.run import Progress

FRESH_S = 5.0
END_S = 10.0
BEHIND_S = 20.0
"""How much of its input may wait for a group at any moment."""

STATE = "rocksdb"
"""Rows in memory would grow with what is loaded."""

WINDOW_S = 60.0
AGE_S = 20.0
"""How old a process must be before its memory counts: it grows while it starts."""

NOISE_MB, NOISE = 24.0, 0.1
"""What the mean memory of a worker's last life may be above that of its first."""


class Options(Struct, frozen=True, kw_only=True):
    """How long, how often a worker is restarted, the load (events a second, of so many people), the
    posts a second whose way to a feed is timed, and from what is upgraded, if that is asked for."""

    minutes: float
    seed: int
    every_s: float = 60.0
    rate: float = 300.0
    users: int = 250
    probes: float = 4.0
    quiet_s: float = 600.0
    upgrade_from: Installation | None = None
    differences: list[str] = []
    """What the new version of an upgrade writes otherwise."""


class Restart(Struct, frozen=True):
    """A worker was ended and started again; times in seconds, `at_s` since the load began, and in
    an upgrade from which `version`, `old` or `new`."""

    worker: str
    at_s: float
    ended_in_s: float
    code: int | None
    ready_in_s: float
    version: str = ""


class Life(Struct):
    """The memory (MB) of a process of a worker, every second from its 20th on; in an upgrade a
    worker is another one with each version."""

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
    behind: dict[str, Behind] = field(default_factory=dict)
    """By group, the most."""
    differences: list[str] = field(default_factory=list)
    """Of the versions of an upgrade."""

    @property
    def wrong(self) -> list[str]:
        """What is not as it must be."""
        return [
            *(*self.of_views(), *self.of_counts(), *self.of_ends()),
            *(*self._of_restarts(), *self._of_freshness(), *self._of_lag()),
            *(*self._of_growth(), *self.of_memory()),
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

    def _of_lag(self) -> list[str]:
        found = [] if self.behind else ["nothing was seen of the lag"]
        return found + [
            f"{group} was {each.offsets:,} offsets behind, {each.seconds:.0f} s of its input"
            for group, each in self.behind.items()
            if each.seconds > BEHIND_S
        ]

    def _of_growth(self) -> list[str]:
        return [
            f"{worker} grew from {lives[0]:,} to {lives[-1]:,} MB"
            for worker, lives in self.memory.items()
            if len(lives) > 1 and lives[-1] > lives[0] + max(NOISE_MB, NOISE * lives[0])
        ]


class _Crews:
    """The workers: in an upgrade two of each app, else one, and always one API."""

    def __init__(self, crews: Mapping[str, Crew], old: Installation | None) -> None:
        self._crews = crews
        self._old = old
        self._versions = {
            (crew, worker): old or THIS for crew, each in crews.items() for worker in each.names
        }

    @property
    def ends(self) -> list[str]:
        """How workers ended by themselves."""
        return [end for crew in self._crews.values() for end in crew.ends]

    def restart(self, ground: Ground, step: Step, at_s: float) -> Restart:
        """Take a step, and wait until the worker is ready."""
        crew = self._crews[step.crew]
        self._versions[step.crew, step.worker] = step.installation
        ended_in_s, code = crew.restart(step.worker, step.installation)
        since = time.monotonic()
        name = self._named(step.crew, step.worker)
        ground.wait(f"{name} to be ready", lambda: crew.are_ready(step.worker) or None)
        ready_in_s = round(time.monotonic() - since, 1)
        version = self._version(step.installation)
        return Restart(name, round(at_s, 1), ended_in_s, code, ready_in_s, version)

    def look(self, lives: list[Life]) -> None:
        """Note the memory of each that is old enough."""
        for crew_name, crew in self._crews.items():
            for worker, size in crew.memory_mb().items():
                if crew.age_s(worker) >= AGE_S:
                    version = self._version(self._versions[crew_name, worker])
                    name = f"{self._named(crew_name, worker)} {version}".strip()
                    _life_of(lives, name, crew.pid(worker)).sizes.append(size)

    def _version(self, installation: Installation) -> str:
        if self._old is None:
            return ""
        return "old" if installation == self._old else "new"

    def _named(self, crew: str, worker: str) -> str:
        return worker if self._old is None else f"{crew}-{worker}"


def run(options: Options, stack: LocalStack, log_dir: Path, progress: Progress) -> SoakOutcome:
    """Restart the workers on `stack`, which has its topics and tables, one after the other."""
    outcome = SoakOutcome(seed=options.seed, differences=options.differences)
    old = options.upgrade_from
    progress.step("starting the workers and the API")
    with (
        Ground(
            stack,
            log_dir,
            seed=options.seed,
            rate=options.rate,
            users=options.users,
            state=STATE,
            patience_s=180.0,
            say=progress.detail,
            installation=old or THIS,
        ) as ground,
        ExitStack() as held,
    ):
        made = {FIRST: ground.crew}
        if old is not None:
            made[SECOND] = held.enter_context(ground.more(SECOND, *BESIDE, state=STATE))
        crews = _Crews(made, old)
        lives: list[Life] = []
        probe = Probe(ground.addresses, settings().partitions, options.seed, options.probes)
        watch = LagWatch(ground.addresses.kafka)
        progress.step("waiting until the people and their follows are in the views")
        ground.load.publish_network()
        wait_until_quiet(ground.addresses.kafka, options.quiet_s)
        with ground.load, probe, watch:
            progress.step(f"{options.minutes:g} minutes")
            began = time.monotonic()
            for step in restarts() if old is None else upgrades(old):
                left = options.minutes * 60 - (time.monotonic() - began)
                _rest(
                    min(options.every_s, left) if step.may_end else options.every_s,
                    lambda: _look(ground, probe, watch, crews, lives),
                )
                at_s = time.monotonic() - began
                if step.may_end and at_s >= options.minutes * 60:
                    break
                restart = crews.restart(ground, step, at_s)
                outcome.restarts.append(restart)
                progress.detail(_told(restart))
            outcome.seconds = round(time.monotonic() - began, 1)
        outcome.events = ground.load.acknowledged
        progress.step("waiting until nothing waits any more")
        try:
            wait_until_quiet(ground.addresses.kafka, options.quiet_s)
        except (NotLandedError, LagTimeoutError) as error:
            outcome.failure = str(error)
        note_freshness(outcome, probe.samples, probe.lost)
        note_memory(outcome, lives)
        outcome.behind = watch.worst()
        outcome.compare(ground, {}, progress)
        outcome.ends = crews.ends
    return outcome


def _rest(seconds: float, look: Callable[[], None]) -> None:
    """Let everything run, and look at it each second."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(1.0, left))
        look()


def _look(ground: Ground, probe: Probe, watch: LagWatch, crews: _Crews, lives: list[Life]) -> None:
    ground.load.check()
    probe.check()
    watch.check()
    crews.look(lives)


def _life_of(lives: list[Life], name: str, pid: int) -> Life:
    for life in reversed(lives):
        if (life.worker, life.pid) == (name, pid):
            return life
    lives.append(Life(name, pid, []))
    return lives[-1]


def _told(restart: Restart) -> str:
    return (
        f"{restart.worker} ended with {restart.code} in {restart.ended_in_s:.1f} s, "
        f"{restart.version or 'again'} ready after {restart.ready_in_s:.1f} s"
    )


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
