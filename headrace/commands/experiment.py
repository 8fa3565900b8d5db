"""`headrace experiment`: what experiments upon the ranked feed have shown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from headrace.experiments.outcome import Figure, Outcome
    from schemas.events import Engagement
    from schemas.exposures import Exposure

TOLD_EVERY = 500_000
DAYS = 7.0
"""As long as Kafka keeps engagements, unless it is told otherwise."""


@click.group()
def experiment() -> None:
    """Experiments upon the ranked feed, as the file of weights (HEADRACE_RANKING) has them."""


@experiment.command()
@click.argument("name")
@click.option(
    "--days",
    type=click.FloatRange(min=0, min_open=True, max=90),
    default=DAYS,
    show_default=True,
    help="Of the last so many days; engagements are kept in Kafka for 7 if nothing else is set.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Write the report to this file, to - for standard output instead of the table.",
)
def report(name: str, days: float, json_file: Path | None) -> None:
    """What the users of each variant of the experiment NAME have done.

    Reads exposures and engagements from Kafka (KAFKA_BROKERS, else the running local stack). Of
    each user counts what came after the first exposure within --days: engagements are reactions,
    comments and shares. Differences are to the first variant, with 95 % confidence intervals. Warns
    when the numbers of users do not fit the variants' shares: then nothing else is to be relied on.

    \b
    Examples:
      headrace experiment report model-1
      headrace experiment report model-1 --days 3 --json -
    """
    from api.ranking.weights import WeightsError, load_weights
    from connectors.addresses import NoAddressError, resolve_kafka
    from connectors.merged_log import MergedLogError
    from connectors.registry import RegistryDownError
    from connectors.settings import settings
    from headrace.experiments.outcome import TooManyError, Trial

    now = time.time_ns() // 1_000_000
    since = now - int(days * 86_400_000)
    trial = Trial(name, since, now)
    try:
        weights = load_weights(settings().ranking)
        found = next((each for each in weights.experiments if each.name == name), None)
        if found is None:
            known = ", ".join(each.name for each in weights.experiments) or "none"
            raise click.BadParameter(
                f"the file of weights (HEADRACE_RANKING) has no such experiment; it has {known}",
                param_hint="NAME",
            )
        for event in _events(resolve_kafka(), since, now):
            trial.add(event)
    except (
        MergedLogError,
        NoAddressError,
        RegistryDownError,
        TooManyError,
        WeightsError,
    ) as error:
        raise click.ClickException(str(error)) from error
    outcome = trial.outcome([(each.name, each.share) for each in found.variants])
    built = msgspec.to_builtins(outcome) | {"is_suspicious": outcome.is_suspicious}
    text = msgspec.json.format(msgspec.json.encode(built)).decode() + "\n"
    if str(json_file) == "-":
        click.echo(text, nl=False)
        return
    _show(outcome)
    if json_file is not None:
        json_file.write_text(text)


def _events(brokers: str, since: int, until: int) -> Iterator[Exposure | Engagement]:
    from connectors.merged_log import read_merged
    from connectors.settings import settings
    from connectors.translations import own_ids
    from schemas.codec import UndecodableError, decode
    from schemas.events import Engagement
    from schemas.exposures import Exposure
    from schemas.topics import Topic

    topics = [str(Topic.EXPOSURES), str(Topic.ENGAGEMENTS)]
    count = 0
    with own_ids(settings().registry_address) as translated:
        for count, record in enumerate(read_merged(brokers, topics, since, until), 1):
            if count % TOLD_EVERY == 0:
                click.echo(f"{count:,} records", err=True)
            try:
                if record.topic == Topic.EXPOSURES:
                    yield decode(record.value, Exposure)
                    continue
                event = decode(translated(record.value or b""), Engagement)
            except UndecodableError:
                continue
            if isinstance(event, Engagement):
                yield event
    click.echo(f"{count:,} records in all", err=True)


def _show(outcome: Outcome) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=outcome.experiment)
    table.add_column("variant")
    for name in ("share", "users", "engaged users", "engagements/user", "engagements/view"):
        table.add_column(name, justify="right")
    for each in outcome.variants:
        table.add_row(
            each.name,
            f"{each.share:.1%}",
            f"{each.users:,}",
            _cell(each.engaged_users),
            _cell(each.engagements_per_user),
            _cell(each.engagements_per_view),
        )
    console = Console()
    console.print(table)
    if outcome.mixed:
        console.print(f"{outcome.mixed:,} users were exposed to several variants; left out")
    if outcome.mismatch is not None:
        console.print(f"sample ratio: p = {outcome.mismatch:.3g}", highlight=False)
    if outcome.is_suspicious:
        console.print(
            "warning: the numbers of users do not fit the shares (sample ratio mismatch); do not "
            "rely on the differences before the reason is known",
            style="red",
        )


def _cell(figure: Figure) -> str:
    if figure.value is None:
        return ""
    if figure.difference is None:
        return f"{figure.value:.4f}"
    found = figure.difference
    return f"{figure.value:.4f}\n{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
