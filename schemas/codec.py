"""Avro in the Confluent wire format: byte 0, the schema's id (4 bytes, big-endian), Avro.

The ids are those of `lock.json`, where every version of every schema is listed.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, overload

import msgspec
from fastavro import parse_schema

from schemas.avro_reader import MalformedError, Reader
from schemas.avro_reader import compiled as compiled_reader
from schemas.avro_writer import Writer
from schemas.avro_writer import compiled as compiled_writer
from schemas.events import Engagement, Event, Feedback, Follow, Moderation, Post, User
from schemas.exposures import Exposure

HERE = Path(__file__).parent
MAGIC = 0
HEADER_BYTES = 5

SUBJECTS: dict[str, type[Event]] = {
    "post": Post,
    "follow": Follow,
    "engagement": Engagement,
    "user": User,
    "moderation": Moderation,
    "feedback": Feedback,
}
"""What producers publish."""

Published = Event | Exposure
_TYPES: dict[str, type[Published]] = {**SUBJECTS, "exposure": Exposure}


class UndecodableError(Exception):
    """A record that is not one of our events; `code` is its reason in the dead letters."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Version(msgspec.Struct, frozen=True):
    """One version of one schema, ready for use; `text` is its file's, `schema` has no logical
    types."""

    id: int
    subject: str
    number: int
    event: type[Published]
    text: str
    schema: Any

    @property
    def header(self) -> bytes:
        """How records of this version begin."""
        return header_of(self.id)


class LockError(Exception):
    """The lock and the schema files do not agree."""


def header_of(number: int) -> bytes:
    """How records of the schema with an id begin."""
    return bytes([MAGIC]) + number.to_bytes(4, "big")


def as_long(schema: Any) -> Any:
    """The same schema with logical types left out: times stay integers, which is quicker."""
    if isinstance(schema, dict):
        return {k: as_long(v) for k, v in schema.items() if k != "logicalType"}
    if isinstance(schema, list):
        return [as_long(item) for item in schema]
    return schema


@cache
def versions() -> tuple[Version, ...]:
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
            Version(
                id=entry["id"],
                subject=entry["subject"],
                number=entry["version"],
                event=_TYPES[entry["subject"]],
                text=text.decode(),
                schema=parse_schema(as_long(json.loads(text))),
            )
        )
    return tuple(found)


@cache
def newest() -> dict[type[Published], Version]:
    """The newest version of each type's schema, which is written."""
    return {version.event: version for version in sorted(versions(), key=lambda v: v.number)}


@cache
def _writers() -> dict[type[Published], tuple[bytes, Writer]]:
    return {
        event: (version.header, compiled_writer(version.schema))
        for event, version in newest().items()
    }


def encode(event: Published) -> bytes:
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


@cache
def _readers() -> dict[bytes, tuple[type[Published], Reader]]:
    """By the first bytes of a record."""
    return {
        version.header: (version.event, compiled_reader(version.schema, version.event))
        for version in versions()
    }


@overload
def decode(raw: bytes | None, expected: type[Exposure]) -> Exposure: ...
@overload
def decode(raw: bytes | None, expected: type[Event] | None = None) -> Event: ...
def decode(raw: bytes | None, expected: type[Published] | None = None) -> Published:
    """The event in wire bytes; what its version of the schema does not have is at its default.

    Raises:
        UndecodableError: not Avro, an unknown schema, an event of another kind than
            `expected` (an exposure, if nothing is), or bytes that do not fit the schema.
    """
    found = _readers().get(raw[:HEADER_BYTES]) if raw else None
    if raw is None or found is None:
        raise _unknown(raw)
    kind, read = found
    if kind is not expected and (expected is not None or kind is Exposure):
        raise UndecodableError(
            "wrong_topic", f"a {kind.__name__} event stands in a topic of other events"
        )
    try:
        event: Published
        event, end = read(raw, HEADER_BYTES)
    except (MalformedError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise UndecodableError(
            "not_decodable", f"the bytes do not fit the schema: {type(error).__name__}"
        ) from error
    if end != len(raw):
        raise UndecodableError("not_decodable", f"{len(raw) - end} bytes are left over")
    return event


def _unknown(raw: bytes | None) -> UndecodableError:
    if not raw or raw[0] != MAGIC or len(raw) < HEADER_BYTES:
        return UndecodableError("not_avro", "the record does not begin with byte 0 and a schema id")
    number = int.from_bytes(raw[1:HEADER_BYTES], "big")
    return UndecodableError("unknown_schema", f"no schema has id {number}")
