"""`headrace bench`: Headrace and its peers on the same job, in one run on this machine."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from connectors.settings import settings
from connectors.stack.errors import StackError

SMOKE_EVENTS = 4_000


@click.group()
def bench() -> None:
    """Measure Headrace beside other systems; see docs/benchmarks.md."""


@bench.command()
@click.option(
    "--events",
    type=click.IntRange(min=100),
    default=1_000_000,
    show_default=True,
    help="Engagements in the topic.",
)
@click.option(
    "--systems",
    help="Which, separated by commas.  [default: all]",
)
@click.option("--smoke", is_flag=True, help=f"Only see that it works: {SMOKE_EVENTS:,} events.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the figures to this file.",
)
@click.option(
    "--under",
    default="",
    metavar="COMMAND",
    help="Start the process that folds under this command, such as a profiler.",
)
def core(events: int, systems: str | None, smoke: bool, json_file: Path | None, under: str) -> None:
    """Engagement counters: records/s, and records per CPU second, of each system.

    Fills a topic with Avro engagements, starts one system after the other, and takes the time
    from its first record to the last count in Redis. A like counts once per post and user,
    whatever comes twice or late; a system whose counts differ from a plain fold over the events
    has no figure. Starts a Kafka and a Valkey of its own. Exits with 1 if a figure is void.

    \b
    Examples:
      headrace bench core
      headrace bench core --systems headrace --events 300000
      headrace bench core --systems headrace --under "py-spy record -t -o fold.svg --"
    """
    from bench.core import measure
    from bench.systems import SYSTEMS
    from bench.topic import INPUTS, fill, make
    from connectors.stack.local import LocalStack

    chosen = systems.split(",") if systems else list(SYSTEMS)
    unknown = [name for name in chosen if name not in SYSTEMS]
    if unknown:
        raise click.BadParameter(
            f"{', '.join(unknown)}: choose from {', '.join(SYSTEMS)}", param_hint="--systems"
        )
    config = settings()
    if config.kafka_brokers or config.redis_url:
        raise click.ClickException(
            "a benchmark starts its own Kafka and Valkey, which it empties: unset KAFKA_BROKERS "
            "and REDIS_URL"
        )
    if smoke:
        events = SMOKE_EVENTS
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        directory = Path(name)
        try:
            with LocalStack(directory, fresh=True, parts=("kafka", "redis"), say=_say) as stack:
                addresses = stack.addresses
                make(addresses.kafka, INPUTS)
                likes = {}
                for topic, limit in {(s.topic, s.limit) for s in map(SYSTEMS.get, chosen) if s}:
                    count = min(events, limit or events)
                    began = time.monotonic()
                    likes[topic] = (count, fill(addresses.kafka, topic, count))
                    _say(f"{topic}: {count:,} events ({time.monotonic() - began:.1f} s)")
                for each in chosen:
                    system = SYSTEMS[each]
                    count, expected = likes[system.topic]
                    _say(f"{system.title}: {count:,} events")
                    figures = measure(
                        each,
                        system,
                        addresses,
                        expected,
                        count,
                        directory=directory,
                        under=under,
                        say=_say,
                    )
                    _say(f"  {figures}")
                    found[each] = msgspec.to_builtins(figures)
        except StackError as error:
            raise click.ClickException(str(error)) from error
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(any(figures["void"] for figures in found.values()))


def _say(line: str) -> None:
    click.echo(line, err=True)
