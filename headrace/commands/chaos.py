"""`headrace chaos`: the pipeline is broken on purpose, and its views must be right afterwards."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace.chaos.schedule import schedule, within
from headrace.commands.own_parts import report_options, run_on_own_parts
from headrace.commands.steps import need_oracle

if TYPE_CHECKING:
    from headrace.chaos.run import ChaosOutcome

PLANNED = 60  # two rounds


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="Decides faults and load.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="How long faults begin; the last one is waited for.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Events a second.",
)
@click.option(
    "--users",
    type=click.IntRange(min=10),
    default=250,
    show_default=True,
    help="People of the generated network.",
)
@click.option(
    "--state",
    type=click.Choice(["memory", "rocksdb"]),
    default="rocksdb",
    show_default=True,
    help="Where workers keep rows; those on disk are damaged too.",
)
@report_options
@click.option("--plan", "is_only_plan", is_flag=True, help="Print the first faults of the seed.")
def chaos(
    seed: int,
    minutes: float,
    rate: float,
    users: int,
    state: str,
    json_file: Path | None,
    logs: Path | None,
    is_only_plan: bool,
) -> None:
    """Break the running pipeline on purpose, and compare its views with what the events imply.

    Starts Kafka, Valkey, Cassandra, the workers and the API with fresh data, and publishes the
    events of a generated crowd, some twice and some late. Meanwhile workers are killed at every
    step of a checkpoint, stopped until another has taken over, joined and left; Kafka, Redis and
    Cassandra are killed, emptied and cut off; answers are lost; records are poison. Each fault
    must land in the middle of work. Then every view is compared with an independent computation,
    and every record that the intake and the folds wrote is counted; workers must have kept to
    their memory.

    The same seed gives the same faults, round by round, each round every fault once; how many of
    them the minutes hold is up to the machine. Exits with 0 when all of this is so, with 1 when
    not, with 2 if a step fails. It uses some 5 GB of memory, and always parts of its own.

    \b
    Examples:
      headrace chaos --seed 7 --minutes 5 --json report.json
      headrace chaos --seed 7 --plan
    """
    faults = schedule(seed, state)
    if is_only_plan:
        for number, fault in enumerate(islice(faults, PLANNED), 1):
            click.echo(f"{number:3} after {fault.pause_s:.1f} s: {fault}")
        return
    need_oracle()
    from headrace.chaos.run import Options, run

    options = Options(
        seed=seed, faults=within(faults, minutes * 60), rate=rate, users=users, state=state
    )
    run_on_own_parts("chaos", partial(run, options), _show, json_file, logs)


def _show(outcome: ChaosOutcome, console: Console) -> None:
    """Print the faults, the comparison and the verdict."""
    table = Table("at", "fault", "mended in", "what proves that it landed")
    for landed in outcome.faults:
        evidence = ", ".join(f"{name} {value}" for name, value in landed.evidence.items())
        table.add_row(
            f"{landed.at_s:.0f} s", str(landed.fault), f"{landed.seconds:.1f} s", Text(evidence)
        )
    console.print(table)
    outcome.views.show(console)
    lines = [
        f"{outcome.events:,} events in {outcome.load_s:.0f} s, then {outcome.quiet_s:.1f} s until "
        f"nothing waited; workers ended {len(outcome.ends)} times and came back",
        f"memory in MB: {_sizes(outcome.memory_at_begin)} at the begin, "
        f"{_sizes(outcome.memory_at_end)} at the end, {_sizes(outcome.memory_peak)} at most",
    ]
    if outcome.once is not None:
        lines.append(outcome.once.told)
    outputs = outcome.outputs
    if outputs is not None:
        lines.append(
            f"{outputs.implied:,} facts and timeline operations must come of the internal logs: "
            f"{outputs.missing:,} are missing, {outputs.surplus:,} are too many"
        )
    lines.append(outcome.verdict(f"all {outcome.views.compared:,} rows are as the events imply"))
    console.print("\n".join(lines), highlight=False, markup=False)


def _sizes(memory: dict[str, int]) -> str:
    return ", ".join(f"{name} {size:,}" for name, size in memory.items())
