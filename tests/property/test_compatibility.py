"""Of any two schemas the verdict is what fastavro does."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.compatibility import breaks
from tests.resolution import fastavro_reads

PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "string", "bytes"]
SYMBOLS = st.lists(st.sampled_from("uvw"), min_size=1, unique=True)


@st.composite
def enums(draw: st.DrawFn) -> Any:
    symbols = draw(SYMBOLS)
    default = {"default": symbols[0]} if draw(st.booleans()) else {}
    return {"type": "enum", "name": "E", "symbols": symbols, **default}


primitives = st.sampled_from(PRIMITIVES)
holding = st.one_of(
    st.builds(lambda items: {"type": "array", "items": items}, primitives),
    st.builds(lambda values: {"type": "map", "values": values}, primitives),
)
unions = st.builds(
    lambda branches, more: branches + more,
    st.lists(primitives, min_size=2, max_size=4, unique=True),
    st.lists(holding, max_size=1),
)


def of_one_enum(a: Any, b: Any) -> bool:
    """A name is given once in a schema."""
    return not (isinstance(a, dict) and isinstance(b, dict) and a["type"] == b["type"] == "enum")


types = primitives | holding | unions | enums()


@st.composite
def records(draw: st.DrawFn) -> Any:
    made: list[Any] = []
    for name in draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, unique=True)):
        kind = draw(types.filter(lambda t: all(of_one_enum(t, f["type"]) for f in made)))
        field = {"name": name, "type": kind}
        if isinstance(kind, list) and kind[0] == "null" and draw(st.booleans()):
            field["default"] = None
        if name == "c" and draw(st.booleans()) and all(f["name"] != "a" for f in made):
            field["aliases"] = ["a"]
        made.append(field)
    return {"type": "record", "name": "R", "fields": made}


def makes_one_of_two(writer: Any, reader: Any) -> bool:
    """Which is refused though it can be read."""
    written = {field["name"] for field in writer["fields"]}
    return {"a", "c"} <= written and any(field.get("aliases") for field in reader["fields"])


@given(records(), records())
def test_the_verdict_is_what_fastavro_does(writer: Any, reader: Any) -> None:
    found = breaks(writer, reader)
    if not makes_one_of_two(writer, reader):
        assert (found == []) == fastavro_reads(writer, reader), found


@given(records())
def test_a_schema_reads_itself(schema: Any) -> None:
    assert breaks(schema, schema) == []
