"""What stands in a record: an external event or a fact, and the tags that intake found."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from schemas.codec import MAGIC, UndecodableError, decode
from schemas.events import Event
from schemas.validation import RejectedError as RejectedError
from streams.facts import Fact, decode_fact

TAGS_HEADER = "tags"


class Tags(Struct, frozen=True, array_like=True, gc=False):
    """What intake extracted from a post's content."""

    hashtags: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()


NO_TAGS = Tags()
_encode_tags = msgspec.msgpack.Encoder().encode
_decode_tags = msgspec.msgpack.Decoder(Tags).decode


def tags_header(tags: Tags) -> tuple[str, bytes]:
    """The header in which tags travel."""
    return TAGS_HEADER, _encode_tags(tags)


def tags_of(headers: Iterable[tuple[str, bytes]]) -> Tags:
    """The tags in a record's headers."""
    for name, value in headers:
        if name == TAGS_HEADER:
            return _decode_tags(value)
    return NO_TAGS


def decode_record(value: bytes | None) -> Event | Fact:
    """The external event or the fact in a record of an internal log."""
    if not value:
        raise UndecodableError("not_avro", "the record is empty")
    if value[0] == MAGIC:
        return decode(value)
    try:
        return decode_fact(value)
    except msgspec.DecodeError as error:
        raise UndecodableError("not_decodable", f"neither an event nor a fact: {error}") from error
