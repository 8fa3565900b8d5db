"""`headrace config`: the settings, and where each comes from; the weights of the ranked feed."""

from __future__ import annotations

import os

import click
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console
from rich.table import Table

from connectors.secret_files import SUFFIX, secret_variables
from connectors.settings import Settings

WIDE = 400


@click.command()
def config() -> None:
    """Print every setting with its value and its source, and every weight of the ranked feed;
    secrets are masked, and the files named that they are in."""
    from api.ranking.weights import Weights, WeightsError, flat, load_weights

    try:
        found = Settings()
        weights = load_weights(found.ranking)
    except (SettingsError, ValidationError, WeightsError) as error:
        raise click.ClickException(str(error)) from error
    table = Table("variable", "value", "source", "what")
    for name, field in Settings.model_fields.items():
        variable = field.alias or name
        shown = str(getattr(found, name))
        table.add_row(variable, shown, _source(variable), field.description or "")
    ranking = Table("weight", "value", "source")
    usual = flat(Weights())
    for name, value in flat(weights).items():
        source = "default" if usual.get(name) == value else "HEADRACE_RANKING"
        ranking.add_row(name, str(value), source)
    console = Console()
    if not console.is_terminal:  # for a file or a pipe nothing is cut
        console = Console(width=WIDE)
    console.print(table)
    console.print(ranking)


def _source(variable: str) -> str:
    """Where a setting comes from; of a secret in a file, which one."""
    path = os.environ.get(variable + SUFFIX)
    if path and variable in secret_variables(Settings):
        return f"{variable}{SUFFIX}: {path}"
    return "environment" if variable in os.environ else "default"
