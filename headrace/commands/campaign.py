"""`headrace campaign`: very many records of one sort, each of which must be accounted for."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from headrace.commands.own_parts import report_options, run_on_own_parts
from headrace.commands.steps import need_oracle

if TYPE_CHECKING:
    from headrace.campaign.run import CampaignOutcome


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
@report_options
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
    need_oracle()
    from headrace.campaign.run import Options, run

    options = Options(records=records, seed=seed, rate=rate)
    run_on_own_parts("campaign", partial(run, options), _show, json_file, logs)


def _show(outcome: CampaignOutcome, console: Console) -> None:
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
    if outcome.once is not None:
        lines.append(f"{outcome.once.told}, {outcome.misjudged:,} with a wrong reason")
    lines.append(
        outcome.verdict(
            f"every record is accounted for, and all {outcome.views.compared:,} rows are as the "
            "events imply"
        )
    )
    console.print("\n".join(lines), highlight=False, markup=False)
