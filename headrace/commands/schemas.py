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


@schemas.command()
def register() -> None:
    """Register every version of the schemas in the registry at SCHEMA_REGISTRY_URL.

    Each goes into the subject of its topic, `posts-value` and so on; what is there already stays.
    What publishes events (the API and headrace's commands) needs the newest versions there; workers
    need none. Shows which ids the versions have there: in an empty registry those of lock.json, so
    that what was published before is still read.
    """
    from rich.console import Console
    from rich.table import Table

    from connectors.registry import RegistrationError, Registry, RegistryDownError
    from connectors.settings import settings
    from connectors.subjects import register as register_all

    url = settings().registry_address
    if not url:
        raise click.ClickException(
            "SCHEMA_REGISTRY_URL is not set, so ids are those of schemas/lock.json.\n"
            "hint: set it to http(s)://user:password@host:port"
        )
    registry = Registry(url)
    try:
        found = register_all(registry)
    except (RegistrationError, RegistryDownError) as error:
        raise click.ClickException(f"the schemas could not be registered: {error}") from error
    finally:
        registry.close()
    table = Table("subject", "version", "id in lock.json", "id in the registry")
    for each in found:
        table.add_row(each.subject, str(each.version), str(each.own), str(each.id))
    Console().print(table)
