"""`headrace bench`: Headrace and its peers on the same job, in one run on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from connectors.stack.errors import StackError

if TYPE_CHECKING:
    from bench.core import CoreReport
    from bench.figures import Target

SMOKE_EVENTS = 4_000

_JSON = click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the figures to this file too.",
)
_SMOKE = click.option(
    "--smoke", is_flag=True, help=f"{SMOKE_EVENTS:,} events: only to see that it works."
)
_EVENTS = click.option(
    "--events",
    type=click.IntRange(min=100),
    default=1_000_000,
    show_default=True,
    help="Engagements in the topic.",
)


@click.group()
def bench() -> None:
    """Measure Headrace, beside other systems on the same job; docs/benchmarks.md says how."""


@bench.command()
@_EVENTS
@click.option(
    "--systems",
    metavar="A,B,...",
    help="Of headrace, at_least_once, quixstreams and stock.  [default: all]",
)
@_SMOKE
@_JSON
@click.option(
    "--under",
    default="",
    metavar="COMMAND",
    help="Start the process that folds under this command, such as a profiler.",
)
def core(events: int, systems: str | None, smoke: bool, json_file: Path | None, under: str) -> None:
    """Engagement counters: records/s, and records per CPU second, of each system.

    Fills a topic with Avro engagements, starts one system after the other, and takes the time
    from its first record to the last count in Redis. A like counts once per post and user,
    whatever comes twice or late; a system whose counts differ from a plain fold over the events
    has no figure. Stock Faust gets 60,000 events. Starts a Kafka and a Valkey of its own.
    Exits with 1 if a figure is void; a missed target is no failure.

    \b
    Examples:
      headrace bench core
      headrace bench core --systems headrace --events 300000
      headrace bench core --systems headrace --under "py-spy record -t -o fold.svg --"
    """
    from bench.core import run
    from bench.parts import own_parts
    from bench.systems import SYSTEMS

    names = systems.split(",") if systems else list(SYSTEMS)
    unknown = [name for name in names if name not in SYSTEMS]
    if unknown:
        raise click.BadParameter(
            f"{', '.join(unknown)}: choose from {', '.join(SYSTEMS)}", param_hint="--systems"
        )
    try:
        with own_parts(_say) as parts:
            report = run(parts, names, SMOKE_EVENTS if smoke else events, under, _say)
    except StackError as error:
        raise click.ClickException(str(error)) from error
    _show_core(report)
    if not smoke:
        _show_targets(report.targets())
    _write(json_file, report)
    sys.exit(report.is_void)


def _show_core(report: CoreReport) -> None:
    table = Table("system", "events", "s", "CPU s", "records/s", "records/CPU s")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, figures in report.systems.items():
        if figures.void:
            table.add_row(name, f"{figures.events:,}", "void", "", "", "")
        else:
            table.add_row(
                name,
                f"{figures.events:,}",
                f"{figures.seconds:.1f}",
                f"{figures.cpu_seconds:.1f}",
                f"{figures.records_per_s:,.0f}",
                f"{figures.records_per_cpu_s:,.0f}",
            )
    console = Console()
    console.print(table)
    for name, figures in report.systems.items():
        if figures.void:
            console.print(f"{name} is void: {figures.void}", markup=False)
    machine = report.machine
    console.print(f"{machine.cpus} CPUs ({machine.processor}), Python {machine.python}")
    limits = report.limits
    console.print(f"aiokafka alone reads {limits['kafka_records_per_s']:,.0f} records/s")
    console.print(f"redis-py alone sets {limits['redis_sets_per_s']:,.0f} keys/s")


def _show_targets(targets: list[Target]) -> None:
    console = Console()
    for target in targets:
        found = "" if target.found is None else f"{target.found:,.2f}, "
        console.print(
            f"{target.verdict:<12} {target.figure} {found}wanted {target.at_least:,}",
            markup=False,
        )


def _write(file: Path | None, report: Any) -> None:
    if file is not None:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def _say(line: str) -> None:
    click.echo(line, err=True)
