"""`headrace schemas`: whether versions are compatible, and which ids they have in a registry."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.group()
def schemas() -> None:
    """The Avro schemas of events, and their versions."""


@schemas.command()
@click.argument(
    "files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILES"
)
@click.option(
    "--against",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Compare with the *.avsc in this directory instead of those of this Headrace.",
)
def check(files: tuple[Path, ...], against: Path | None) -> None:
    """Say whether new versions in FILES can be published beside all that were published before.

    Each must be able to read what every version of its schema has written, and every version what
    it writes (Avro's rules of schema resolution). The versions that are kept are compared with each
    other too, and with their lock. Exits 1 if something does not fit; each line names the field and
    the rule.

    \b
    Examples:
      headrace schemas check follow.3.avsc
      headrace schemas check
      headrace schemas check follow.3.avsc --against ../deployed/schemas
    """
    from schemas.codec import HERE
    from schemas.compatibility import SchemaError
    from schemas.evolution import conflicts_with, conflicts_within, families, load, lock_problems

    directory = against or HERE
    try:
        problems = lock_problems(directory)
        if not problems:
            kept = families(directory)
            for family in kept.values():
                problems += map(str, conflicts_within(family))
            for file in files:
                problems += map(str, conflicts_with(load(file), kept))
    except SchemaError as error:
        raise click.ClickException(str(error)) from error
    for problem in problems:
        click.echo(problem)
    if problems:
        sys.exit(1)
    versions = sum(map(len, kept.values()))
    new = f" and {len(files)} new" if files else ""
    click.echo(f"{versions}{new} versions of {len(kept)} schemas can all read each other")
