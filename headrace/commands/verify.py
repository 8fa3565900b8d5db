"""`headrace verify`: the whole pipeline against an independent computation."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from headrace.commands.steps import Shown, end_in_order, is_explained, need_oracle
from headrace.verify.damage import BREAKS, Break
from headrace.verify.plan import MIXES, Mix, Plan

if TYPE_CHECKING:
    from headrace.verify.run import Options

DEFAULT_EVENTS = 20_000

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--follows", type=_FILE, help="An edge list: who follows whom.")
@click.option("--activity", type=_FILE, help="A Higgs activity file.")
@click.option(
    "--generate",
    type=click.IntRange(min=1),
    metavar="N",
    help="Events of a generated activity over the network.  "
    f"[default: {DEFAULT_EVENTS:,} without --activity]",
)
@click.option(
    "--users",
    type=click.IntRange(min=2),
    default=2_000,
    show_default=True,
    help="People of a generated network, without --follows.",
)
@click.option(
    "--mix",
    type=click.Choice(MIXES),
    default="everyday",
    show_default=True,
    help="full: between the generated events as many of all that is rare: visibility that changes, "
    "blocks, erased users, surges of followers that cross the heavy threshold, and so on.",
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Events a second, evenly paced.  [default: as fast as possible]",
)
@click.option(
    "--break",
    "how_to_break",
    type=click.Choice(BREAKS),
    help="Damage a timeline in Redis after the run; the command must name it.",
)
@click.option(
    "--api-users",
    type=click.IntRange(min=0),
    default=500,
    show_default=True,
    help="Users whose timelines are read through the API, besides the 20 longest.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=1),
    default=1_800.0,
    show_default=True,
    help="Seconds until everything published must be in the views.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the report to this file too.",
)
@click.option(
    "--heavy-threshold",
    type=click.IntRange(min=1),
    metavar="N",
    help="Followers that make a source heavy.  [default: HEADRACE_HEAVY_FOLLOWERS]",
)
@click.option("--keep", is_flag=True, help="Leave all parts running until Ctrl-C.")
@click.option("--no-replay", is_flag=True, help="Publish nothing: compare what is there.")
def verify(
    follows: Path | None,
    activity: Path | None,
    generate: int | None,
    users: int,
    mix: Mix,
    seed: int,
    rate: float | None,
    how_to_break: Break | None,
    api_users: int,
    timeout_s: float,
    json_file: Path | None,
    heavy_threshold: int | None,
    keep: bool,
    no_replay: bool,
) -> None:
    """Run events through the pipeline and compare every view with an independent computation.

    Starts Kafka, Valkey and Cassandra with fresh data (those without KAFKA_BROKERS, REDIS_URL,
    CASSANDRA_HOSTS), the workers and the API; publishes; waits until nothing waits any more;
    computes every view from the acknowledged events; and compares all of Redis and Cassandra,
    and timelines as the API serves them. Exits with 0 if nothing differs, with 1 if a row does,
    with 2 if a step fails.

    \b
    Examples:
      headrace verify
      headrace verify --follows facebook_combined.txt.gz --generate 100000
      headrace verify --follows social_network.edgelist.gz --activity higgs-activity.txt.gz
      headrace verify --generate 5000 --users 300 --break drop-one
      headrace verify --generate 20000 --users 1000 --mix full --heavy-threshold 200
    """
    signal.signal(signal.SIGTERM, end_in_order)
    if heavy_threshold is not None:
        os.environ["HEADRACE_HEAVY_FOLLOWERS"] = str(heavy_threshold)  # the workers' too
    options_type = _load()
    events = generate or (0 if activity is not None else DEFAULT_EVENTS)
    plan = Plan(
        follows=follows, activity=activity, generate=events, users=users, seed=seed, mix=mix
    )
    options = options_type(
        plan=plan,
        rate=rate,
        how_to_break=how_to_break,
        is_replaying=not no_replay,
        api_users=api_users,
        timeout_s=timeout_s,
    )
    sys.exit(_run(options, json_file, keep))


def _load() -> type[Options]:
    """The steps; they need the oracle, which is part of a checkout and not of the package."""
    need_oracle()
    from headrace.verify.run import Options

    return Options


def _run(options: Options, json_file: Path | None, keep: bool) -> int:
    """Run, show and write the report; the exit code."""
    from headrace.verify.run import run

    console = Console()
    with ExitStack() as held:
        try:
            with Shown(Console(stderr=True)) as progress:
                report = run(options, progress, held)
        except Exception as error:
            click.echo(f"Error: {error}", err=True)
            if not is_explained(error):
                raise
            return 2
        report.show(console)
        console.print(_summary(report), highlight=False)
        if json_file is not None:
            json_file.write_bytes(report.json())
        if keep:
            _hold(console)
    return 1 if report.different else 0


def _summary(report: Any) -> str:
    verdict = (
        f"{report.different:,} of {report.compared:,} rows differ"
        if report.different
        else f"all {report.compared:,} rows are as the events imply"
    )
    lines = [verdict]
    if report.events:
        lines.append(
            f"{report.events:,} events in {report.seconds:.1f} s "
            f"({report.events_per_s:,.0f} events/s)"
        )
    lines.append(f"computed in {report.oracle_s:.1f} s, compared in {report.compare_s:.1f} s")
    return "\n".join(lines)


def _hold(console: Console) -> None:
    console.print("all parts stay up; Ctrl-C stops them")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return
