"""`headrace campaign`: very many records of one sort, each of which must be accounted for."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from headrace.commands.chaos import need_own_parts
from headrace.commands.steps import Shown, end_in_order, is_explained, need_oracle

if TYPE_CHECKING:
    from headrace.campaign.run import Options, Outcome


@click.group()
def campaign() -> None:
    """Publish very many records of one sort, and account for each."""


@campaign.command("bad-input")
@click.option(
    "--records", type=click.IntRange(min=1), default=1_000_000, show_default=True, help="How many."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Decides records and load.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Events a second of a well-behaved crowd beside them.",
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
def bad_input(
    records: int, seed: int, rate: float, json_file: Path | None, logs: Path | None
) -> None:
    """Publish records as bad producers would: every one must be in the views, or a dead letter with
    the right reason.

    Starts Kafka, Valkey, Cassandra, the workers and the API with fresh data. Valid events of every
    sort are broken: their bytes (bits, cuts, noise, other formats, other schemas), fields (ids,
    texts, and what must be there), times, sizes, topics and keys. Then the views are compared with
    an independent computation, which also says why a record is not taken, and every record is
    counted. No worker may end, or take more memory than it may.

    Exits with 0 when all of this is so, with 1 when not, with 2 if a step fails. A million records
    take some 15 minutes on two processors and 3 GB of disk.

    \b
    Examples:
      headrace campaign bad-input --records 100000
      headrace campaign bad-input --seed 7 --json report.json
    """
    signal.signal(signal.SIGTERM, end_in_order)
    need_oracle()
    need_own_parts()
    from headrace.campaign.run import Options

    log_dir = logs or Path(tempfile.mkdtemp(prefix="headrace-campaign-"))
    console = Console()
    try:
        with Shown(Console(stderr=True)) as progress:
            outcome = _run(Options(records=records, seed=seed, rate=rate), log_dir, progress)
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


def _run(options: Options, log_dir: Path, progress: Any) -> Outcome:
    from connectors.admin import prepare
    from connectors.stack.local import LocalStack
    from headrace.campaign.run import run

    progress.step("starting Kafka, Valkey and Cassandra with fresh data")
    with (
        tempfile.TemporaryDirectory(prefix="headrace-campaign-") as data_dir,
        LocalStack(Path(data_dir), fresh=True, say=progress.detail) as stack,
    ):
        prepare(stack.addresses)
        return run(options, stack, log_dir, progress)


def _show(outcome: Outcome, console: Console) -> None:
    """Print what was done, the comparison and the verdict."""
    done, reasons = Table("what was done", "records"), Table("dead letters", "records")
    for table, counts in ((done, outcome.kinds), (reasons, outcome.reasons)):
        for name, count in sorted(counts.items()):
            table.add_row(name, f"{count:,}")
        console.print(table)
    outcome.views.show(console)
    lines = [
        f"{outcome.records:,} records beside {outcome.events:,} events of the load in "
        f"{outcome.publish_s:.0f} s, then {outcome.quiet_s:.0f} s until nothing waited",
    ]
    once = outcome.once
    if once is not None:
        lines.append(
            f"{once.external:,} valid records, {once.routed:,} in the internal logs: {once.lost:,} "
            f"lost, {once.doubled:,} doubled; {once.dead_letters:,} dead letters, "
            f"{once.dead_letters_doubled:,} doubled, {outcome.misjudged:,} with a wrong reason"
        )
    lines.append(
        f"every record is accounted for, and all {outcome.views.compared:,} rows are as the events "
        "imply"
        if outcome.is_right
        else f"NOT RIGHT: {'; '.join(outcome.wrong)}"
    )
    console.print("\n".join(lines), highlight=False, markup=False)
