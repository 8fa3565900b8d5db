"""`headrace config`: the settings, and where each comes from."""

from __future__ import annotations

import os

import click
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from connectors.settings import Settings


@click.command()
def config() -> None:
    """Print every setting with its value and its source; secrets are masked."""
    try:
        found = Settings()
    except ValidationError as error:
        raise click.ClickException(str(error)) from error
    table = Table("variable", "value", "source", "what")
    for name, field in Settings.model_fields.items():
        variable = field.alias or name
        source = "environment" if variable in os.environ else "default"
        table.add_row(variable, str(getattr(found, name)), source, field.description or "")
    Console().print(table)
