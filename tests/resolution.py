"""What fastavro makes of a schema's data when it reads it by another schema."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import fastavro
from fastavro.read import SchemaResolutionError

OF_PRIMITIVES: dict[str, Any] = {
    "null": None,
    "boolean": True,
    "int": 7,
    "long": 7,
    "float": 0.5,
    "double": 0.5,
    "string": "text",
    "bytes": b"text",
}


def values(schema: Any, names: dict[str, Any], depth: int = 0) -> Iterator[Any]:
    """Some values of a schema: every symbol, every branch."""
    if isinstance(schema, list):
        for branch in schema:
            yield from values(branch, names, depth)
        return
    kind = schema["type"] if isinstance(schema, dict) else schema
    match kind:
        case "fixed":
            yield b"x" * schema["size"]
        case "enum":
            yield from schema["symbols"]
        case "array":
            yield from ([item] for item in values(schema["items"], names, depth))
        case "map":
            yield from ({"k": value} for value in values(schema["values"], names, depth))
        case "record":
            yield from _records(schema, names, depth)
        case _ if kind in OF_PRIMITIVES:
            yield OF_PRIMITIVES[kind]
        case _:
            if depth < 2:
                yield from values(names[kind], names, depth + 1)


def _records(schema: Any, names: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    """One field after the other has each of its values."""
    each = {f["name"]: list(values(f["type"], names, depth)) for f in schema["fields"]}
    first = {name: found[0] for name, found in each.items()}
    yield first
    for name, found in each.items():
        yield from ({**first, name: value} for value in found[1:])


def fastavro_reads(writer: Any, reader: Any) -> bool:
    """Whether it reads all of the values of one schema by another."""
    names: dict[str, Any] = {}
    parsed = fastavro.parse_schema(writer, named_schemas=names)
    for value in values(parsed, names):
        raw = io.BytesIO()
        fastavro.schemaless_writer(raw, parsed, value)
        raw.seek(0)
        try:
            fastavro.schemaless_reader(raw, parsed, fastavro.parse_schema(reader))
        except (SchemaResolutionError, KeyError):  # KeyError: a record of the name of an enum
            return False
    return True
