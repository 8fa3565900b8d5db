"""`headrace rebuild timelines`: timelines as the log says, in Redis and Cassandra."""

from __future__ import annotations

import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from headrace.commands.steps import Shown, end_in_order, explained

if TYPE_CHECKING:
    from headrace.rebuild.report import Report


@click.group()
def rebuild() -> None:
    """Rebuild views from the logs, while everything runs."""


@rebuild.command()
@click.option(
    "--user",
    "users",
    multiple=True,
    metavar="USER_ID",
    help="Only this user's; may be given several times.  [default: everybody's]",
)
@click.option(
    "--at",
    metavar="TIME|OFFSET",
    help="As of a moment: 2026-01-31T12:00Z, 2h or 1d12h ago, an offset of timeline-writes "
    "(3:4711, or 4711 with --user).",
)
@click.option("--dry-run", is_flag=True, help="Say what differs, and change nothing.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the report to this file too.",
)
def timelines(
    users: tuple[str, ...], at: str | None, dry_run: bool, json_file: Path | None
) -> None:
    """Compare timelines with what the log has put on them, and mend those that differ.

    Reads the last 30 days of timeline-writes, folds them, and compares: in Redis every feed with
    its floor, in Cassandra every row. A feed that differs is built anew beside the old one and
    takes its place in one step, if nothing was written to Redis meanwhile; else what was written is
    folded too, and it is tried again. Rows are corrected such that what the log says later wins.
    The workers go on all the time, and nothing that they write is lost.

    With --at, a timeline becomes what it was then, and what comes after this command has begun is
    put on it as ever. What was put on between then and now goes. What was taken off comes back if
    only a follow had ended; what was deleted, unshared, hidden from followers or erased since does
    not, and users who are erased are given nothing. What came back from a source that is no longer
    followed stays until it is rebuilt without --at, which brings a timeline to what the log says of
    now. It goes back as far as Kafka keeps the log (37 days).

    Exits with 0 when nothing differs or all was mended, with 1 when something differs still (with
    --dry-run: at all), with 2 when a step fails; what was mended until then stays.

    Uses KAFKA_BROKERS, REDIS_URL and CASSANDRA_HOSTS, else the running local stack. One rebuild at
    a time. Takes up to 500 MB of memory: of partitions with more than 5,000,000 entries a part of
    the users is folded after the other.

    \b
    Examples:
      headrace rebuild timelines --dry-run
      headrace rebuild timelines --user ann --user bob
      headrace rebuild timelines --at 2h --json report.json
      headrace rebuild timelines --at 3:4711
    """
    from connectors.addresses import resolve
    from connectors.settings import settings
    from headrace.rebuild.moment import MomentError, parse_moment
    from headrace.rebuild.run import Options, run

    signal.signal(signal.SIGTERM, end_in_order)
    try:
        moment = None if at is None else parse_moment(at, int(time.time() * 1000))
    except MomentError as error:
        raise click.BadParameter(str(error), param_hint="--at") from error
    chosen = tuple(dict.fromkeys(users))
    options = Options(users=chosen, moment=moment, at=at, is_dry_run=dry_run)
    with explained(), Shown(Console(stderr=True)) as progress:
        report = run(resolve(), settings(), options, progress)
    _show(report)
    if json_file is not None:
        json_file.write_bytes(report.json())
    sys.exit(1 if report.left else 0)


def _show(report: Report) -> None:
    console = Console()
    report.show(console)
    if report.reaches_back_to is not None:
        since = datetime.fromtimestamp(report.reaches_back_to / 1000, UTC)
        console.print(f"what is older than {since:%Y-%m-%d %H:%M} UTC was left as it is")
    console.print(_verdict(report), highlight=False, soft_wrap=True)


def _verdict(report: Report) -> str:
    if not report.different:
        return "nothing differs"
    if report.is_dry_run:
        return f"{report.different:,} timelines differ; nothing was changed"
    if not report.left:
        return f"{report.different:,} timelines differed, and are mended"
    users = ", ".join(report.cassandra.left[:3])
    return (
        f"{report.left:,} of {report.different:,} timelines differ still, in Cassandra "
        f"({users} ...): something else than its sink wrote or deleted rows, later than the log.\n"
        "Hint: give these writes times of the log (docs/operating.md)"
    )
