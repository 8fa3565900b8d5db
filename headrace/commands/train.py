"""`headrace train`: a model for the ranked feed, made from what users engaged with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import structs

if TYPE_CHECKING:
    from headrace.train.examples import Exposures
    from headrace.train.fit import Quality
    from schemas.events import Event

TOLD_EVERY = 100_000


@click.command()
@click.argument("model", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--higgs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Learn from a Higgs activity file instead of Kafka.",
)
@click.option(
    "--until",
    type=click.DateTime(("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")),
    help="Only from what came before this time (UTC).  [default: all that is there]",
)
@click.option(
    "--exposures",
    type=click.Choice(("views", "sampled")),
    help="What counts as seen: the log's `view` events; or each post engaged with, and some of the "
    "newest that were not.  [default: views; sampled with --higgs, which has none]",
)
@click.option(
    "--negatives",
    type=click.IntRange(1, 200),
    default=29,
    show_default=True,
    help="With `sampled`: posts not engaged with, for each that was.",
)
@click.option(
    "--rows",
    type=click.IntRange(100, 5_000_000),
    default=500_000,
    show_default=True,
    help="Learn from so many examples at most, the newest; 500,000 take some 300 MB.",
)
@click.option(
    "--rounds", type=click.IntRange(1, 2_000), default=200, show_default=True, help="Trees."
)
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processors to train on.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=1,
    show_default=True,
    help="Of the samples and the trees.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Write the report to this file, to - for standard output instead of the table.",
)
def train(
    model: Path,
    higgs: Path | None,
    until: datetime | None,
    exposures: Exposures | None,
    negatives: int,
    rows: int,
    rounds: int,
    threads: int,
    seed: int,
    json_file: Path | None,
) -> None:
    """Learn what users engage with, and write it to the file MODEL for the ranker `model`.

    Reads posts, engagements and feedback from Kafka (KAFKA_BROKERS, else the running local stack),
    as far back as they are kept, and computes for each post that a user saw what the ranked feed
    would have known of it then. A model is trained on the first nine tenths of these by time, and
    judged on the last tenth beside the other rankers: AUC and NDCG@20. The same log, seed and
    --threads give the same model.

    An API whose file of weights (HEADRACE_RANKING) names MODEL takes it up without a restart.

    \b
    Examples:
      headrace train model.txt
      headrace train model.txt --until 2026-01-31 --json report.json
      headrace train model.txt --higgs higgs-activity_time.txt.gz --rounds 100
    """
    from api.ranking.model import ModelError, lightgbm, write_model
    from api.ranking.weights import WeightsError, load_weights
    from connectors.addresses import NoAddressError
    from connectors.merged_log import MergedLogError
    from connectors.registry import RegistryDownError
    from connectors.settings import settings
    from connectors.sources import SourceError
    from headrace.train.examples import examples_of
    from headrace.train.fit import TooFewError, fit, judged, split

    if not model.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no directory {model.parent}", param_hint="MODEL")
    until_ms = None if until is None else int(until.replace(tzinfo=UTC).timestamp() * 1000)
    mode: Exposures = exposures or ("sampled" if higgs is not None else "views")
    try:
        weights = load_weights(settings().ranking)
        lightgbm()
        events = _told(_events(higgs, until_ms))
        parts = split(examples_of(events, mode, negatives, rows, seed))
        _say(f"{len(parts.train):,} examples to learn from, {len(parts.later):,} later ones")
        fitted = fit(parts, rounds=rounds, seed=seed, threads=threads, progress=_say)
        qualities = judged(parts, fitted.scores, weights)
        write_model(model, fitted.text, parts.cut)
    except (
        MergedLogError,
        RegistryDownError,
        ModelError,
        NoAddressError,
        SourceError,
        TooFewError,
        WeightsError,
    ) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{model} cannot be written: {error.strerror}") from error
    report = {
        "model": str(model),
        "exposures": mode,
        "cut": parts.cut,
        "train": {"examples": len(parts.train), "engaged": sum(parts.train_labels)},
        "later": {"examples": len(parts.later), "engaged": sum(parts.later_labels)},
        "rankers": {name: structs.asdict(quality) for name, quality in qualities.items()},
        "gains": fitted.gains,
    }
    text = json.dumps(report, indent=2) + "\n"
    if str(json_file) == "-":
        click.echo(text, nl=False)
        return
    _show(qualities)
    if json_file is not None:
        json_file.write_text(text)


def _events(higgs: Path | None, until_ms: int | None) -> Iterator[Event]:
    from connectors.addresses import resolve_kafka
    from headrace.train.events import events_of_higgs, events_of_kafka

    if higgs is not None:
        return events_of_higgs(higgs, until_ms)
    return events_of_kafka(resolve_kafka(), until_ms)


def _told(events: Iterator[Event]) -> Iterator[Event]:
    count = 0
    for count, event in enumerate(events, 1):
        if count % TOLD_EVERY == 0:
            _say(f"{count:,} events")
        yield event
    _say(f"{count:,} events in all")


def _show(qualities: dict[str, Quality]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="on the last tenth")
    table.add_column("ranker")
    for name in ("AUC", "NDCG@20"):
        table.add_column(name, justify="right")
    for name, quality in qualities.items():
        found = (quality.auc, quality.ndcg_at_20)
        table.add_row(name, *("" if value is None else f"{value:.4f}" for value in found))
    Console().print(table)


def _say(line: str) -> None:
    click.echo(line, err=True)
