"""`headrace dead-letters`: what could not be processed, and what is done with it."""

from __future__ import annotations

import heapq
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from schemas.dead_letters import CODES
from schemas.topics import EXTERNAL, INTERNAL, VIEWS, Topic

if TYPE_CHECKING:
    from headrace.dead_letters.choice import Filter, Place
    from headrace.dead_letters.log import Letters
    from headrace.dead_letters.shown import Row
    from headrace.dead_letters.tally import Judge, Reasons
    from headrace.dead_letters.verdict import OwnId, Refusal
    from schemas.dead_letters import DeadLetter
    from streams.engine.outbox import Output

TOPICS = tuple(map(str, (*EXTERNAL, *INTERNAL, Topic.TIMELINE_WRITES, *VIEWS)))
LISTED = 20
MAX_LISTED = 10_000
TOLD_MESSAGE = 60

Function = TypeVar("Function", bound=Callable[..., Any])


class _PlaceType(click.ParamType):
    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from headrace.dead_letters.choice import place_of

        place = place_of(value)
        if place is None:
            self.fail(
                f"{value!r} is no place: 3-17 of a letter, posts-3-17 of a record", param, ctx
            )
        return place


class _TimeType(click.ParamType):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from headrace.rebuild.moment import time_of

        time_ms = time_of(value, time.time_ns() // 1_000_000)
        if time_ms is None:
            self.fail(f"{value!r} is neither 2026-01-31T12:00Z nor 2h or 1d12h ago", param, ctx)
        return time_ms


_FILTERS = (
    click.option(
        "--topic",
        "topics",
        multiple=True,
        type=click.Choice(TOPICS),
        metavar="TOPIC",
        help="Of records of this topic; may be given several times.",
    ),
    click.option(
        "--code",
        "codes",
        multiple=True,
        type=click.Choice(CODES),
        metavar="CODE",
        help="Of this reason; may be given several times.",
    ),
    click.option("--stage", help="By this reader: headrace-app/posts, or headrace-views for all."),
    click.option("--key", help="Of records with this key."),
    click.option("--since", type=_TimeType(), help="Written since: 2026-01-31T12:00Z, 2h ago."),
    click.option("--until", type=_TimeType(), help="Written until then."),
)


def _filters(command: Function) -> Function:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


_ACTS = (
    click.argument("places", nargs=-1, type=_PlaceType(), metavar="[PLACE]..."),
    _filters,
    click.option("--all", "is_all", is_flag=True, help="All letters that are not handled."),
    click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
    click.option("--yes", is_flag=True, help="Do not ask."),
)


def _act(command: Function) -> Function:
    for option in reversed(_ACTS):
        command = option(command)
    return command


@click.group("dead-letters")
def dead_letters() -> None:
    """What could not be processed, and why: show it, replay it, drop it.

    Letters are the records of the topic dead-letters, which Kafka keeps for 30 days. A PLACE is
    that of a letter, as the list has it (3-17: partition and offset), or of the record that it is
    about (posts-3-17). Uses KAFKA_BROKERS, else the running local stack.
    """


@dead_letters.command("list")
@_filters
@click.option("--open", "is_open", is_flag=True, help="Only those that are not handled.")
@click.option("--oldest", is_flag=True, help="The oldest first.  [default: the newest first]")
@click.option("--limit", type=click.IntRange(1, MAX_LISTED), default=LISTED, show_default=True)
@click.option("--counts", is_flag=True, help="Only how many there are of each reason.")
@click.option("--json", "is_json", is_flag=True, help="One JSON object a line.")
def list_letters(
    oldest: bool, limit: int, counts: bool, is_json: bool, is_open: bool, **options: Any
) -> None:
    """List letters, and count them by reason.

    Reads all letters that Kafka has (30 days), or those since --since. In memory are --limit lines,
    and what was done with the letters of one partition.

    \b
    Examples:
      headrace dead-letters list --open --since 1d
      headrace dead-letters list --code fold_failed --json
    """
    from headrace.dead_letters.choice import chosen
    from headrace.dead_letters.shown import row_of
    from headrace.dead_letters.tally import Reasons

    reasons = Reasons()
    with _letters() as letters:
        found = reasons.counted(chosen(letters, (), _filter(options, is_open=is_open)))
        rows = ((each.written_at, each.partition, each.offset, row_of(each)) for each in found)
        pick = heapq.nsmallest if oldest else heapq.nlargest
        picked = [row for *_, row in pick(limit, rows, key=lambda each: each[:3])]
    if is_json:
        _print_json([] if counts else picked, reasons if counts else None)
        return
    if not counts:
        _print_rows(picked)
    _print_reasons(reasons)


@dead_letters.command()
@click.argument("place", type=_PlaceType())
def show(place: Place) -> None:
    """Show the letter at PLACE, decoded as far as it can be, and what would become of it now."""
    from headrace.dead_letters.choice import Filter, chosen
    from headrace.dead_letters.shown import whole

    with _letters() as letters, _own_ids() as own_id:
        for found in chosen(letters, [place], Filter()):
            for line in whole(found, _judge(own_id)(found.letter), own_id):
                click.echo(line)


@dead_letters.command()
@_act
def replay(**options: Any) -> None:
    """Publish the records of letters again, and note that it was done.

    Takes the letters at PLACEs, those that filters take, or --all. An event goes to the topic that
    it came from, as its producer or the intake would write it, if the intake would take it now, and
    counts as one that comes late (docs/rules.md, "Late and early"). Left are records that would be
    refused again, those of which the letter has a part only (1,000,000 bytes or more), and what is
    no event but a fact of a fold, a value of a view or an operation on timelines: these have an
    order, which would be lost.

    A record and the note that it was published are one transaction, so nothing is published twice.
    Exits with 1 if letters are left.

    \b
    Examples:
      headrace dead-letters replay posts-3-17
      headrace dead-letters replay --code unknown_schema --since 1d --dry-run
    """
    with _own_ids() as own_id:
        _handle("replay", _judge(own_id), options)


@dead_letters.command()
@_act
def drop(**options: Any) -> None:
    """Note of letters that they are handled, without publishing their records.

    \b
    Examples:
      headrace dead-letters drop 3-17
      headrace dead-letters drop --code self_relation --until 1d --yes
    """
    _handle("drop", lambda _: None, options)


@contextmanager
def _own_ids() -> Iterator[OwnId]:
    from connectors.registry import RegistryDownError
    from connectors.settings import settings
    from connectors.translations import own_ids

    try:
        with own_ids(settings().registry_address) as own_id:
            yield own_id
    except RegistryDownError as error:
        raise click.ClickException(f"the schema registry cannot be asked: {error}") from error


def _judge(own_id: OwnId) -> Callable[[DeadLetter], Output | Refusal]:
    from connectors.settings import settings
    from headrace.dead_letters.verdict import judge

    partitions = settings().partitions
    return lambda letter: judge(letter, time.time_ns() // 1_000_000, partitions, own_id)


@contextmanager
def _letters(ends: dict[int, int] | None = None) -> Iterator[Letters]:
    from connectors.addresses import resolve_kafka
    from headrace.dead_letters.log import open_letters

    with _explained(), open_letters(resolve_kafka(), ends) as letters:
        yield letters
        if letters.strangers:
            click.echo(f"{letters.strangers:,} records there are no dead letters", err=True)


@contextmanager
def _explained() -> Iterator[None]:
    from connectors.addresses import NoAddressError
    from headrace.dead_letters.log import LettersError

    try:
        yield
    except (LettersError, NoAddressError) as error:
        raise click.ClickException(str(error)) from error


def _filter(options: dict[str, Any], *, is_open: bool = False) -> Filter:
    from headrace.dead_letters.choice import Filter

    key = options["key"]
    return Filter(
        topics=options["topics"],
        codes=options["codes"],
        stage=options["stage"],
        key=None if key is None else key.encode(),
        since=options["since"],
        until=options["until"],
        is_open=is_open,
    )


def _handle(verb: str, judge: Judge, options: dict[str, Any]) -> None:
    """Count, ask, and do it to what was counted, as far as nobody else has by then."""
    from connectors.addresses import resolve_kafka
    from headrace.dead_letters.choice import Filter, chosen
    from headrace.dead_letters.handler import Handler
    from headrace.dead_letters.tally import Plan

    places, wanted = options["places"], _filter(options)
    if not (places or options["is_all"] or wanted != Filter()):
        raise click.UsageError(f"say what to {verb}: places, filters, or --all")
    plan = Plan(judge)
    with _letters() as letters:
        count = sum(1 for _ in plan.acts(chosen(letters, places, wanted)))
        ends = letters.ends
    for line in plan.lines(f"to {verb}"):
        click.echo(line)
    if count and not options["dry_run"]:
        if count > 1 and not options["yes"]:
            click.confirm(f"{verb.capitalize()} {count:,} letters?", abort=True)
        with _explained():
            handler = Handler(resolve_kafka())
        done = 0
        with _letters(ends) as letters:  # read anew, when nobody else can handle any
            for some in handler.handle(Plan(judge).acts(chosen(letters, places, wanted))):
                done += len(some)
                click.echo(f"done: {done:,} of {count:,}")
        if done < count:
            click.echo(f"handled meanwhile, by another: {count - done:,}")
    if plan.left:
        sys.exit(1)


def _print_json(rows: list[Row], reasons: Reasons | None) -> None:
    import msgspec

    lines: list[Any] = list(rows)
    if reasons is not None:
        lines = [
            {"code": code, "letters": count, "open": reasons.open[code]}
            for code, count in reasons.all.most_common()
        ]
    for line in lines:
        click.echo(msgspec.json.encode(line))


def _print_rows(rows: list[Row]) -> None:
    from headrace.dead_letters.shown import printable

    cells = [("letter", "written", "record", "code", "handled", "key and message")]
    for row in rows:
        said = f"{row.key!r}: {row.message}" if row.key else row.message
        said = said if len(said) <= TOLD_MESSAGE else said[: TOLD_MESSAGE - 1] + "…"
        record = f"{row.topic}-{row.partition}-{row.offset}"
        handled = row.handled or "-"
        cells.append((row.place, row.written_at, record, row.code, handled, printable(said)))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for cell in cells:
        padded = (text.ljust(width) for text, width in zip(cell, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _print_reasons(reasons: Reasons) -> None:
    for code, count in reasons.all.most_common():
        click.echo(f"{code}: {count:,}, open {reasons.open[code]:,}")
    click.echo(f"{reasons.all.total():,} letters, open {reasons.open.total():,}")
