"""`headrace chaos`: the pipeline is broken on purpose, and its views must be right afterwards."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace.chaos.schedule import schedule, within
from headrace.commands.steps import Shown, end_in_order, is_explained, need_oracle

if TYPE_CHECKING:
    from headrace.chaos.run import Options, Outcome

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
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the report to this file too.",
)
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the workers log.  [default: deleted when all is right]",
)
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
    signal.signal(signal.SIGTERM, end_in_order)
    need_oracle()
    need_own_parts()
    from headrace.chaos.run import Options

    options = Options(
        seed=seed, faults=within(faults, minutes * 60), rate=rate, users=users, state=state
    )
    log_dir = logs or Path(tempfile.mkdtemp(prefix="headrace-chaos-"))
    console = Console()
    try:
        with Shown(Console(stderr=True)) as progress:
            outcome = _run(options, log_dir, progress)
    except Exception as error:
        click.echo(f"Error: {error}\nThe workers' logs are in {log_dir}.", err=True)
        if not is_explained(error):
            raise
        sys.exit(2)
    if json_file is not None:
        json_file.write_bytes(outcome.json())
    _show(outcome, console)
    if outcome.is_right and logs is None:
        shutil.rmtree(log_dir)
    else:
        console.print(f"the workers' logs are in {log_dir}", highlight=False, markup=False)
    sys.exit(0 if outcome.is_right else 1)


def need_own_parts() -> None:
    """Refuse to break what somebody else runs."""
    from connectors.settings import settings

    config = settings()
    if config.kafka_brokers or config.redis_url or config.cassandra_hosts:
        raise click.ClickException(
            "KAFKA_BROKERS, REDIS_URL or CASSANDRA_HOSTS is set.\n"
            "This command kills and empties the parts that it uses, so it starts its own.\n"
            "hint: unset them"
        )


def _run(options: Options, log_dir: Path, progress: Any) -> Outcome:
    from connectors.admin import prepare
    from connectors.stack.local import LocalStack
    from headrace.chaos.run import run

    progress.step("starting Kafka, Valkey and Cassandra with fresh data")
    with (
        tempfile.TemporaryDirectory(prefix="headrace-chaos-") as data_dir,
        LocalStack(Path(data_dir), fresh=True, say=progress.detail) as stack,
    ):
        prepare(stack.addresses)
        return run(options, stack, log_dir, progress)


def _show(outcome: Outcome, console: Console) -> None:
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
    once = outcome.once
    if once is not None:
        lines.append(
            f"{once.external:,} valid records, {once.routed:,} in the internal logs: {once.lost:,} "
            f"lost, {once.doubled:,} doubled; {once.dead_letters:,} dead letters, "
            f"{once.dead_letters_doubled:,} doubled"
        )
    outputs = outcome.outputs
    if outputs is not None:
        lines.append(
            f"{outputs.implied:,} facts and timeline operations must come of the internal logs: "
            f"{outputs.missing:,} are missing, {outputs.surplus:,} are too many"
        )
    lines.append(
        f"all {outcome.views.compared:,} rows are as the events imply"
        if outcome.is_right
        else f"NOT RIGHT: {'; '.join(outcome.wrong)}"
    )
    console.print("\n".join(lines), highlight=False, markup=False)


def _sizes(memory: dict[str, int]) -> str:
    return ", ".join(f"{name} {size:,}" for name, size in memory.items())
