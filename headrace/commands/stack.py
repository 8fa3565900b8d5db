"""`headrace stack`: the local Kafka, Valkey and Cassandra."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import click

from connectors.settings import settings
from connectors.stack import addresses as records
from connectors.stack.addresses import Addresses, Record
from connectors.stack.errors import StackError

START_S = 900.0  # how long a detached start may take, downloads included
STOP_S = 20.0
CHECK_S = 0.5


@click.group()
def stack() -> None:
    """Kafka, Valkey and Cassandra on this machine, without Docker or an installed Java."""


@stack.command()
@click.option("--detach", "-d", is_flag=True, help="Leave it running until `headrace stack down`.")
@click.option("--fresh", is_flag=True, help="Start with empty data.")
def up(detach: bool, fresh: bool) -> None:
    """Start the stack, create topics and tables, and stay until Ctrl-C."""
    with _explained():
        if records.running() is not None:
            raise StackError(
                f"A stack runs already in {settings().data_dir}",
                hint="`headrace stack status` shows it, `headrace stack down` stops it",
            )
        if detach:
            _detach(fresh)
        else:
            _run(fresh)


@stack.command()
def down() -> None:
    """Stop the stack that runs in the data directory."""
    file = records.record_file()
    record = records.read(file)
    if record is None or not records.is_alive(record.pid, record.created):
        click.echo("no stack is running")
        return
    with _explained(), contextlib.suppress(ProcessLookupError):
        os.kill(record.pid, signal.SIGTERM)
        if not _wait_ended(record):
            os.kill(record.pid, signal.SIGKILL)  # the guards end the parts
            if not _wait_ended(record):
                left = ", ".join(f"{part.name} (pid {part.pid})" for part in record.parts)
                raise StackError("The stack does not end", left, "end its parts with `kill -9`")
    click.echo("the stack has stopped; its data is kept")


def _wait_ended(record: Record) -> bool:
    """Whether the stack and its parts end in time."""
    processes = [(record.pid, record.created), *((part.pid, part.created) for part in record.parts)]
    deadline = time.monotonic() + STOP_S
    while any(pid and records.is_alive(pid, created) for pid, created in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@stack.command()
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Write the status to this file as JSON, to - for standard output.",
)
def status(json_file: Path | None) -> None:
    """Show each part: address, process, version; exit code 1 when the stack is not up."""
    record = records.read(records.record_file())
    found = _status(record)
    if json_file is not None:
        text = json.dumps(found, indent=1) + "\n"
        if str(json_file) == "-":
            click.echo(text, nl=False)
        else:
            json_file.write_text(text)
    if json_file is None or str(json_file) != "-":
        for part in found["parts"]:
            state = "up" if part["is_up"] else "down"
            who = f"pid {part['pid']}" if part["pid"] else "run by others"
            click.echo(
                f"{part['name']:<10} {state:<5} {part['address']:<28} {who:<14} {part['version']}"
            )
        if not found["parts"]:
            click.echo("no stack is running (start one with `headrace stack up`)")
    if not found["is_up"]:
        sys.exit(1)


def _status(record: Record | None) -> dict[str, Any]:
    if record is None:
        return {"is_up": False, "parts": []}
    is_owned = records.is_alive(record.pid, record.created)
    parts = [asdict(part) | {"is_up": is_owned and part.is_up()} for part in record.parts]
    return {"is_up": record.is_up(), "pid": record.pid, "parts": parts}


def _run(fresh: bool) -> None:
    from connectors.stack.local import LocalStack

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    say = _teller()
    local = LocalStack(fresh=fresh, say=say)
    try:
        addresses = local.start()
        from connectors.prepare import prepare

        say("creating topics and tables")
        prepare(addresses)
        local.prepared()
        say("ready")
        _show(addresses)
        if not local.has_parts():
            say("every part is run by others (their addresses are set): nothing to keep running")
            return
        if sys.stdout.isatty():
            say("Ctrl-C stops it")
        while True:
            time.sleep(CHECK_S)
            local.check()
    except KeyboardInterrupt:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        say("stopping")
    finally:
        local.stop()
    say("stopped; the data is kept")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _teller() -> Callable[[str], None]:
    started = time.monotonic()

    def say(line: str) -> None:
        click.echo(f"[{time.monotonic() - started:6.1f} s] {line}", err=True)

    return say


def _show(addresses: Addresses) -> None:
    click.echo(f"kafka      {addresses.kafka}")
    click.echo(f"redis      {addresses.redis}")
    click.echo(f"cassandra  {addresses.cassandra}")
    values = {
        "KAFKA_BROKERS": addresses.kafka,
        "REDIS_URL": addresses.redis,
        "CASSANDRA_HOSTS": addresses.cassandra,
    }
    exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    click.echo(f"export {exports}")


def _detach(fresh: bool) -> None:
    """Start `stack up` as a process of its own, and show what it says until it is ready."""
    log = settings().data_dir / "logs" / "stack.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", "from headrace.cli import main; main()", "stack", "up"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *(["--fresh"] if fresh else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,
        )
    try:
        with log.open("rb") as said:
            record = _wait_prepared(process, said)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        raise
    if record is None:
        sys.exit(process.returncode)
    _show(record.addresses())
    click.echo("it runs in the background; `headrace stack down` stops it", err=True)


def _wait_prepared(process: subprocess.Popen[bytes], said: IO[bytes]) -> Record | None:
    """The record of the process once it is ready, None once the process has ended."""
    deadline = time.monotonic() + START_S
    while True:
        has_ended = process.poll() is not None
        click.echo(said.read().decode(errors="replace"), err=True, nl=False)
        if has_ended:
            return None
        record = records.read(records.record_file())
        if record is not None and record.pid == process.pid and record.is_prepared:
            return record
        if time.monotonic() > deadline:
            raise StackError(f"The stack was not ready within {START_S:.0f} s")
        time.sleep(0.1)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Shows a stack's error as a message, a detail and a hint, without a traceback."""
    try:
        yield
    except StackError as error:
        raise click.ClickException(str(error)) from error
