"""`headrace erase`: erases a user, and says what is gone and where it may still be read."""

from __future__ import annotations

import json
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from headrace.traces import Traces

LOOK_EVERY_S = 0.5
SEEN_EMPTY = 3
"""So many looks in a row must find nothing: what was under way comes within them."""


@click.command()
@click.argument("user_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what there is, and erase nothing.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    help="Seconds until nothing of the user may be in the views.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the report to this file too.",
)
def erase(user_id: str, yes: bool, dry_run: bool, timeout_s: float, json_file: Path | None) -> None:
    """Erase the user USER_ID for ever: profile, posts, engagements, relations, timeline.

    Publishes that the user is deleted, waits until the views hold nothing that is the user's, and
    says what is gone, and until when logs that are kept for a time may still hold it. Exits with 0
    when nothing is left, with 1 when something is after --timeout. To be run again at any time.

    Uses KAFKA_BROKERS, REDIS_URL and CASSANDRA_HOSTS, else the running local stack.

    \b
    Examples:
      headrace erase ann --dry-run
      headrace erase ann --yes --json report.json
    """
    from connectors.addresses import NoAddressError, resolve
    from connectors.settings import settings
    from headrace.traces import Traces
    from schemas.views import DELETED

    config = settings()
    try:
        addresses = resolve()
    except NoAddressError as error:
        raise click.ClickException(str(error)) from error
    console = Console()
    traces = Traces(addresses, config.cassandra_keyspace, config.partitions)
    try:
        before = traces.of(user_id)
        was_deleted = traces.status(user_id) == DELETED
        if dry_run:
            _show(console, user_id, before, None)
            return
        if not yes and not was_deleted:
            click.confirm(f"Erase {user_id} for ever ({sum(before.values()):,} rows)?", abort=True)
        at = _publish(addresses.kafka, user_id)
        with console.status(f"erasing {user_id}"):
            left = _wait(traces, user_id, timeout_s)
    finally:
        traces.close()
    logs = _logs(at)
    _show(console, user_id, before, left)
    for name, until in logs.items():
        console.print(f"{name}: {until}", highlight=False, soft_wrap=True)
    if json_file is not None:
        report = {"user_id": user_id, "before": before, "left": left, "logs": logs}
        json_file.write_text(json.dumps(report, indent=2) + "\n")
    if left is None or any(left.values()):
        console.print(
            f"error: after {timeout_s:.0f} s something is left. Does every worker run (headrace "
            "work)? Run this again when nothing waits any more",
            style="red",
        )
        sys.exit(1)


def _publish(brokers: str, user_id: str) -> datetime:
    """Say that the user is deleted; when that was."""
    from connectors.publisher import Publisher, PublishError
    from connectors.settings import settings
    from schemas.events import User
    from schemas.validation import validate
    from streams.engine.records import RejectedError

    now = datetime.now(UTC)
    at = int(now.timestamp() * 1000)
    event = User(event_id=uuid.uuid4().hex, action="deleted", user_id=user_id, at=at)
    try:
        validate(event, at)
        with Publisher(brokers, registry_url=settings().registry_address) as publisher:
            publisher.publish(event)
    except RejectedError as error:
        raise click.BadParameter(str(error), param_hint="USER_ID") from error
    except PublishError as error:
        raise click.ClickException(str(error)) from error
    return now


def _wait(traces: Traces, user_id: str, timeout_s: float) -> dict[str, int] | None:
    """What is left when nothing is, or the time is over; None when the user is not deleted yet."""
    from schemas.views import DELETED

    deadline = time.monotonic() + timeout_s
    seen_empty = 0
    while True:
        is_deleted = traces.status(user_id) == DELETED
        left = traces.of(user_id)
        seen_empty = seen_empty + 1 if is_deleted and not any(left.values()) else 0
        if seen_empty == SEEN_EMPTY:
            return left
        if time.monotonic() > deadline:
            return left if is_deleted else None
        time.sleep(LOOK_EVERY_S)


def _logs(at: datetime) -> dict[str, str]:
    """Kind of log to what it may hold of the user, and until when."""
    from schemas.topics import DAY_MS, EXTERNAL, INTERNAL, Topic, declared

    configs = {spec.name: spec.config for spec in declared()}

    def end_of(topic: Any) -> str:
        days = int(configs[topic]["retention.ms"]) / DAY_MS
        return f"{at + timedelta(days=days):%Y-%m-%d}"

    return {
        ", ".join((*EXTERNAL, *INTERNAL)): f"events as they came, until {end_of(EXTERNAL[0])}",
        str(
            Topic.TIMELINE_WRITES
        ): f"ids of the user and of posts, until {end_of(Topic.TIMELINE_WRITES)}",
        str(Topic.DEAD_LETTERS): f"events that were refused, until {end_of('dead-letters')}",
        str(Topic.EXPOSURES): f"which experiments the user was in, until {end_of('exposures')}",
        "changelogs and view topics": "former rows, until Kafka compacts the segment they are in",
    }


def _show(
    console: Console, user_id: str, before: dict[str, int], left: dict[str, int] | None
) -> None:
    table = Table(title=f"what is {user_id}'s in the views")
    table.add_column("rows")
    table.add_column("before", justify="right")
    table.add_column("left", justify="right")
    for kind, count in before.items():
        table.add_row(kind, f"{count:,}", "" if left is None else f"{left[kind]:,}")
    console.print(table)
