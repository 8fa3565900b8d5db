"""Schemas by which a few bytes could keep a reader busy, or overflow its stack, are refused."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import pytest

from schemas.bounds import MAX_DEPTH, check_bounds
from schemas.codec import UndecodableError, newest, versions
from schemas.compatibility import SchemaError
from schemas.events import Follow
from schemas.translation import translation


def rec(*kinds: Any, name: str = "R") -> Any:
    fields = [{"name": f"f{n}", "type": kind} for n, kind in enumerate(kinds)]
    return {"type": "record", "name": name, "fields": fields}


def array(items: Any) -> Any:
    return {"type": "array", "items": items}


def nested(depth: int) -> Any:
    schema: Any = "long"
    for _ in range(depth - 1):
        schema = array(schema)
    return schema


@pytest.mark.parametrize(
    "version", versions(), ids=lambda version: f"{version.subject} {version.id}"
)
def test_our_own_schemas_keep_to_it(version: Any) -> None:
    check_bounds(json.loads(version.text))


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(rec(["null", "long"], array(["null", "string"])), id="null in a union"),
        pytest.param(rec(rec("int", name="S"), "S", array("S")), id="one type at several places"),
        pytest.param(rec({"type": "fixed", "name": "F", "size": 1}), id="a fixed"),
        pytest.param(rec({"type": "map", "values": "bytes"}), id="a map"),
        pytest.param(rec(nested(MAX_DEPTH - 1)), id="as deep as may be"),
    ],
)
def test_what_is_bounded_is_taken(schema: Any) -> None:
    check_bounds(schema)


REFUSED = {
    "always null": rec("null"),
    "a list of nulls": rec(array("null")),
    "a list of nothing": rec(array(rec(name="S"))),
    "a fixed of no bytes": rec(array({"type": "fixed", "name": "F", "size": 0})),
    "holds itself": rec("long", ["null", "R"]),
    "holds itself within a list": rec(array(rec({"type": "map", "values": "R"}, name="S"))),
    "too deep": rec(nested(MAX_DEPTH)),
    "no schema": rec("Elsewhere"),
}


@pytest.mark.parametrize("schema", REFUSED.values(), ids=REFUSED)
def test_what_is_not_bounded_is_refused(schema: Any) -> None:
    with pytest.raises(SchemaError):
        check_bounds(schema)


def test_types_that_are_used_again_and_again_are_looked_at_once() -> None:
    """2^30 fields, written in thirty lines."""
    inner: Any = "long"
    for n in range(30):
        inner = rec(inner, "long" if n == 0 else f"S{n - 1}", name=f"S{n}")
    with pytest.raises(SchemaError):  # for its depth, and at once
        check_bounds(rec(*[inner] * 1, *["S29"] * 3, nested(MAX_DEPTH)))
    check_bounds(rec(inner))


def test_a_list_without_end_is_not_begun() -> None:
    """2^60 nulls, in a field that the reader would pass over."""
    schema = json.loads(newest()[Follow].text)
    schema["fields"].insert(0, {"name": "x", "type": array("null")})
    raw = io.BytesIO()
    fastavro.schemaless_writer(raw, "long", 1 << 60)
    with pytest.raises(UndecodableError, match="always null") as refused:
        translation(7, json.dumps(schema))(b"\0\0\0\0\7" + raw.getvalue())
    assert refused.value.code == "unknown_schema"
