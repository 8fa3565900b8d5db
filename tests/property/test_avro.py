"""Our Avro bytes and values are fastavro's."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from fastavro import schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from schemas import avro_reader
from schemas.avro_writer import UnsupportedTypeError, compiled, long
from schemas.codec import HEADER_BYTES, UndecodableError, decode, encode, versions
from schemas.events import (
    Engagement,
    Event,
    Feedback,
    Follow,
    Media,
    Moderation,
    Post,
    Surface,
    User,
)

LONGS = st.integers(-(2**63), 2**63 - 1)
INTS = st.none() | st.integers(-(2**31), 2**31 - 1)
TEXT = st.text(max_size=200)
MAYBE = st.none() | TEXT

medias = st.builds(Media, url=TEXT, kind=TEXT, width=INTS, height=INTS, alt=MAYBE)
surfaces = st.builds(Surface, feed=TEXT, position=INTS, experiment=MAYBE)
posts = st.builds(
    Post,
    event_id=TEXT,
    action=st.sampled_from(["created", "edited", "deleted"]),
    post_id=TEXT,
    at=LONGS,
    author_id=MAYBE,
    content=TEXT,
    media=st.lists(medias, max_size=3).map(tuple),
    visibility=st.sampled_from(["public", "followers", "friends", "custom", "private"]),
    audience=st.lists(TEXT, max_size=3).map(tuple),
    reply_to=MAYBE,
    quote_of=MAYBE,
    language=MAYBE,
    location=MAYBE,
)
follows = st.builds(
    Follow,
    event_id=TEXT,
    action=st.sampled_from(["follow", "unfollow", "block", "unblock", "mute", "unmute"]),
    user_id=TEXT,
    target=TEXT,
    at=LONGS,
    is_favourite=st.booleans(),
)
engagements = st.builds(
    Engagement,
    event_id=TEXT,
    action=st.sampled_from(["like", "unlike", "react", "comment", "view", "message"]),
    user_id=TEXT,
    at=LONGS,
    post_id=MAYBE,
    target=MAYBE,
    kind=MAYBE,
    comment_id=MAYBE,
    text=MAYBE,
    parent=MAYBE,
    share_id=MAYBE,
    dwell_ms=st.none() | LONGS,
    surface=st.none() | surfaces,
)
users = st.builds(
    User,
    event_id=TEXT,
    action=st.sampled_from(["profile", "active", "deactivated", "reactivated", "deleted"]),
    user_id=TEXT,
    at=LONGS,
    username=MAYBE,
    display_name=MAYBE,
    bio=MAYBE,
    avatar=MAYBE,
    verified=st.booleans(),
    preferences=st.dictionaries(TEXT, TEXT, max_size=3),
    device_tokens=st.lists(TEXT, max_size=3).map(tuple),
    seen_to=st.none() | LONGS,
    changes=st.none() | st.lists(TEXT, max_size=3).map(tuple),
)
moderations = st.builds(
    Moderation,
    event_id=TEXT,
    action=st.sampled_from(["hidden", "cleared"]),
    post_id=TEXT,
    moderator_id=TEXT,
    at=LONGS,
)
feedback = st.builds(
    Feedback,
    event_id=TEXT,
    action=st.sampled_from(["not_interested", "interested"]),
    user_id=TEXT,
    subject=TEXT,
    at=LONGS,
)
all_events = posts | follows | engagements | users | moderations | feedback


def _fields(event: Event) -> Any:
    """As fastavro takes them: a tuple in a union is something else to it."""
    return msgspec.json.decode(msgspec.json.encode(event))


def by_fastavro(event: Event) -> bytes:
    newest = max(
        (version for version in versions() if version.event is type(event)),
        key=lambda version: version.number,
    )
    out = io.BytesIO()
    schemaless_writer(out, newest.schema, _fields(event))
    return out.getvalue()


@given(all_events)
def test_bytes_are_those_of_fastavro(event: Event) -> None:
    raw = encode(event)
    assert raw[HEADER_BYTES:] == by_fastavro(event)
    assert decode(raw, type(event)) == event


@given(LONGS)
def test_long_is_that_of_fastavro(value: int) -> None:
    out = io.BytesIO()
    schemaless_writer(out, "long", value)
    assert long(value) == out.getvalue()
    assert avro_reader.long(out.getvalue(), 0) == (value, len(out.getvalue()))


def read_by_fastavro(raw: bytes, kind: type[Event]) -> Event:
    """The event in the bytes behind a header; raises when they do not fit."""
    number = int.from_bytes(raw[1:HEADER_BYTES], "big")
    schema = next(version.schema for version in versions() if version.id == number)
    stream = io.BytesIO(raw[HEADER_BYTES:])
    fields = schemaless_reader(stream, schema, None)
    assert not stream.read(), "bytes are left over"
    return msgspec.convert(fields, kind)


@given(all_events)
def test_every_version_reads_what_any_other_wrote(event: Event) -> None:
    """Backward and forward: by Avro's own rules, what a version lacks is at its default."""
    fields = _fields(event)
    of_event = [version for version in versions() if version.event is type(event)]
    for written in of_event:
        known = {field["name"] for field in written.schema["fields"]}
        out = io.BytesIO()
        schemaless_writer(out, written.schema, {k: v for k, v in fields.items() if k in known})
        for reading in of_event:
            out.seek(0)
            found = schemaless_reader(out, written.schema, reading.schema)
            both = known & {field["name"] for field in reading.schema["fields"]}
            expected = msgspec.to_builtins(
                msgspec.convert({k: fields[k] for k in both}, type(event))
            )
            assert msgspec.to_builtins(msgspec.convert(found, type(event))) == expected


@given(event=all_events, data=st.data())
def test_damaged_bytes_are_refused_or_read_as_by_fastavro(
    event: Event, data: st.DataObject
) -> None:
    raw = bytearray(encode(event))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(HEADER_BYTES, len(raw)))
        match data.draw(st.sampled_from(["cut", "flip", "insert", "remove"])):
            case "cut":
                del raw[at:]
            case "flip":
                raw[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
            case "insert":
                raw[at:at] = data.draw(st.binary(min_size=1, max_size=10))
            case "remove":
                del raw[at : at + 1]
    with suppress(UndecodableError):
        assert decode(bytes(raw), type(event)) == read_by_fastavro(bytes(raw), type(event))


def test_blocks_with_their_sizes_are_read() -> None:
    """Avro allows a block of an array or map to say its bytes after a negative count."""
    event = User(event_id="e", action="active", user_id="u", at=1, preferences={"k": "v"})
    plain = encode(event)
    block = b"\2\2k\2v\0"
    assert plain.count(block) == 1
    sized = plain.replace(block, b"\1\x08\2k\2v\0")
    assert decode(sized) == read_by_fastavro(sized, User) == event


@pytest.mark.parametrize(
    "schema",
    ["bytes", ["string", "int"], [{"type": "array", "items": "string"}]],
)
def test_a_type_that_no_schema_uses_is_not_compiled(schema: object) -> None:
    with pytest.raises(UnsupportedTypeError):
        avro_reader.compiled({"type": "record", "fields": [{"name": "at", "type": schema}]}, Follow)
    with pytest.raises(UnsupportedTypeError):
        avro_reader.compiled(
            {"type": "record", "fields": [{"name": "not_of_a_follow", "type": "long"}]}, Follow
        )


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**80])
def test_long_refuses_more_than_64_bits(value: int) -> None:
    with pytest.raises(OverflowError):
        long(value)


@pytest.mark.parametrize(
    "wrong",
    [{"user_id": None}, {"action": "poke"}, {"at": 2**63}, {"at": 1.5}, {"target": b"x"}],
)
def test_a_wrong_field_is_refused(wrong: dict[str, object]) -> None:
    good = Follow(event_id="e", action="follow", user_id="u", target="u:v", at=1)
    with pytest.raises(ValueError, match="event e"):
        encode(msgspec.structs.replace(good, **wrong))


@pytest.mark.parametrize(
    "schema",
    [
        "bytes",
        ["string", "int"],
        ["null", "string", "int"],
        {"type": "record", "fields": [{"name": "a-b", "type": "int"}]},
    ],
)
def test_a_type_that_no_schema_uses_is_refused(schema: object) -> None:
    with pytest.raises(UnsupportedTypeError):
        compiled(schema)
