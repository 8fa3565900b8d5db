"""`headrace demo`: everything on this machine, a made-up network, and where to look."""

from __future__ import annotations

import itertools
import json
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from connectors.admin import PartitionCountError
from connectors.lag import Lag, LagTimeoutError, wait_until_quiet
from connectors.loopback import is_loopback
from connectors.prepare import prepare
from connectors.publisher import Publisher, PublishError, publish
from connectors.settings import settings
from connectors.sources import (
    endless_activity,
    follow_events,
    generate_activity,
    generate_network,
    profile_events,
    reading_events,
)
from connectors.stack.addresses import Addresses
from connectors.stack.errors import StackError
from connectors.stack.local import use_stack
from headrace.freshness import measure
from headrace.supervisor import Supervisor, keep_running
from schemas.events import Event

NETWORK_SEED = 1
HOURS = 72
DAY_MS = 86_400_000
LIVE_RATE = 50.0
QUIET_SECONDS = 900.0
SHOWN_POSTS = 5

Pairs = list[tuple[str, str]]


class Figures(msgspec.Struct):
    """What the demo measured; rates are from the first event published to the last view shown."""

    users: int
    events: int
    start_s: float
    events_per_s: float
    timeline_writes: int
    timeline_writes_per_s: float
    event_to_feed_p50_ms: float
    event_to_feed_p99_ms: float
    lost: int


class _Fed(NamedTuple):
    """How many people and events went in, in how long, and how many timeline entries came of it."""

    users: int
    events: int
    seconds: float
    writes: int


@click.command()
@click.option("--exit", "is_exiting", is_flag=True, help="End after the figures are printed.")
@click.option("--users", type=click.IntRange(min=10), default=2_000, show_default=True)
@click.option("--events", type=click.IntRange(min=1), default=50_000, show_default=True)
@click.option("--fresh", is_flag=True, help="Start with empty data.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE"
)
def demo(is_exiting: bool, users: int, events: int, fresh: bool, json_file: Path | None) -> None:
    """Start all parts, the workers and the API; feed in a social network; print where to look.

    The network is made up: USERS people with a few very popular ones, who in three days did
    EVENTS things. Stays up with live traffic until Ctrl-C, unless --exit.
    """
    console = Console()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    began = time.monotonic()
    try:
        with use_stack(fresh=fresh) as addresses:
            prepare(addresses)
            logs = settings().data_dir / "logs"
            apps = ("app", "views", "archive", "api")
            is_local = is_loopback(settings().api_host)
            with Supervisor(addresses, apps, log_dir=logs, is_trying_out=is_local) as supervisor:
                start_s = time.monotonic() - began
                console.print(f"Everything runs after {start_s:.1f} s.")
                pairs = generate_network(users, NETWORK_SEED)
                fed = _feed_in(console, addresses, supervisor, pairs, events)
                reader = Counter(follower for follower, _ in pairs).most_common(1)[0][0]
                _show_feed(console, supervisor, reader)
                console.print("Measuring how long a post takes until it stands in a feed ...")
                freshness = measure(addresses, settings().partitions, pairs)
                figures = Figures(
                    users=fed.users,
                    events=fed.events,
                    start_s=round(start_s, 1),
                    events_per_s=round(fed.events / fed.seconds, 1),
                    timeline_writes=fed.writes,
                    timeline_writes_per_s=round(fed.writes / fed.seconds, 1),
                    event_to_feed_p50_ms=freshness.p50_ms,
                    event_to_feed_p99_ms=freshness.p99_ms,
                    lost=freshness.lost,
                )
                _show_figures(console, supervisor, reader, figures)
                if json_file is not None:
                    json_file.write_bytes(msgspec.json.encode(figures) + b"\n")
                if figures.lost:
                    raise click.ClickException(f"{figures.lost} posts did not reach a feed in time")
                if not is_exiting:
                    _stay(console, addresses, supervisor, pairs)
    except (StackError, LagTimeoutError, PublishError, PartitionCountError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        console.print("stopped")


def _feed_in(
    console: Console,
    addresses: Addresses,
    supervisor: Supervisor,
    pairs: Pairs,
    count: int,
) -> _Fed:
    now = time.time_ns() // 1_000_000
    before = now - HOURS * 3_600_000 - DAY_MS
    people = list(dict.fromkeys(itertools.chain.from_iterable(pairs)))
    activity = generate_activity(pairs, count, now, now, hours=HOURS)
    total = 2 * len(people) + len(pairs) + count
    stream: Iterator[Event] = itertools.chain(
        profile_events(people, before, NETWORK_SEED),
        reading_events(people, now),
        follow_events(pairs, before),
        activity,
    )
    written = _deliveries(supervisor)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        task = progress.add_task("publishing", total=total)
        report = publish(
            addresses.kafka,
            stream,
            progress=lambda sent: progress.update(task, completed=sent),
            registry_url=settings().registry_address,
        )
        progress.update(task, completed=report.acknowledged, description="published ")
        waiting = progress.add_task("processing", total=None)
        drained = time.perf_counter()

        def tell(lag: Lag) -> None:
            supervisor.tend()
            progress.update(waiting, description=f"processing, {lag.total:,} wait")

        wait_until_quiet(addresses.kafka, QUIET_SECONDS, tell)
        seconds = report.seconds + time.perf_counter() - drained
        progress.update(waiting, description="processed ", total=1, completed=1)
    writes = _deliveries(supervisor) - written
    return _Fed(len(people), report.acknowledged, seconds, writes)


def _deliveries(supervisor: Supervisor) -> int:
    """Timeline entries that SourceFold has written so far."""
    stages = _get(f"{supervisor.monitor_urls['app']}/stages/")
    return int(stages["by-source"]["deliveries"])


def _get(url: str, token: str | None = None) -> dict[str, Any]:
    request = urllib.request.Request(url)
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        body: dict[str, Any] = json.load(answer)
    return body


def _feed_url(supervisor: Supervisor) -> str:
    return f"{supervisor.api_url}/api/v1/feed?limit={SHOWN_POSTS}"


def _show_feed(console: Console, supervisor: Supervisor, reader: str) -> None:
    feed = _get(_feed_url(supervisor), supervisor.token(reader))
    table = Table(title=f"The feed of {reader}", title_justify="left")
    for column in ("when", "by", "what", "likes", "comments", "shares", "because"):
        table.add_column(column)
    for post in feed["posts"]:
        table.add_row(
            post["created_at"][5:16].replace("T", " "),
            post["user"]["user_id"],
            post["content"][:48],
            str(post["like_count"]),
            str(post["comment_count"]),
            str(post["share_count"]),
            ", ".join(post["reasons"]),
        )
    console.print(table)


def _show_figures(console: Console, supervisor: Supervisor, reader: str, figures: Figures) -> None:
    url = _feed_url(supervisor)
    console.print(
        f"{figures.events:,} events of {figures.users:,} people: "
        f"{figures.events_per_s:,.0f} events/s, "
        f"{figures.timeline_writes_per_s:,.0f} timeline writes/s\n"
        f"event to feed: p50 {figures.event_to_feed_p50_ms:.0f} ms, "
        f"p99 {figures.event_to_feed_p99_ms:.0f} ms\n"
    )
    monitors = supervisor.monitor_urls
    console.print(f"page      {supervisor.api_url}/#user={reader}", soft_wrap=True)
    console.print(f"API       {supervisor.api_url}/docs", soft_wrap=True)
    for name, address in monitors.items():
        console.print(f"monitor   {address}/ ({name}), stages {address}/stages/", soft_wrap=True)
    console.print(f"metrics   {supervisor.api_url}/metrics", soft_wrap=True)
    for address in monitors.values():
        console.print(f"          {address}/metrics/", soft_wrap=True)
    console.print(
        f"a feed    curl -H \"Authorization: Bearer $(.venv/bin/headrace token {reader})\" '{url}'",
        soft_wrap=True,
        highlight=False,
    )


def _stay(console: Console, addresses: Addresses, supervisor: Supervisor, pairs: Pairs) -> None:
    console.print(f"\nLive traffic of {LIVE_RATE:.0f} events/s; Ctrl-C stops everything.")
    stop = threading.Event()
    traffic = threading.Thread(target=_live, args=(addresses, pairs, stop), daemon=True)
    traffic.start()
    try:
        keep_running(supervisor, lambda: None, stop)
    finally:
        stop.set()
        traffic.join(10)
        console.print("stopping ...")


def _live(addresses: Addresses, pairs: Pairs, stop: threading.Event) -> None:
    seed = time.time_ns()
    events = endless_activity(pairs, seed, lambda: time.time_ns() // 1_000_000)
    with Publisher(addresses.kafka, registry_url=settings().registry_address) as publisher:
        while not stop.wait(1 / LIVE_RATE):
            publisher.publish(next(events))
            publisher.poll()
