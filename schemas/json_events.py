"""Events as JSON objects: their `type` beside the fields of its schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.codec import SUBJECTS, encode
from schemas.events import Event, Media, Surface
from schemas.validation import MAX_RECORD_BYTES, RejectedError, validate

NESTED: dict[str, type[msgspec.Struct]] = {"media": Media, "surface": Surface}


def event_of(fields: Mapping[str, Any], now: int) -> Event:
    """The event that is published as of a time (ms since 1970).

    Raises:
        RejectedError: it is none, or would be a dead letter; with its code.
    """
    kind = fields.get("type")
    expected = SUBJECTS.get(kind) if isinstance(kind, str) else None
    if expected is None:
        raise RejectedError("unknown_type", f"type is none of {', '.join(SUBJECTS)}")
    given = {name: value for name, value in fields.items() if name != "type"}
    _check_names(given, expected)
    try:
        event: Event = msgspec.convert(given, expected)
        size = len(encode(event))
    except msgspec.ValidationError as error:
        raise RejectedError("not_valid", str(error)) from error
    except ValueError as error:  # an integer or a text that Avro cannot have
        raise RejectedError("not_encodable", "a value does not fit the schema") from error
    if size > MAX_RECORD_BYTES:
        raise RejectedError("too_large", f"the record has more than {MAX_RECORD_BYTES} bytes")
    validate(event, now)
    return event


def _check_names(fields: Mapping[str, Any], expected: type[msgspec.Struct]) -> None:
    """A field that the schema does not have is a mistake, and is not passed over."""
    unknown = fields.keys() - set(expected.__struct_fields__)
    if unknown:
        raise RejectedError("unknown_field", f"there is no field {min(unknown)[:64]!a}")
    for name, nested in NESTED.items():
        value = fields.get(name)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                _check_names(each, nested)
