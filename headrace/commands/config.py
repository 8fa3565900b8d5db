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


class InvalidSettingsError(click.ClickException):
    """No command can begin with these settings; ends with 2, as of a wrong option."""

    exit_code = 2


@click.command()
def config() -> None:
    """Print every setting with its value and its source, and every weight of the ranked feed;
    secrets are masked, and the files named that they are in."""
    from api.ranking.weights import Weights, WeightsError, flat, load_weights

    found = Settings()
    try:
        weights = load_weights(found.ranking)
    except WeightsError as error:
        raise InvalidSettingsError(str(error)) from error
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


def refused_settings(error: Exception) -> str | None:
    """Which settings an error says to be wrong, and how they must be; None if it is about something
    else. It quotes no value: it may be a secret."""
    if isinstance(error, SettingsError):
        return str(error)
    if not isinstance(error, ValidationError) or error.title != Settings.__name__:
        return None
    return "\n".join(
        ": ".join([*map(str, each["loc"]), each["msg"].removeprefix("Value error, ")])
        for each in error.errors(include_input=False, include_url=False, include_context=False)
    )


def _source(variable: str) -> str:
    """Where a setting comes from; of a secret in a file, which one."""
    path = os.environ.get(variable + SUFFIX)
    if path and variable in secret_variables(Settings):
        return f"{variable}{SUFFIX}: {path}"
    return "environment" if variable in os.environ else "default"
