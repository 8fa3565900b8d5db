"""`headrace replay` and `headrace generate`: real data and made-up traffic into Kafka."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from connectors.publisher import PublishError, PublishReport, publish
from connectors.settings import settings
from connectors.sources import (
    SourceError,
    endless_activity,
    follow_events,
    generate_activity,
    generate_network,
    higgs_span,
    kind_of,
    load_higgs,
    profile_events,
    read_follows,
    reading_events,
)
from connectors.stack.addresses import running
from schemas.events import Event

BEFORE_MS = 60_000
"""Follows and profiles are dated this long before the first action."""

NETWORK_SEED = 1
LIVE_RATE = 100.0

_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)
_brokers = click.option(
    "--brokers",
    metavar="HOST:PORT,...",
    help="Kafka's addresses.  [default: KAFKA_BROKERS, else the running local stack]",
)
_json = click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Write events, seconds and events_per_s to this file, to - for standard output.",
)
_directed = click.option(
    "--undirected/--directed",
    default=None,
    help="Whether an edge is a follow each way, or the first follows the second."
    "  [default: undirected for facebook_combined* and *edges.csv*, else directed]",
)


@click.command()
@click.argument("files", nargs=-1, required=True, type=_FILES)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Events a second, evenly paced.  [default: as fast as possible]",
)
@_directed
@_brokers
@_json
def replay(
    files: tuple[Path, ...],
    rate: float | None,
    undirected: bool | None,
    brokers: str | None,
    json_file: Path | None,
) -> None:
    """Publish real data: edge lists as follows, Higgs activity files as posts, shares, comments.

    FILES are gzipped or plain. What each one holds is recognised by its content: lines `u v`
    or `from,to` are edges, lines `a b unix_seconds RT|MT|RE` are actions. Follows go first,
    dated before the first action; times are shifted so that the last action is now.

    \b
    Examples:
      headrace replay facebook_combined.txt.gz
      headrace replay --rate 5000 social_network.edgelist.gz higgs-activity_time.txt.gz
      headrace replay --directed --json report.json my-follows.csv
    """
    with _explained(), _stopping() as stopped:
        kafka = _kafka(brokers)
        total, events = _replayed(files, undirected, int(time.time() * 1000))
        report = _publish(kafka, "events", _until(stopped, events), rate, total)
    _tell(report, stopped, json_file, {"files": [str(file) for file in files]})


def _replayed(
    files: Iterable[Path], undirected: bool | None, now: int
) -> tuple[int, Iterator[Event]]:
    """The number of events in the files, and the events."""
    kinds = {file: kind_of(file) for file in files}
    activity = [file for file, kind in kinds.items() if kind == "higgs"]
    first = now
    streams: list[Iterator[Event]] = []
    total = 0
    for file in activity:
        span = higgs_span(file)
        first = min(first, now - (span.last_s - span.first_s) * 1000)
        events = sum(1 for _ in load_higgs(file, now))
        total += events
        _say(f"{file.name}: {span.actions:,} actions are {events:,} events")
    for file, kind in kinds.items():
        if kind == "follows":
            pairs = _follows(file, undirected)
            total += len(pairs)
            name = file.name.split(".")[0]
            streams.append(follow_events(pairs, first - BEFORE_MS, f"f:{name}"))
    streams.extend(load_higgs(file, now) for file in activity)
    return total, chain.from_iterable(streams)


def _follows(file: Path, undirected: bool | None) -> list[tuple[str, str]]:
    found = read_follows(file, undirected)
    kind = "a follow each way" if found.is_undirected else "`follower followee`"
    chosen = "by its name" if undirected is None else "as told"
    _say(
        f"{file.name}: {len(found.pairs):,} follows, edges read as {kind} ({chosen}); dropped "
        f"{found.duplicates:,} duplicates and {found.self_loops:,} self-loops"
    )
    return found.pairs


@click.command()
@click.option("--users", type=click.IntRange(2), default=2_000, show_default=True)
@click.option(
    "--events",
    type=click.IntRange(0),
    default=100_000,
    show_default=True,
    help="Events of activity; profiles and follows come on top.",
)
@click.option(
    "--seed",
    type=int,
    help="The same seed gives the same people and activity.  [default: the people of seed "
    f"{NETWORK_SEED}, and new activity each time]",
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    default=72.0,
    show_default=True,
    help="The time that the activity covers, up to now.",
)
@click.option(
    "--forever", is_flag=True, help="Live traffic, dated now, until Ctrl-C, instead of --events."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Events of activity a second, evenly paced; profiles and follows go first, unpaced."
    f"  [default: as fast as possible; {LIVE_RATE:g} with --forever]",
)
@click.option(
    "--network", type=_FILES, help="Take the people from this edge list instead of --users."
)
@_directed
@_brokers
@_json
def generate(
    users: int,
    events: int,
    seed: int | None,
    hours: float,
    forever: bool,
    rate: float | None,
    network: Path | None,
    undirected: bool | None,
    brokers: str | None,
    json_file: Path | None,
) -> None:
    """Publish a made-up network and its activity, or live traffic.

    Few people have many followers and some write much more than others; posts go viral,
    things are taken back, and about 1 % of the events come twice or late, as real producers'
    do.

    \b
    Examples:
      headrace generate
      headrace generate --users 20000 --events 1000000 --seed 7
      headrace generate --forever --rate 500
      headrace generate --network facebook_combined.txt.gz --events 200000
    """
    now = int(time.time() * 1000)
    activity_seed = seed if seed is not None else now
    network_seed = seed if seed is not None else NETWORK_SEED
    before = (now if forever else now - int(hours * 3_600_000)) - BEFORE_MS
    with _explained(), _stopping() as stopped:
        kafka = _kafka(brokers)
        if network is None:
            pairs = generate_network(users, network_seed)
        else:
            pairs = _follows(network, undirected)
        people = list(dict.fromkeys(chain.from_iterable(pairs)))
        if not people:
            raise SourceError(f"{network} has no follows.")
        _say(f"{len(people):,} people, {len(pairs):,} follows; activity of seed {activity_seed}")
        first = _publish(
            kafka,
            "people and follows",
            _until(
                stopped,
                chain(
                    profile_events(people, before, network_seed),
                    reading_events(people, now),
                    follow_events(pairs, before, f"f:{network_seed}"),
                ),
            ),
            None,
            2 * len(people) + len(pairs),
        )
        if forever:
            rate = rate or LIVE_RATE
            activity = endless_activity(pairs, activity_seed, lambda: int(time.time() * 1000))
        else:
            activity = generate_activity(pairs, events, activity_seed, now, hours=hours)
        second = _publish(
            kafka, "activity", _until(stopped, activity), rate, None if forever else events
        )
    total = PublishReport(first.acknowledged + second.acknowledged, first.seconds + second.seconds)
    detail = {"seed": activity_seed, "people": len(people), "activity": _figures(second)}
    _tell(total, stopped, json_file, detail)


class _Speed(ProgressColumn):
    """Events per second of late; in the end, over all."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed or 0.0
        return Text(f"{speed:,.0f} events/s")


def _publish(
    kafka: str, what: str, events: Iterator[Event], rate: float | None, total: int | None
) -> PublishReport:
    """Publish under a progress bar on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def advance(count: int) -> None:
            bar.update(task, completed=count)

        url = settings().registry_address
        return publish(kafka, events, rate=rate, progress=advance, registry_url=url)


def _kafka(brokers: str | None) -> str:
    found = brokers or settings().kafka_brokers
    if not found:
        stack = running()
        found = stack.kafka if stack is not None else ""
    if not found:
        raise PublishError(
            "there is no Kafka to publish to.\n"
            "Neither --brokers nor KAFKA_BROKERS is set, and no local stack is running.\n"
            "hint: `headrace stack up` starts one"
        )
    return found


@contextlib.contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, so that what was published is acknowledged first.

    A second Ctrl-C interrupts at once.
    """
    stopped = threading.Event()
    before: dict[signal.Signals, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(*_: object) -> None:
        stopped.set()
        restore()

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    try:
        yield stopped
    finally:
        restore()


def _until(stopped: threading.Event, events: Iterable[Event]) -> Iterator[Event]:
    is_set: Callable[[], bool] = stopped.is_set
    for event in events:
        if is_set():
            return
        yield event


def _tell(
    report: PublishReport,
    stopped: threading.Event,
    json_file: Path | None,
    detail: dict[str, Any],
) -> None:
    to_stdout = str(json_file) == "-"
    how = "stopped; " if stopped.is_set() else ""
    click.echo(
        f"{how}{report.acknowledged:,} events acknowledged in {report.seconds:.1f} s "
        f"({report.events_per_s:,.0f} events/s)",
        err=to_stdout,
    )
    if json_file is None:
        return
    text = json.dumps(_figures(report) | {"is_complete": not stopped.is_set()} | detail) + "\n"
    if to_stdout:
        click.echo(text, nl=False)
        return
    try:
        json_file.write_text(text)
    except OSError as error:
        raise click.ClickException(f"cannot write the report.\n{error}") from error


def _figures(report: PublishReport) -> dict[str, Any]:
    return {
        "events": report.acknowledged,
        "seconds": round(report.seconds, 3),
        "events_per_s": round(report.events_per_s, 1),
    }


def _say(line: str) -> None:
    click.echo(line, err=True)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Shows an error as a message, a detail and a hint, without a traceback."""
    try:
        yield
    except (PublishError, SourceError) as error:
        raise click.ClickException(str(error)) from error
