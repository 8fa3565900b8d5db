"""`headrace bench`: Headrace and its peers on the same job, in one run on this machine."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import NoReturn

import click

from connectors.stack.errors import StackError
from headrace.commands.bench_tables import (
    finish,
    show_core,
    show_engagement,
    show_fanout,
    show_read,
    show_restore,
)

SMOKE_EVENTS = 4_000
SMOKE_RATE = 200.0
SMOKE_POSTS = 100
SMOKE_DELIVERIES = 1_000
SMOKE_READERS = 10
SMOKE_READS = 50.0

_JSON = click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the figures to this file too.",
)
_SMOKE = click.option(
    "--smoke", is_flag=True, help=f"{SMOKE_EVENTS:,} events: only to see that it works."
)
_EVENTS = click.option(
    "--events",
    type=click.IntRange(min=100),
    default=1_000_000,
    show_default=True,
    help="Engagements in the topic.",
)


@click.group()
def bench() -> None:
    """Measure Headrace, beside other systems on the same job; docs/benchmarks.md says how."""
    signal.signal(signal.SIGTERM, _end)


def _end(*_: object) -> NoReturn:
    """End in order, so that every part is stopped and its data is removed."""
    sys.exit(128 + signal.SIGTERM)


@bench.command()
@_EVENTS
@click.option(
    "--systems",
    metavar="A,B,...",
    help="Of headrace, at_least_once, kafka_streams, quixstreams and stock.  [default: all]",
)
@_SMOKE
@_JSON
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
    has no figure. Stock Faust gets 60,000 events. Starts a Kafka and a Valkey of its own.
    Exits with 1 if a figure is void; a missed target is no failure.

    \b
    Examples:
      headrace bench core
      headrace bench core --systems headrace --events 300000
      headrace bench core --systems headrace --under "py-spy record -t -o fold.svg --"
    """
    from bench.core import run
    from bench.parts import own_parts
    from bench.systems import SYSTEMS

    names = systems.split(",") if systems else list(SYSTEMS)
    unknown = [name for name in names if name not in SYSTEMS]
    if unknown:
        raise click.BadParameter(
            f"{', '.join(unknown)}: choose from {', '.join(SYSTEMS)}", param_hint="--systems"
        )
    try:
        with own_parts(_say) as parts:
            report = run(parts, names, SMOKE_EVENTS if smoke else events, under, _say)
    except StackError as error:
        raise click.ClickException(str(error)) from error
    show_core(report)
    finish(report, smoke, json_file)


@bench.command()
@_EVENTS
@_SMOKE
@_JSON
def restore(events: int, smoke: bool, json_file: Path | None) -> None:
    """Changelog rows/s of a restore: Headrace's, and stock Faust's table recovery.

    Lets each do the job of `headrace bench core` once, which writes its changelog, and then
    times one process that restores all 8 partitions. A restore that lacks a row has no figure.
    Stock Faust gets 60,000 events. Starts a Kafka and a Valkey of its own. Exits with 1 if a
    figure is void; a missed target is no failure.
    """
    from bench.parts import own_parts
    from bench.restore import run

    try:
        with own_parts(_say) as parts:
            report = run(parts, SMOKE_EVENTS if smoke else events, _say)
    except StackError as error:
        raise click.ClickException(str(error)) from error
    show_restore(report)
    finish(report, smoke, json_file)


@bench.command()
@click.option(
    "--rate",
    type=click.FloatRange(min=1),
    metavar="N",
    help="Records a second.  [default: half of the most that is carried]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=30.0,
    show_default=True,
    help="How long to probe.",
)
@_SMOKE
@_JSON
def latency(rate: float | None, seconds: float, smoke: bool, json_file: Path | None) -> None:
    """From an event to its count in Redis, in ms, idle and under half of the maximum load.

    The maximum is what fold and sink carry while it is written, with at most 200,000 records that
    wait. Every 50 ms a like of a post of its own is sent, whatever became of those before, and its
    count looked for every 2 ms. Starts a Kafka and a Valkey of its own. Exits with 1 if a probe
    is lost or the load is not reached; a missed target is no failure.
    """
    from bench.latency import run
    from bench.parts import own_parts

    if smoke:
        seconds, rate = 2.0, SMOKE_RATE
    try:
        with own_parts(_say) as parts:
            report = run(parts, rate, seconds, _say)
    except StackError as error:
        raise click.ClickException(str(error)) from error
    if report.void:
        click.echo(f"void: {report.void}")
    else:
        if report.most_records_per_s:
            click.echo(f"the most that is carried: {report.most_records_per_s:,.0f} records/s")
        click.echo(
            f"idle: p50 {report.idle_p50_ms:,.0f} ms, p99 {report.idle_p99_ms:,.0f} ms\n"
            f"{report.probes:,} probes under {report.records_per_s:,.0f} records/s: "
            f"p50 {report.p50_ms:,.0f} ms, p99 {report.p99_ms:,.0f} ms, "
            f"most {report.max_ms:,.0f} ms"
        )
    finish(report, smoke, json_file)


@bench.command()
@click.option(
    "--deliveries",
    type=click.IntRange(min=100),
    default=1_000_000,
    show_default=True,
    help="Entries that the posts of each crowd come to.",
)
@_SMOKE
@_JSON
def fanout(deliveries: int, smoke: bool, json_file: Path | None) -> None:
    """From posts to entries in Redis: deliveries/s by size of audience, and their cost by users.

    Runs the product's folds in one process and its Redis sink in another. For each audience
    (10, 200, 1,000 and 9,000 followers) people follow first; the time is taken from the first post
    until the last followers of every author have all of them. Then every timeline must have every
    entry. A loop of redis-py that sets the same entries, one ZADD for each, 10,000 a round trip,
    runs in the same run. Then the Cassandra sink writes all of these timelines. Starts a Kafka, a
    Valkey and a Cassandra of its own. Exits with 1 if a figure is void; a missed target is no
    failure.
    """
    from bench.fanout import run
    from bench.parts import own_parts

    try:
        with own_parts(_say) as parts:
            many = SMOKE_DELIVERIES if smoke else deliveries
            report = run(parts, many, _say, is_lasting=not smoke)
    except StackError as error:
        raise click.ClickException(str(error)) from error
    show_fanout(report)
    finish(report, smoke, json_file)


@bench.command()
@click.option(
    "--posts",
    type=click.IntRange(min=1, max=1_000),
    default=1_000,
    show_default=True,
    help="Posts of the source that bursts, at most as many as a feed holds.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="How long to probe without the burst.",
)
@_SMOKE
@_JSON
def skew(posts: int, seconds: float, smoke: bool, json_file: Path | None) -> None:
    """How long posts of others take to their followers while a source with 9,000 bursts, in ms.

    Every 50 ms someone with 20 followers posts, alone and then while the burst is fanned out, once
    all of that has gone on for 90 s, until Kafka's code is compiled; each post counts from when it
    was due until its last follower's timeline in Redis has it. Starts a Kafka and a Valkey of its
    own. Exits with 1 if a post is lost; a missed target is no failure.
    """
    from bench.parts import own_parts
    from bench.skew import WARM_UP_S, run

    if smoke:
        posts, seconds = SMOKE_POSTS, 3.0
    try:
        with own_parts(_say, is_lasting=not smoke) as parts:
            report = run(parts, posts, seconds, 3.0 if smoke else WARM_UP_S, _say)
    except StackError as error:
        raise click.ClickException(str(error)) from error
    if report.void:
        click.echo(f"void: {report.void}")
    else:
        click.echo(
            f"alone: p50 {report.alone_p50_ms:,.0f} ms, p99 {report.alone_p99_ms:,.0f} ms "
            f"({report.alone_probes:,} posts)\n"
            f"beside {report.deliveries:,} deliveries in {report.burst_s:,.0f} s: "
            f"p50 {report.p50_ms:,.0f} ms, p99 {report.p99_ms:,.0f} ms ({report.probes:,} posts)"
        )
    finish(report, smoke, json_file)


@bench.command()
@click.option(
    "--events",
    type=click.IntRange(min=100),
    default=200_000,
    show_default=True,
    help="Engagements in the topic.",
)
@_SMOKE
@_JSON
def engagement(events: int, smoke: bool, json_file: Path | None) -> None:
    """All that users do, through all folds of one app process: events/s, beside stock Faust.

    Likes, reactions, comments, likes of comments, shares, views, clicks, hides, reports, profile
    views and messages come in at once, on posts that are there. The time is taken until the last
    of them has come through all folds and stands in Redis; counts, comments, affinities,
    notifications and what each user did must equal those of a plain fold. Once each post is as
    likely as another, and once half of all events are about one. Stock Faust gets 30,000 events.
    Starts a Kafka and a Valkey of its own. Exits with 1 if a figure is void; a missed target is no
    failure.
    """
    from bench.engagement import run
    from bench.parts import own_parts

    try:
        with own_parts(_say) as parts:
            report = run(parts, SMOKE_EVENTS if smoke else events, _say)
    except StackError as error:
        raise click.ClickException(str(error)) from error
    show_engagement(report)
    finish(report, smoke, json_file)


@bench.command("first-page")
@click.option(
    "--readers",
    type=click.IntRange(min=10),
    default=200,
    show_default=True,
    help="Readers whose first page is read.",
)
@_SMOKE
@_JSON
def first_page(readers: int, smoke: bool, json_file: Path | None) -> None:
    """How long the first page takes of who comes back after 30 days or more, in ms.

    Each follows 500 of 5,000 users, who have posted 1 to 60 times; nothing of the reader's is in
    Redis. The API is asked over HTTP, for one reader after the other, and its page must hold the
    newest posts of those followed. Starts a Kafka, a Valkey and a Cassandra of its own. Exits with
    1 if a page is wrong; a missed target is no failure.
    """
    from bench.first_page import run
    from bench.parts import own_parts

    try:
        with own_parts(_say, ("kafka", "redis", "cassandra")) as parts:
            report = run(parts, SMOKE_READERS if smoke else readers, _say)
    except StackError as error:
        raise click.ClickException(str(error)) from error
    if report.void:
        click.echo(f"void: {report.void}")
    else:
        click.echo(f"p50 {report.p50_ms:,.0f} ms, p99 {report.p99_ms:,.0f} ms")
    finish(report, smoke, json_file)


@bench.command()
@click.option(
    "--rate",
    type=click.FloatRange(min=10),
    default=500.0,
    show_default=True,
    help="Pages a second.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=20.0,
    show_default=True,
    help="How long each part is measured.",
)
@_SMOKE
@_JSON
def read(rate: float, seconds: float, smoke: bool, json_file: Path | None) -> None:
    """How long pages of feeds take, in ms, from one API process on one core; and how many a second.

    Readers follow 500 users, 20 of them heavy, and have 1,000 entries in Redis. Of 20 pages 16 are
    the first of `latest`, 3 go on in a ranked feed, and one makes a ranked feed. Each counts from
    when it was due. Then as many of `latest` as the API answers, and the same of a handler that
    only asks Redis the same and sends prepared bytes. Starts a Kafka, a Valkey and a Cassandra of
    its own. Exits with 1 if a page is wrong; a missed target is no failure.
    """
    from bench.parts import own_parts
    from bench.read import READERS, run

    readers = READERS
    if smoke:
        readers, rate, seconds = SMOKE_READERS, SMOKE_READS, 2.0
    try:
        with own_parts(_say, ("kafka", "redis", "cassandra")) as parts:
            report = run(parts, readers, rate, seconds, _say)
    except StackError as error:
        raise click.ClickException(str(error)) from error
    show_read(report)
    finish(report, smoke, json_file)


def _say(line: str) -> None:
    click.echo(line, err=True)
