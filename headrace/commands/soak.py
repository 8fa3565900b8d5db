"""`headrace soak`: workers are restarted one after the other while events and reads go on."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from headrace.commands.own_parts import report_options, run_on_own_parts
from headrace.commands.steps import need_oracle

if TYPE_CHECKING:
    from headrace.soak.run import SoakOutcome

PARTITIONS_A_PROCESSOR = 2
"""Which the parts, the workers and the load share: each batch of a partition is a transaction."""


@click.command()
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=20.0, show_default=True
)
@click.option("--seed", type=int, default=1, show_default=True, help="Decides the load.")
@click.option(
    "--every",
    type=click.FloatRange(min=5),
    default=60.0,
    show_default=True,
    help="Seconds between two restarts.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Events a second.",
)
@click.option(
    "--upgrade-from",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="A checkout of an older version, in which scripts/setup was run: upgrade from it.",
)
@report_options
def soak(
    minutes: float,
    seed: int,
    every: float,
    rate: float,
    upgrade_from: Path | None,
    json_file: Path | None,
    logs: Path | None,
) -> None:
    """Restart the workers one after the other under load, for long, and see that all stays right.

    Starts Kafka, Valkey, Cassandra, the workers and the API with fresh data, publishes the profiles
    and follows of a generated crowd, and when these are in the views what it does. Times how long
    posts take to a feed, 4 a second, whether those before have come or not. Every minute one worker
    is replaced, as `headrace work` does on SIGUSR1: when the next process of it is prepared it gets
    SIGTERM, and must end in order within 10 s. In each minute 99 of 100 posts must come within 5 s,
    and none may be lost; no app may be further behind than what comes in 20 s; memory must not grow
    from life to life of a worker. Then every view is compared with an independent computation, and
    every record that the intake and the folds wrote is counted.

    Topics have HEADRACE_PARTITIONS partitions, or twice as many as there are processors.

    With --upgrade-from two workers of each app and the API are those of an older version at first.
    Each step replaces one by this version, sinks first and the API last, while both share the work;
    when all are replaced they are rolled back in the reverse order, replaced again, and so on. The
    run ends when the minutes are over and all are of this version. Versions that cannot run beside
    each other are refused at once, with what to do.

    Exits with 0 when all of this is so, with 1 when not, with 2 if a step fails.

    \b
    Examples:
      headrace soak --minutes 20 --json report.json
      headrace soak --minutes 3 --every 20
      headrace soak --minutes 5 --every 10 --upgrade-from ../headrace-older
    """
    os.environ.setdefault(
        "HEADRACE_PARTITIONS", str(PARTITIONS_A_PROCESSOR * (os.cpu_count() or 1))
    )
    need_oracle()
    from headrace.soak.run import Options, run

    options = Options(
        minutes=minutes, seed=seed, every_s=every, rate=rate, **_upgrade(upgrade_from)
    )
    run_on_own_parts("soak", partial(run, options), _show, json_file, logs)


def _upgrade(directory: Path | None) -> dict[str, Any]:
    """The options of an upgrade from what is installed in a directory."""
    from headrace.installation import THIS, InstallationError, differences, installed_in

    if directory is None:
        return {}
    try:
        old = installed_in(directory)
        return {"upgrade_from": old, "differences": differences(old.formats(), THIS.formats())}
    except InstallationError as error:
        raise click.BadParameter(str(error), param_hint="--upgrade-from") from error


def _show(outcome: SoakOutcome, console: Console) -> None:
    """Print the restarts, what was timed and compared, and the verdict."""
    table = Table("at", "worker", "ended in", "with", "ready after", "version")
    for each in outcome.restarts:
        table.add_row(
            f"{each.at_s:.0f} s",
            each.worker,
            f"{each.ended_in_s:.1f} s",
            str(each.code),
            f"{each.ready_in_s:.1f} s",
            each.version,
        )
    console.print(table)
    outcome.views.show(console)
    memory = "; ".join(
        f"{worker} {', '.join(map(str, lives))}" for worker, lives in outcome.memory.items()
    )
    behind = "; ".join(
        f"{group} {each.offsets:,} offsets, {each.seconds:.1f} s of its input, at {each.at_s:.0f} s"
        for group, each in outcome.behind.items()
    )
    worst = max(outcome.windows_p99_s, default=0.0)
    lines = [
        f"{outcome.events:,} events and {outcome.probes:,} posts that were timed in "
        f"{outcome.seconds:.0f} s; p50 {outcome.fresh_p50_s:.3f} s, p99 "
        f"{outcome.fresh_p99_s:.3f} s, in the worst minute {worst:.3f} s; {outcome.lost:,} lost",
        *(f"between the versions: {each}" for each in outcome.differences),
        f"most behind: {behind}",
        f"memory in MB, life by life: {memory}",
        outcome.verdict(f"all {outcome.views.compared:,} rows are as the events imply"),
    ]
    console.print("\n".join(lines), highlight=False, markup=False)
