"""The versions of schemas that a directory keeps, and whether they may stand beside each other."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from msgspec import Struct

from schemas.bounds import check_bounds
from schemas.compatibility import Conflict, SchemaError, conflicts, is_named_alike

LOCK = "lock.json"


class Kept(Struct, frozen=True):
    """One version of a schema as its file has it; `name` is the file's, `follow.2.avsc`."""

    name: str
    schema: Any


Family = list[Kept]
"""The versions of one schema, oldest first."""


def load(path: Path) -> Kept:
    """The schema of a record in a file.

    Raises:
        SchemaError: there is none in it.
    """
    try:
        return Kept(path.name, record_of(path.read_text()))
    except (OSError, ValueError, SchemaError) as error:
        raise SchemaError(f"{path}: {error}") from error


def record_of(text: str) -> dict[str, Any]:
    """The schema of a record in a text.

    Raises:
        SchemaError: there is none in it.
    """
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"no JSON: {error}") from error
    if not isinstance(schema, dict) or not isinstance(schema.get("name"), str):
        raise SchemaError("it is no schema of a record")
    return schema


def families(directory: Path) -> dict[str, Family]:
    """The schemas in a directory: of one subject by its lock, else of one name.

    Raises:
        SchemaError: a file is none, or there is none.
    """
    found: dict[str, Family] = {}
    if (directory / LOCK).is_file():
        for entry in sorted(_locked(directory), key=lambda entry: int(entry["version"])):
            kept = load(directory / entry["file"])
            found.setdefault(entry["subject"], []).append(kept)
    else:
        for path in sorted(directory.glob("*.avsc"), key=_in_order):
            kept = load(path)
            found.setdefault(kept.schema["name"].rpartition(".")[2], []).append(kept)
    if not found:
        raise SchemaError(f"{directory}: there is no *.avsc in it")
    return found


def conflicts_within(family: Family) -> list[Conflict]:
    """Where one version cannot read another.

    Raises:
        SchemaError: one is no Avro schema.
    """
    return conflicts([(kept.name, kept.schema) for kept in family])


def conflicts_with(new: Kept, kept: dict[str, Family]) -> list[Conflict]:
    """Where a new version and one of the kept ones of its schema cannot read each other.

    Raises:
        SchemaError: it is no Avro schema, one that may not be read (see `check_bounds`), or a
            version of none that is kept.
    """
    for family in kept.values():
        newest = family[-1].schema
        if is_named_alike(new.schema, newest) or is_named_alike(newest, new.schema):
            check_bounds(new.schema)
            found = conflicts_within([*family, new])
            return [each for each in found if new.name in (each.writer, each.reader)]
    raise SchemaError(
        f"{new.name}: {new.schema['name']} is the name of none of {', '.join(sorted(kept))}"
    )


def lock_problems(directory: Path) -> list[str]:
    """Where a directory's lock and its files do not agree; nothing if it has no lock."""
    if not (directory / LOCK).is_file():
        return []
    found = []
    entries = _locked(directory)
    for entry in entries:
        path = directory / entry["file"]
        if path.name != f"{entry['subject']}.{entry['version']}.avsc":
            found.append(f"{path.name}: the lock has another subject or version for it")
        if not path.is_file():
            found.append(f"{path.name}: the lock names it, and it is not there")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            found.append(f"{path.name}: it was changed since the lock was written")
    listed = {entry["file"] for entry in entries}
    for path in sorted(directory.glob("*.avsc")):
        if path.name not in listed:
            found.append(f"{path.name}: the lock does not name it")
    return found + _numbering_problems(entries)


def _numbering_problems(entries: list[dict[str, Any]]) -> list[str]:
    found = []
    for number, count in Counter(entry["id"] for entry in entries).items():
        if count > 1:
            found.append(f"{LOCK}: {count} versions have the id {number}")
    versions: dict[str, list[int]] = {}
    for entry in entries:
        versions.setdefault(entry["subject"], []).append(entry["version"])
    for subject, numbers in versions.items():
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            found.append(f"{LOCK}: the versions of {subject} are not 1 to {len(numbers)}")
    return found


def _locked(directory: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((directory / LOCK).read_bytes())
    return entries


def _in_order(path: Path) -> tuple[str, int, str]:
    """`follow.10.avsc` comes behind `follow.9.avsc`."""
    subject, _, number = path.stem.partition(".")
    return subject, int(number) if number.isdecimal() else 0, path.name
