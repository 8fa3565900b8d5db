"""Dead letters as text: a line of each, and one as a whole, decoded as far as it can be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from headrace.dead_letters.log import Found
from headrace.dead_letters.verdict import BY_KEY, OwnId, Refusal
from schemas.codec import UndecodableError
from schemas.dead_letters import DeadLetter
from schemas.topics import EXTERNAL, INTERNAL, VIEWS, Topic, in_this_generation
from schemas.views import decode_view
from streams.engine.outbox import Output
from streams.engine.records import decode_record

MAX_KEY = 256
MAX_MESSAGE = 500
MAX_DUMPED = 1_024
_A_LINE = 16
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Row(Struct, frozen=True):
    """What a list says of a letter: without its value, so that many take little memory."""

    place: str
    written_at: str
    topic: str
    partition: int
    offset: int
    code: str
    message: str
    stage: str
    key: str | None
    bytes: int
    handled: str | None
    handled_at: str | None


def row_of(found: Found) -> Row:
    """The row of a letter; long keys and messages are cut."""
    letter, handled = found.letter, found.handled
    return Row(
        place=found.place,
        written_at=time_text(found.written_at),
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        code=letter.code,
        message=_cut(letter.message, MAX_MESSAGE),
        stage=letter.stage,
        key=None if letter.key is None else _cut(_text(letter.key), MAX_KEY),
        bytes=len(letter.raw or b""),
        handled=None if handled is None else handled.what,
        handled_at=None if handled is None else time_text(handled.at),
    )


def whole(found: Found, verdict: Output | Refusal, own_id: OwnId = bytes) -> Iterator[str]:
    """A letter, line by line, with its value and what would become of it now."""
    letter, handled = found.letter, found.handled
    yield f"letter     {found.place}, written {time_text(found.written_at)}"
    yield f"record     {found.record}, of {time_text(letter.at)}"
    yield f"refused    by {letter.stage}: {letter.code}: {printable(letter.message)}"
    yield f"key        {'none' if letter.key is None else printable(repr(_text(letter.key)))}"
    done = "no" if handled is None else f"{handled.what} {time_text(handled.at)}"
    yield f"handled    {done}"
    yield f"now        {verdict_text(verdict)}"
    yield f"value      {len(letter.raw or b''):,} bytes, {_kind_and_value(letter, own_id)}"


def verdict_text(verdict: Output | Refusal) -> str:
    """What would become of a record that is published again."""
    if isinstance(verdict, Refusal):
        return f"not to be replayed, {verdict.code}: {printable(verdict.message)}"
    partition = "" if verdict.partition == BY_KEY else f", partition {verdict.partition}"
    key = printable(repr(_text(verdict.key or b"")))
    return f"would be taken: topic {verdict.topic}{partition}, key {key}"


def time_text(ms: int) -> str:
    """A time in ISO 8601, to the second."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def printable(text: str) -> str:
    """A text that a terminal only shows: what would steer it is written out."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _kind_and_value(letter: DeadLetter, own_id: OwnId) -> str:
    raw = letter.raw or b""
    found = _decoded(in_this_generation(letter.topic), raw, own_id)
    if found is None:
        return "\n".join(["not decodable:", *_dumped(raw)])
    text = msgspec.json.format(msgspec.json.encode(_named(found))).decode()
    return "\n".join(["decoded:", *map(printable, text.splitlines())])


def _decoded(topic: str, raw: bytes, own_id: OwnId) -> Any:
    """The event, fact or view in a value, None if it is none."""
    try:
        if topic in (*EXTERNAL, *INTERNAL):
            return decode_record(own_id(raw) if topic in EXTERNAL else raw)
        if topic in (*VIEWS, Topic.TIMELINE_WRITES):
            return decode_view(Topic(topic), raw)
    except (UndecodableError, msgspec.DecodeError):
        return None
    return None


def _named(found: Any) -> Any:
    """As JSON, with the names of kinds and fields, which stand in no fact or view."""
    if isinstance(found, list):
        return [_named(each) for each in found]
    fields = ((name, getattr(found, name)) for name in found.__struct_fields__)
    return {"type": type(found).__name__} | {
        name: msgspec.to_builtins(value) for name, value in fields
    }


def _dumped(raw: bytes) -> Iterator[str]:
    for start in range(0, min(len(raw), MAX_DUMPED), _A_LINE):
        part = raw[start : start + _A_LINE]
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        yield f"{start:08x}  {part.hex(' '):<{3 * _A_LINE}} {shown}"
    if len(raw) > MAX_DUMPED:
        yield f"and {len(raw) - MAX_DUMPED:,} bytes more"


def _text(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
