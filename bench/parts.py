"""The parts of a benchmark: its own, fresh, and gone at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from connectors.settings import settings
from connectors.stack.addresses import Addresses
from connectors.stack.errors import StackError
from connectors.stack.local import LocalStack


class Parts(NamedTuple):
    """Where the parts are, and a directory for what the run leaves."""

    addresses: Addresses
    directory: Path


@contextmanager
def own_parts(
    say: Callable[[str], None],
    names: Collection[str] = ("kafka", "redis"),
    *,
    is_lasting: bool = False,
) -> Iterator[Parts]:
    """Start them, and stop them at the end; lasting ones for a run that lets them warm up.

    Raises:
        StackError: they cannot be started, or the settings name others.
    """
    config = settings()
    if config.kafka_brokers or config.redis_url:
        raise StackError(
            "KAFKA_BROKERS or REDIS_URL is set",
            "a benchmark empties its Kafka and its Redis",
            "unset them: it starts its own",
        )
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        directory = Path(name)
        with LocalStack(
            directory, fresh=True, parts=names, say=say, is_lasting=is_lasting
        ) as stack:
            yield Parts(stack.addresses, directory)
