"""What commands share that break or load parts of their own, and judge what came of it."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from rich.console import Console

from headrace.commands.steps import Shown, end_in_order, is_explained

if TYPE_CHECKING:
    from connectors.stack.local import LocalStack
    from headrace.chaos.outcome import Outcome

Command = TypeVar("Command", bound=Callable[..., Any])
Judged = TypeVar("Judged", bound="Outcome")


def report_options(command: Command) -> Command:
    """The options `json_file` and `logs`."""
    logs = click.option(
        "--logs",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Where the workers log.  [default: deleted when all is right]",
    )
    json_file = click.option(
        "--json",
        "json_file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Write the report to this file too.",
    )
    return json_file(logs(command))


def _need_own_parts() -> None:
    """Refuse to break what somebody else runs."""
    from connectors.settings import settings

    config = settings()
    if config.kafka_brokers or config.redis_url or config.cassandra_hosts:
        raise click.ClickException(
            "KAFKA_BROKERS, REDIS_URL or CASSANDRA_HOSTS is set.\n"
            "This command kills and empties the parts that it uses, so it starts its own.\n"
            "hint: unset them"
        )


def run_on_own_parts(
    name: str,
    run: Callable[[LocalStack, Path, Any], Judged],
    show: Callable[[Judged, Console], None],
    json_file: Path | None,
    logs: Path | None,
) -> NoReturn:
    """Run with fresh parts (given them, the directory of logs, and who is told of steps), report,
    and exit: with 0 if all is right, with 1 if not, with 2 if a step fails."""
    signal.signal(signal.SIGTERM, end_in_order)
    _need_own_parts()
    log_dir = logs or Path(tempfile.mkdtemp(prefix=f"headrace-{name}-"))
    console = Console()
    try:
        with Shown(Console(stderr=True)) as progress:
            outcome = _run(name, run, log_dir, progress)
    except Exception as error:
        click.echo(f"Error: {error}\nThe workers' logs are in {log_dir}.", err=True)
        if not is_explained(error):
            raise
        sys.exit(2)
    if json_file is not None:
        json_file.write_bytes(outcome.json())
    show(outcome, console)
    if outcome.is_right and logs is None:
        shutil.rmtree(log_dir)
    else:
        console.print(f"the workers' logs are in {log_dir}", highlight=False, markup=False)
    sys.exit(0 if outcome.is_right else 1)


def _run(
    name: str,
    run: Callable[[LocalStack, Path, Any], Judged],
    log_dir: Path,
    progress: Any,
) -> Judged:
    from connectors.prepare import prepare
    from connectors.stack.local import LocalStack

    progress.step("starting Kafka, Valkey and Cassandra with fresh data")
    with (
        tempfile.TemporaryDirectory(prefix=f"headrace-{name}-") as data_dir,
        LocalStack(Path(data_dir), fresh=True, say=progress.detail) as stack,
    ):
        prepare(stack.addresses)
        return run(stack, log_dir, progress)
