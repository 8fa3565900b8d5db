"""Records by the schemas of a registry, as records by our own versions.

What is written by a schema that writes the same bytes as one of our versions gets that one's id.
What another writes, as a newer version than this build knows, is resolved onto our newest version
(Avro's schema resolution, by fastavro) and written anew, which is some ten times slower.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NoReturn

import msgspec
from fastavro import parse_schema, schemaless_reader
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException, to_parsing_canonical_form

from schemas.bounds import check_bounds
from schemas.codec import (
    HEADER_BYTES,
    MAGIC,
    UndecodableError,
    Version,
    as_long,
    encode,
    newest,
    versions,
)
from schemas.compatibility import SchemaError, breaks, is_named_alike
from schemas.events import EVENT_TYPES
from schemas.evolution import record_of

Translate = Callable[[bytes], bytes]
"""From a record as it was published to one with an id of our own.

Raises:
    UndecodableError: there can be none; with its reason in the dead letters.
"""

Translations = Mapping[bytes, Translate]
"""By how records begin: the byte 0 and the id of the writer's schema."""

_NO_SCHEMA = (
    AttributeError,
    IndexError,
    KeyError,
    RecursionError,
    SchemaParseException,
    TypeError,
    ValueError,
)
_NOT_THE_SCHEMA = (
    EOFError,
    IndexError,
    MemoryError,
    OverflowError,
    SchemaResolutionError,
    TypeError,
    ValueError,  # also of bytes that are no UTF-8, and of what msgspec refuses
)


def headers_in(values: Iterable[bytes | None]) -> set[bytes]:
    """How those of some records begin that have the id of a schema."""
    found = {raw[:HEADER_BYTES] for raw in values if raw}
    return {header for header in found if header[0] == MAGIC and len(header) == HEADER_BYTES}


def number_of(header: bytes) -> int:
    """The id of the schema in it."""
    return int.from_bytes(header[1:], "big")


def translated(raw: bytes, translations: Translations) -> bytes:
    """A record with an id of our own. One that has no id is left as it is: it cannot be decoded.

    Raises:
        UndecodableError: there can be none.
    """
    translate = translations.get(raw[:HEADER_BYTES])
    return raw if translate is None else translate(raw)


def refused(error: UndecodableError) -> Translate:
    """Refuses every record."""

    def refuse(_raw: bytes) -> NoReturn:
        raise error.with_traceback(None)

    return refuse


def translation(number: int, text: str) -> Translate:
    """For records by the schema with an id in the registry, and this text, whatever it is."""
    named = f"the schema with id {number}"
    try:
        return _translation(named, text)
    except SchemaError as error:
        return refused(UndecodableError("unknown_schema", f"{named}: {error}"))
    except _NO_SCHEMA as error:  # what fastavro's parser lets through
        return refused(UndecodableError("unknown_schema", f"{named}: no Avro schema: {error!r}"))


def _translation(named: str, text: str) -> Translate:
    schema = record_of(text)
    ours = _version_of(schema)
    if ours is None:
        raise SchemaError(f"{schema['name']} is of no event")
    check_bounds(schema)
    found = breaks(schema, json.loads(ours.text))
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return refused(
            UndecodableError("incompatible_schema", f"{named} cannot be read: {found[0]}{more}")
        )
    same = _canonical(schema)
    for version in versions():
        if version.event is ours.event and _canonical(json.loads(version.text)) == same:
            return partial(_renamed, version.header)
    return partial(_resolved, parse_schema(as_long(schema)), ours)


def _version_of(schema: Mapping[str, Any]) -> Version | None:
    """The newest version of the schema that one is a version of."""
    for event in EVENT_TYPES:
        ours = newest()[event]
        text = json.loads(ours.text)
        if is_named_alike(schema, text) or is_named_alike(text, schema):
            return ours
    return None


def _canonical(schema: Any) -> str:
    """The same for all schemas that write the same bytes."""
    return str(to_parsing_canonical_form(schema))


def _renamed(header: bytes, raw: bytes) -> bytes:
    return header + raw[HEADER_BYTES:]


def _resolved(writer: Any, ours: Version, raw: bytes) -> bytes:
    source = io.BytesIO(raw)
    source.seek(HEADER_BYTES)
    try:
        fields = schemaless_reader(source, writer, ours.schema)
        event = msgspec.convert(fields, ours.event)
    except _NOT_THE_SCHEMA as error:
        raise UndecodableError(
            "not_decodable", f"the bytes do not fit the schema: {type(error).__name__}"
        ) from error
    left = len(raw) - source.tell()
    if left:
        raise UndecodableError("not_decodable", f"{left} bytes are left over")
    return encode(event)
