"""`headrace migrate`: adds partitions to a deployment, by a new generation of its topics."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from headrace.commands.steps import Shown, end_in_order, explained

if TYPE_CHECKING:
    from headrace.migrate.run import Migration

STEPS = """\
The steps, with all workers stopped:
  1. fence every stage, so that nobody of the old generation commits any more
  2. make the topics of generation {next}, with {after} partitions
  3. copy rows and unread records of the folds, and the views, by what they are of
  4. compare what was read with what is there; set the positions of Cassandra and of deliveries
  5. give dead-letters {after} partitions: no worker of the old setting starts from then on
  6. give all other topics that stay {after} partitions: the new generation holds
Then set HEADRACE_PARTITIONS={after} and HEADRACE_GENERATION={next}, and start the workers."""


@click.group()
def migrate() -> None:
    """Add partitions to a deployment (docs/operating.md, "Adding partitions")."""


@migrate.command()
@click.option(
    "--to",
    required=True,
    type=click.IntRange(2, 4_096),
    metavar="PARTITIONS",
    help="How many there are to be: a multiple of HEADRACE_PARTITIONS.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be copied, and change nothing.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the report to this file too.",
)
def partitions(to: int, dry_run: bool, json_file: Path | None) -> None:
    """Make a deployment of N partitions one of a multiple of N.

    Which partition something is in depends on their number. So the internal topics are made anew
    with more partitions, as the next generation, and what stands in the old ones is copied: the
    folds' rows from their changelogs, the records that no fold has read yet, the views and the
    timelines. Topics of producers, dead letters and exposures stay, and are given partitions at the
    end. Nothing of the old generation is changed.

    Stop all workers and `headrace deliver` before; it is refused while one is alive. Producers and
    the API go on: events wait in Kafka, the API serves what there is. Run it with the
    HEADRACE_PARTITIONS and HEADRACE_GENERATION that the workers had; it prints those that they get.
    Until it closes the old generation, the workers can be started again with the old ones, and
    nothing has happened. If it is interrupted, run it again: it begins anew, or goes on with its
    last step.

    Needs room for a second copy of the internal topics in Kafka and of the views in Redis, until
    `headrace migrate drop`.

    Exits with 0 when it is done (--dry-run: could be done), with 2 when it is refused or a step
    fails.

    Uses KAFKA_BROKERS, REDIS_URL and CASSANDRA_HOSTS, else the running local stack.

    \b
    Examples:
      headrace migrate partitions --to 16 --dry-run
      headrace migrate partitions --to 16
    """
    from connectors.addresses import resolve
    from connectors.settings import settings
    from headrace.migrate.plan import plan_for
    from headrace.migrate.run import Migration

    signal.signal(signal.SIGTERM, end_in_order)
    with explained():
        plan = plan_for(settings(), to)
        with Shown(Console(stderr=True)) as progress:
            migration = Migration(resolve(), settings(), plan, progress)
            if dry_run:
                progress.step("looking at what there is")
                stand = migration.look()
            else:
                migration.run()
    report, console = migration.report, Console()
    if json_file is not None:
        json_file.write_bytes(report.json())
    if dry_run:
        report.show_offsets(console)
        for each in report.members:
            click.echo(f"is to be stopped: {each}")
        click.echo(f"of an earlier run: {stand.value}")
        click.echo(STEPS.format(after=plan.after, next=plan.next_generation))
        return
    report.show(console)
    _say_what_is_next(migration)


@migrate.command()
@click.argument("generation", type=click.IntRange(1))
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(generation: int, yes: bool) -> None:
    """Delete what an earlier GENERATION has left: topics, keys in Redis, and rows on this disk.

    Run it with the new HEADRACE_PARTITIONS and HEADRACE_GENERATION, when all processes of the API
    have them. It is refused while Redis is not filled by the new generation, or GENERATION is not
    an earlier one. Cassandra has nothing to delete: its rows are those of all generations. Rows on
    the disks of other machines (HEADRACE_STATE=rocksdb) are in HEADRACE_DATA_DIR/state and may be
    deleted by hand. It may be interrupted, and run again.

    Exits with 0 when all is gone, with 2 when it is refused or fails.

    \b
    Examples:
      headrace migrate drop 1
    """
    from connectors.addresses import resolve
    from connectors.settings import settings
    from headrace.migrate.drop import check
    from headrace.migrate.drop import drop as drop_generation

    with explained():
        check(resolve(), settings(), generation)
    if not yes:
        click.confirm(f"Delete the topics and keys of generation {generation}?", abort=True)
    with explained(), Shown(Console(stderr=True)) as progress:
        dropped = drop_generation(resolve(), settings(), generation, progress)
    click.echo(f"{dropped.topics} topics and {dropped.keys:,} keys were deleted")


def _say_what_is_next(migration: Migration) -> None:
    report = migration.report
    plan = report.plan
    click.echo(
        f"{report.records:,} records were copied in {report.seconds:.1f} s, and {report.kept:,} "
        f"keys that the API keeps. There are {plan.after} partitions now.\n"
        f"Set HEADRACE_PARTITIONS={plan.after} and HEADRACE_GENERATION={plan.next_generation} for "
        "every process, and start the workers; then, once those of `views` have come to the end, "
        f"the API; then `headrace migrate drop {plan.generation}`"
    )
