"""`headrace work`: the apps and the API as supervised processes on this machine."""

from __future__ import annotations

import os
import signal
import threading

import click

from connectors.stack.errors import StackError

APPS = ("app", "views", "archive", "api")


@click.command()
@click.argument("apps", nargs=-1, type=click.Choice(APPS))
def work(apps: tuple[str, ...]) -> None:
    """Run APPS (all by default) until Ctrl-C, and start again what ends.

    \b
    app      intake, clock and folds        views    the Redis sink
    archive  the Cassandra sink             api      the HTTP API

    Uses KAFKA_BROKERS, REDIS_URL and CASSANDRA_HOSTS, else the running local stack, else starts
    one of its own. Logs are in HEADRACE_DATA_DIR/logs, those of a second one beside the first in
    HEADRACE_DATA_DIR/logs-2.

    SIGUSR1 replaces the processes one after the other, for an update of this installation or of
    files that settings name: each new one is prepared before the old one ends; where it cannot be
    prepared the old one runs on, and the others are left as they are.
    """
    from connectors.admin import PartitionCountError
    from connectors.prepare import prepare
    from connectors.settings import settings
    from connectors.stack.local import use_stack
    from headrace.supervisor import Supervisor, keep_running

    stop = threading.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: stop.set())
    replacing = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: replacing.set())
    logs = settings().data_dir / "logs"
    try:
        with use_stack() as addresses:
            prepare(addresses)
            with Supervisor(addresses, apps or APPS, log_dir=logs) as supervisor:
                click.echo(f"running as {os.getpid()}; Ctrl-C stops", err=True)
                keep_running(supervisor, lambda: None, stop, replacing)
    except (StackError, PartitionCountError) as error:
        raise click.ClickException(str(error)) from error
