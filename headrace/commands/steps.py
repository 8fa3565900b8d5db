"""What commands of several steps share: how they show them, need the oracle, and end."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from connectors.settings import settings

ROOT = Path(__file__).parents[2]
TELL_EVERY_S = 10.0


class UnableError(click.ClickException):
    """A command cannot begin; ends with 2, because 1 says that something was found to be wrong."""

    exit_code = 2


def end_in_order(*_: object) -> NoReturn:
    """End on a signal such that every part is stopped and its data is removed."""
    sys.exit(128 + signal.SIGTERM)


def need_oracle() -> None:
    """Make the oracle importable: it is part of a checkout and not of the package."""
    if settings().registry_address:
        raise UnableError(
            "the oracle reads events by the ids in schemas/lock.json.\n"
            "SCHEMA_REGISTRY_URL says that a registry gives them.\n"
            "hint: unset it; parts that are started for this need none"
        )
    if not (ROOT / "tests" / "oracle").is_dir():
        raise UnableError(
            f"the oracle is not there.\nIt is expected in {ROOT / 'tests' / 'oracle'}.\n"
            "hint: run this from a checkout of the project (scripts/setup installs it)"
        )
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))


def is_explained(error: Exception) -> bool:
    """Whether the text of an error says it all, so that a traceback would not help."""
    return type(error).__module__.partition(".")[0] in ("connectors", "headrace")


@contextmanager
def explained() -> Iterator[None]:
    """End with 2 and what an error says, unless only a traceback does."""
    try:
        yield
    except Exception as error:
        reason = _explanation(error)
        if reason is None:
            raise
        click.echo(f"Error: {reason}", err=True)
        sys.exit(2)


def _explanation(error: Exception) -> str | None:
    from confluent_kafka import KafkaException
    from redis.exceptions import RedisError

    from connectors.cassandra import is_passing

    if is_explained(error):
        return str(error)
    hint = "\nHint: is it up (`headrace stack status`), and is its address right (headrace config)?"
    if isinstance(error, KafkaException):
        return f"Kafka: {error}{hint}"
    if isinstance(error, RedisError):
        return f"Redis: {error}{hint}"
    return f"Cassandra: {error}{hint}" if is_passing(error) else None


class Shown:
    """The steps on standard error: a spinner on a terminal, lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("starting")
        self._step = ""
        self._since = 0.0
        self._told = 0.0

    def __enter__(self) -> Any:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._status.stop()

    def step(self, text: str) -> None:
        """A step has begun, so the one before is done."""
        self._end()
        self._step = text
        self._since = self._told = time.monotonic()
        self._status.update(text)

    def detail(self, text: str) -> None:
        """How far the step is."""
        line = f"{self._step}: {text}"
        self._status.update(line)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._told >= TELL_EVERY_S:
            self._told = now
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _end(self) -> None:
        if self._step:
            seconds = time.monotonic() - self._since
            self._console.print(f"{self._step}: {seconds:.1f} s", highlight=False)
        self._step = ""
