"""Records by the schemas of a registry: read by whatever version they were written, or refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import fastavro
import msgspec
import pytest

from schemas.codec import UndecodableError, decode, encode, newest, versions
from schemas.events import Event, Follow, Media, Post
from schemas.translation import Translate, headers_in, translated, translation
from tests.unit.folds import created, followed, judged, said, user

NUMBER = 4711
HEADER = b"\0" + NUMBER.to_bytes(4, "big")
FOLLOW = followed("follow")


def text_of(event: type[Event], change: Callable[[dict[str, Any]], Any] = lambda _: None) -> str:
    """The newest schema of a type of event, changed."""
    schema = json.loads(newest()[event].text)
    change(schema)
    return json.dumps(schema)


def written(text: str, value: dict[str, Any]) -> bytes:
    """As a producer with this schema writes it."""
    out = io.BytesIO(HEADER)
    out.seek(0, io.SEEK_END)
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(text)), value)
    return out.getvalue()


def adding(*fields: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda schema: schema["fields"].extend(fields)


def first(*fields: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda schema: schema["fields"].__setitem__(slice(0, 0), fields)


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


OF_EACH = [created(), followed("block"), user("active", seen_to=9), judged("hidden")]


@pytest.mark.parametrize("event", [*OF_EACH, said("interested", "t:x")], ids=repr)
def test_a_version_of_ours_gets_its_own_id(event: Event) -> None:
    translate = translation(NUMBER, text_of(type(event)))
    assert translate(HEADER + encode(event)[5:]) == encode(event)


def test_an_older_version_of_ours_gets_its_own_id() -> None:
    old = next(version for version in versions() if version.id == 2)
    raw = b"\2e\0\2a\2b\2"
    assert translation(NUMBER, old.text)(HEADER + raw) == b"\0\0\0\0\2" + raw


def test_words_and_order_of_a_text_say_nothing() -> None:
    """A registry gives schemas back in a form of its own."""

    def change(schema: dict[str, Any]) -> None:
        del schema["doc"]
        schema["name"] = "headrace.Follow"
        del schema["namespace"]
        for each in schema["fields"]:
            each.pop("doc", None)

    text = json.dumps(json.loads(text_of(Follow, change)), sort_keys=True)
    assert translation(NUMBER, text)(HEADER + encode(FOLLOW)[5:]) == encode(FOLLOW)


def test_what_java_adds_to_a_text_says_nothing() -> None:
    def change(schema: dict[str, Any]) -> None:
        for each in schema["fields"]:
            if each["type"] == "string":
                each["type"] = {"type": "string", "avro.java.string": "String"}

    translate = translation(NUMBER, text_of(Follow, change))
    assert translate(HEADER + encode(FOLLOW)[5:]) == encode(FOLLOW)


NEWER = text_of(
    Follow,
    first(
        field("tenant", "string", default="x"),
        field("path", {"type": "array", "items": "bytes"}, default=[]),
    ),
)


def newer(**more: Any) -> bytes:
    fields = msgspec.to_builtins(FOLLOW)
    return written(NEWER, {**fields, "tenant": "t", "path": [b"\xff"], **more})


def test_a_newer_version_is_read_without_what_is_new() -> None:
    raw = translation(NUMBER, NEWER)(newer())
    assert raw == encode(FOLLOW)
    assert decode(raw, Follow) == FOLLOW


def test_lists_and_records_within_records_are_read() -> None:
    def change(schema: dict[str, Any]) -> None:
        media = next(each for each in schema["fields"] if each["name"] == "media")
        media["type"]["items"]["fields"].append(field("blurhash", "string", default=""))

    text = text_of(Post, change)
    post = created(media=(Media(url="u", width=3),), audience=("b",), visibility="custom")
    fields = msgspec.to_builtins(post)
    fields["media"][0]["blurhash"] = "LEHV6nWB2yk8"
    assert decode(translation(NUMBER, text)(written(text, fields))) == post


def test_a_renamed_schema_is_refused_as_no_older_reader_knows_its_alias() -> None:
    text = text_of(Follow, lambda schema: schema.update(name="Relation", aliases=["Follow"]))
    with pytest.raises(UndecodableError) as found:
        translation(NUMBER, text)(written(text, msgspec.to_builtins(FOLLOW)))
    assert found.value.code == "incompatible_schema"
    assert "record Relation is neither record Follow nor an alias" in str(found.value)


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    def change(schema: dict[str, Any]) -> None:
        schema["fields"] = [each for each in schema["fields"] if each["name"] != name]

    return change


def nested(depth: int) -> str:
    kind: Any = "long"
    for _ in range(depth):
        kind = {"type": "array", "items": kind}
    return text_of(Follow, adding(field("x", kind, default=[])))


def in_seconds(schema: dict[str, Any]) -> None:
    at = next(each for each in schema["fields"] if each["name"] == "at")
    at["type"]["logicalType"] = "timestamp-micros"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        pytest.param(text_of(Follow, without("target")), "incompatible_schema", "Follow.target: "),
        pytest.param(
            text_of(Follow, lambda s: s["fields"][1]["type"]["symbols"].append("poke")),
            "incompatible_schema",
            "Follow.action: poke: not known",
            id="a symbol",
        ),
        pytest.param(
            text_of(Follow, in_seconds), "incompatible_schema", "timestamp-micros", id="a unit"
        ),
        pytest.param(
            text_of(Follow, lambda s: s.update(name="Foo")), "unknown_schema", "of no event"
        ),
        pytest.param('"string"', "unknown_schema", "no schema of a record"),
        pytest.param("no JSON", "unknown_schema", "id 4711"),
        pytest.param("[" * 100_000, "unknown_schema", "id 4711", id="too deep for JSON"),
        pytest.param(nested(400), "unknown_schema", "id 4711", id="too deep for Python"),
        pytest.param(nested(40), "unknown_schema", "more than 32 types", id="too deep for us"),
        pytest.param('{"type": "record", "name": "Follow"}', "unknown_schema", "takes no bytes"),
        pytest.param('{"type": "wreck", "name": "Follow"}', "unknown_schema", "no Avro schema"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(text: str, code: str, said: str) -> None:
    translate = translation(NUMBER, text)
    with pytest.raises(UndecodableError, match=said) as refused:
        translate(HEADER + b"whatever")
    assert refused.value.code == code


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(HEADER, id="nothing"),
        pytest.param(newer()[:-1], id="cut"),
        pytest.param(newer() + b"\0", id="bytes left over"),
        pytest.param(HEADER + b"\xff" * 40, id="no Avro"),
        pytest.param(HEADER + b"\2\xff" + b"\0" * 40, id="text that is no UTF-8"),
        pytest.param(HEADER + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1", id="too long a text"),
        pytest.param(HEADER + b"\1" + b"\0" * 40, id="a text of negative length"),
    ],
)
def test_bytes_that_do_not_fit_a_newer_version_are_refused(raw: bytes) -> None:
    with pytest.raises(UndecodableError) as refused:
        decode(translation(NUMBER, NEWER)(raw), Follow)
    assert refused.value.code == "not_decodable"


def test_what_has_no_id_is_left_to_the_decoder() -> None:
    def swap(raw: bytes) -> bytes:
        return b"!" + raw

    found: dict[bytes, Translate] = {HEADER: swap}
    assert headers_in([None, b"", b"\0\0", b"{}xyz", HEADER, HEADER + b"a"]) == {HEADER}
    assert translated(HEADER + b"a", found) == b"!" + HEADER + b"a"
    for raw in (b"", b"\0\0", b"{}xyz"):
        assert translated(raw, found) == raw
