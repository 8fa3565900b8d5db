"""The steps of a verification: start, publish, wait, compute, compare."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from msgspec import Struct

from connectors import addresses as known
from connectors.lag import Lag, wait_until_quiet
from connectors.prepare import prepare
from connectors.publisher import publish
from connectors.settings import settings
from connectors.stack.addresses import Addresses
from connectors.stack.local import LocalStack
from headrace.supervisor import Supervisor
from headrace.verify import check
from headrace.verify.damage import Break, damage
from headrace.verify.plan import Plan
from headrace.verify.redis_views import RedisViews
from headrace.verify.report import Report
from headrace.verify.windows import end_windows

WORKERS = ("app", "views", "archive")


class Options(Struct, frozen=True, kw_only=True):
    """What to do besides publishing the plan's events."""

    plan: Plan
    rate: float | None = None
    how_to_break: Break | None = None
    is_replaying: bool = True
    api_users: int = 500
    timeout_s: float = 1_800.0


class Progress:
    """Where the steps say what they do; the command shows it."""

    def step(self, text: str) -> None:
        """A step has begun."""

    def detail(self, text: str) -> None:
        """How far the step is."""


def run(options: Options, progress: Progress, held: ExitStack) -> Report:
    """Run all steps and report; what was started is stopped when `held` is closed."""
    report = Report()
    addresses, supervisor = _start(options, progress, held)
    if options.is_replaying:
        _publish(addresses, options, progress, report)
    _wait(addresses, supervisor, options, progress, report)
    ticks = end_windows(addresses.kafka)
    wait_until_quiet(addresses.kafka, options.timeout_s)
    if options.how_to_break is not None:
        progress.step(f"damaging a timeline in Redis ({options.how_to_break})")
        report.damage = _damage(addresses, options.how_to_break, options.plan.seed)
    progress.step("computing what the events imply")
    since = time.perf_counter()
    expected = check.compute(addresses.kafka)
    report.oracle_s = _since(since)
    progress.step("comparing")
    since = time.perf_counter()
    for tally in check.compare_all(
        addresses,
        expected,
        (supervisor.api_url, supervisor.token),
        options.api_users,
        options.plan.seed,
        progress.detail,
        ticks,
    ):
        report.add(tally)
    report.compare_s = _since(since)
    return report


def _start(options: Options, progress: Progress, held: ExitStack) -> tuple[Addresses, Supervisor]:
    if not options.is_replaying:
        progress.step("starting the API")
        addresses = known.resolve()
        return addresses, held.enter_context(
            Supervisor(addresses, apps=("api",), say=progress.detail)
        )
    progress.step("starting Kafka, Valkey and Cassandra with fresh data")
    config = settings()
    if not (config.kafka_brokers and config.redis_url and config.cassandra_hosts):
        data_dir = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="headrace-verify-")))
    else:
        data_dir = config.data_dir
    stack = LocalStack(data_dir, fresh=True, say=progress.detail)
    held.callback(stack.stop)
    addresses = stack.start()
    prepare(addresses)
    progress.step("starting the workers and the API")
    supervisor = Supervisor(addresses, apps=(*WORKERS, "api"), say=progress.detail)
    return addresses, held.enter_context(supervisor)


def _publish(addresses: Addresses, options: Options, progress: Progress, report: Report) -> None:
    progress.step("publishing")
    events = options.plan.events(int(time.time() * 1000))
    sent = publish(
        addresses.kafka,
        events,
        rate=options.rate,
        progress=lambda count: progress.detail(f"{count:,} events"),
    )
    report.events = sent.acknowledged
    report.published_in_s = round(sent.seconds, 3)


def _wait(
    addresses: Addresses,
    supervisor: Supervisor,
    options: Options,
    progress: Progress,
    report: Report,
) -> None:
    progress.step("waiting until nothing waits any more")
    since = time.perf_counter()
    wait_until_quiet(addresses.kafka, options.timeout_s, _watch(supervisor, progress.detail))
    if report.events:
        report.seconds = round(report.published_in_s + _since(since), 3)
        report.events_per_s = round(report.events / report.seconds, 1)


def _watch(supervisor: Any, tell: Callable[[str], None]) -> Callable[[Lag], None]:
    def watch(lag: Lag) -> None:
        supervisor.check()
        groups = (f"{name.removeprefix('headrace-')} {n:,}" for name, n in lag.by_group().items())
        tell("records that wait: " + ", ".join(groups))

    return watch


def _damage(addresses: Addresses, how: Break, seed: int) -> Any:
    views = RedisViews(addresses.redis, settings().partitions)
    try:
        views.scan()
        return damage(views.client, views.keys, views.entities("feed"), how, seed)
    finally:
        views.close()


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 3)
