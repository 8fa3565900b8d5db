"""Avro in the Confluent wire format: byte 0, the schema's id (4 bytes, big-endian), Avro.

The ids are those of `lock.json`, where every version of every schema is listed.
"""

from __future__ import annotations

import hashlib
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from fastavro import parse_schema, schemaless_reader

from schemas.avro import Writer, compiled
from schemas.events import Engagement, Event, Follow, Post, User

HERE = Path(__file__).parent
MAGIC = 0
HEADER_BYTES = 5

SUBJECTS: dict[str, type[Event]] = {
    "post": Post,
    "follow": Follow,
    "engagement": Engagement,
    "user": User,
}


class UndecodableError(Exception):
    """A record that is not one of our events; `code` is its reason in the dead letters."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Version(msgspec.Struct, frozen=True):
    """One version of one schema, ready for use."""

    id: int
    subject: str
    number: int
    event: type[Event]
    schema: Any


class LockError(Exception):
    """The lock and the schema files do not agree."""


def _as_long(schema: Any) -> Any:
    """The same schema with logical types left out: times stay integers, which is quicker."""
    if isinstance(schema, dict):
        return {k: _as_long(v) for k, v in schema.items() if k != "logicalType"}
    if isinstance(schema, list):
        return [_as_long(item) for item in schema]
    return schema


@cache
def versions() -> tuple[_Version, ...]:
    """Every version in the lock, its file checked against the lock's SHA-256."""
    found = []
    for entry in json.loads((HERE / "lock.json").read_text()):
        text = (HERE / entry["file"]).read_bytes()
        if hashlib.sha256(text).hexdigest() != entry["sha256"]:
            raise LockError(
                f"schemas/{entry['file']} is not the file that lock.json names: a version that "
                "was ever written is never changed; add a new version instead"
            )
        found.append(
            _Version(
                id=entry["id"],
                subject=entry["subject"],
                number=entry["version"],
                event=SUBJECTS[entry["subject"]],
                schema=parse_schema(_as_long(json.loads(text))),
            )
        )
    return tuple(found)


@cache
def _by_id() -> dict[int, _Version]:
    return {version.id: version for version in versions()}


@cache
def _newest() -> dict[type[Event], _Version]:
    return {version.event: version for version in sorted(versions(), key=lambda v: v.number)}


@cache
def _writers() -> dict[type[Event], tuple[bytes, Writer]]:
    return {
        event: (bytes([MAGIC]) + version.id.to_bytes(4, "big"), compiled(version.schema))
        for event, version in _newest().items()
    }


def encode(event: Event) -> bytes:
    """The wire bytes of an event, by the newest version of its schema.

    Raises:
        ValueError: a field has a value that the schema does not know.
    """
    header, write = _writers()[type(event)]
    try:
        return header + write(event)
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise ValueError(
            f"event {event.event_id}: a field does not fit the schema: {error!r}"
        ) from error


def decode(raw: bytes | None, expected: type[Event] | None = None) -> Event:
    """The event in wire bytes.

    Raises:
        UndecodableError: not Avro, an unknown schema, an event of another kind than
            `expected`, or bytes that do not fit the schema.
    """
    if not raw or raw[0] != MAGIC or len(raw) < HEADER_BYTES:
        raise UndecodableError("not_avro", "the record does not begin with byte 0 and a schema id")
    number = int.from_bytes(raw[1:HEADER_BYTES], "big")
    version = _by_id().get(number)
    if version is None:
        raise UndecodableError("unknown_schema", f"no schema has id {number}")
    if expected is not None and version.event is not expected:
        raise UndecodableError(
            "wrong_topic", f"a {version.subject} event stands in a topic of other events"
        )
    newest = _newest()[version.event].schema
    stream = io.BytesIO(raw)
    stream.seek(HEADER_BYTES)
    try:
        fields = schemaless_reader(
            stream, version.schema, newest if newest is not version.schema else None
        )
    except Exception as error:
        raise UndecodableError(
            "not_decodable", f"the bytes do not fit schema {number}: {type(error).__name__}"
        ) from error
    if stream.tell() != len(raw):
        raise UndecodableError("not_decodable", f"{len(raw) - stream.tell()} bytes are left over")
    return _build(version.event, fields)


def _build(event: type[Event], fields: dict[str, Any]) -> Event:
    if event is Engagement and fields["surface"] is None:
        return Engagement(**fields)
    if event is Follow:
        return Follow(**fields)
    return msgspec.convert(fields, event)
