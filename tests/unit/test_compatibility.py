"""The verdict on two schemas is what fastavro then does, in both directions, change by change."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from schemas.compatibility import Break, SchemaError, breaks, conflicts
from tests.resolution import fastavro_reads


def rec(*fields: Any, name: str = "R", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": "x", "fields": list(fields), **more}


def field(name: str, kind: Any = "long", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def enum(*symbols: str, name: str = "E", **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": name, "symbols": list(symbols), **more}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def mapped(values: Any) -> dict[str, Any]:
    return {"type": "map", "values": values}


def fixed(size: int, name: str = "F") -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size}


class Change(NamedTuple):
    """Of a schema; with what must be said when the new one reads the old one's data (backward),
    and the old one the new one's (forward): nothing if it can."""

    name: str
    old: Any
    new: Any
    backward: str | None = None
    forward: str | None = None


A, B = field("a"), field("b")
LACKS = "R.b: the writer does not have this field, and the reader has no default for it"
LACKS_A = LACKS.replace("R.b", "R.a")


def cannot(writer: str, reader: str, where: str = "R.a") -> str:
    return f"{where}: {writer} cannot be read as {reader}"


def of_a(kind: Any) -> dict[str, Any]:
    return rec(field("a", kind))


def typed(name: str, old: Any, new: Any, **verdicts: str) -> Change:
    return Change(name, of_a(old), of_a(new), **verdicts)


CHANGES = [
    Change("nothing", rec(A), rec(A)),
    Change("add a field with a default", rec(A), rec(A, field("b", default=1))),
    Change("add a field without a default", rec(A), rec(A, B), backward=LACKS),
    Change("add a field that may be null", rec(A), rec(A, field("b", ["null", "long"])), LACKS),
    Change(
        "add one that is null if nothing is said",
        rec(A),
        rec(A, field("b", ["null", "long"], default=None)),
    ),
    Change("remove a field with a default", rec(A, field("b", default=1)), rec(A)),
    Change("remove a field without a default", rec(A, B), rec(A), forward=LACKS),
    Change("reorder fields", rec(A, field("b", "string")), rec(field("b", "string"), A)),
    Change("change a default", rec(field("a", default=1)), rec(field("a", default=2))),
    Change("drop a default", rec(field("a", default=1)), rec(A)),
    Change("rename a field", rec(A), rec(B), LACKS, LACKS_A),
    Change(
        "rename a field, the old name its alias",
        rec(A),
        rec(field("b", aliases=["a"])),
        forward=LACKS_A,
    ),
    Change(
        "rename a field that had a default, the old name its alias",
        rec(field("a", default=0)),
        rec(field("b", aliases=["a"])),
    ),
    Change("rename the record", rec(A), rec(A, name="S"), *("is neither record",) * 2),
    Change(
        "rename the record, the old name its alias",
        rec(A),
        rec(A, name="S", aliases=["R"]),
        forward="R: record S is neither record R nor an alias of it",
    ),
    Change("move the record to another namespace", rec(A), {**rec(A), "namespace": "y"}),
    typed("promote int to long", "int", "long", forward=cannot("long", "int")),
    typed("promote int to double", "int", "double", forward=cannot("double", "int")),
    typed("promote long to float", "long", "float", forward=cannot("float", "long")),
    typed("promote float to double", "float", "double", forward=cannot("double", "float")),
    typed("string to bytes", "string", "bytes"),
    typed("long to string", "long", "string", backward="read as string", forward="read as long"),
    typed("boolean to int", "boolean", "int", backward="read as int", forward="read as boolean"),
    typed("one to many", "long", array("long"), backward="as array", forward="array cannot"),
    typed("promote items", array("int"), array("long"), forward="read as int"),
    typed("of items", array("int"), array("string"), backward="as string", forward="as int"),
    typed("promote values", mapped("int"), mapped("double"), forward="as int"),
    typed("list to map", array("int"), mapped("int"), backward="as map", forward="as array"),
    typed("widen to a union", "long", ["null", "long"], forward="null cannot be read as long"),
    typed(
        "a union by another type",
        ["null", "long"],
        ["null", "long", "string"],
        forward="R.a: string is none of the reader's union of null, long",
    ),
    typed(
        "widen and promote",
        "int",
        ["null", "long"],
        forward="cannot be read as int",
    ),
    typed(
        "narrow a union",
        ["null", "long", "string"],
        ["null", "string"],
        backward="R.a: long is none of the reader's union of null, string",
    ),
    typed(
        "narrow a union to a type",
        ["null", "long"],
        "long",
        backward=cannot("null", "long"),
    ),
    typed("reorder a union", ["null", "long"], ["long", "null"]),
    typed(
        "a union of others",
        ["null", "long"],
        ["boolean", "string"],
        backward="is none of the reader's union of boolean, string",
        forward="is none of the reader's union of null, long",
    ),
    typed("add a symbol", enum("u"), enum("u", "v"), forward="R.a: v: not known to the reader"),
    typed("remove a symbol", enum("u", "v"), enum("u"), backward="R.a: v: not known"),
    typed("reorder symbols", enum("u", "v"), enum("v", "u")),
    typed("add a symbol, with a default", enum("u", default="u"), enum("u", "v", default="u")),
    typed("remove a symbol, with a default", enum("u", "v", default="u"), enum("u", default="u")),
    typed(
        "a default that only the new one has",
        enum("u"),
        enum("u", "v", default="u"),
        forward="v: not known",
    ),
    typed(
        "rename an enum",
        enum("u"),
        enum("u", name="G"),
        backward="R.a: enum E is neither enum G nor an alias of it",
        forward="R.a: enum G is neither enum E nor an alias of it",
    ),
    typed(
        "rename an enum, the old name its alias",
        enum("u"),
        enum("u", name="G", aliases=["x.E"]),
        forward="enum G is neither enum E",
    ),
    typed("enum to string", enum("u"), "string", backward="as string", forward="as enum E"),
    typed("enum to a record", enum("u"), rec(name="E"), backward="as record", forward="as enum"),
    typed(
        "a fixed of another size",
        fixed(2),
        fixed(3),
        backward="R.a: a fixed of 2 bytes cannot be read as 3",
        forward="R.a: a fixed of 3 bytes cannot be read as 2",
    ),
    typed(
        "within a list of records",
        array(rec(A, name="I")),
        array(rec(A, B, name="I")),
        backward=LACKS.replace("R.b", "R.a[].b"),
    ),
    typed(
        "within a map within a union",
        ["null", mapped(rec(A, name="I"))],
        ["null", mapped(rec(field("a", "string"), name="I"))],
        backward=cannot("long", "string", "R.a{}.a"),
        forward=cannot("string", "long", "R.a{}.a"),
    ),
    typed("milliseconds from now on", "long", {"type": "long", "logicalType": "timestamp-millis"}),
    Change(
        "a type by its name",
        rec(field("a", enum("u")), field("b", "E")),
        rec(field("a", enum("u")), field("b", "x.E")),
    ),
    Change(
        "a record that holds itself",
        rec(field("a", "int"), field("next", ["null", "R"])),
        rec(field("a", "long"), field("next", ["null", "R"])),
        forward="R.a: long cannot be read as int",
    ),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
@pytest.mark.parametrize("direction", ["backward", "forward"])
def test_the_verdict_is_what_fastavro_does(change: Change, direction: str) -> None:
    if direction == "backward":
        writer, reader, said = change.old, change.new, change.backward
    else:
        writer, reader, said = change.new, change.old, change.forward
    found = [str(each) for each in breaks(writer, reader)]
    assert fastavro_reads(writer, reader) == (said is None)
    assert bool(found) == (said is not None)
    assert all(said is not None and said in text for text in found), found


def test_another_unit_of_a_time_is_refused_although_it_could_be_read() -> None:
    milliseconds = of_a({"type": "long", "logicalType": "timestamp-millis"})
    microseconds = of_a({"type": "long", "logicalType": "timestamp-micros"})
    (found,) = breaks(milliseconds, microseconds)
    assert found == Break(
        "R.a", "the logical type timestamp-millis would be read as timestamp-micros"
    )


def test_two_fields_that_become_one_are_refused_although_one_could_be_read() -> None:
    (found,) = breaks(rec(A, B), rec(field("b", aliases=["a"])))
    assert found == Break("R.b", "the writer's fields a and b are one field of the reader")


def test_each_version_is_compared_with_each_other() -> None:
    """The third can read the second, but not the first."""
    first, second = rec(A, B), rec(A, field("b", default=1))
    third = rec(A, field("b", "string", default=""))
    found = conflicts([("v1", first), ("v2", second), ("v3", third)])
    assert [(each.writer, each.reader, each.is_backward) for each in found] == [
        ("v1", "v3", True),
        ("v3", "v1", False),
        ("v2", "v3", True),
        ("v3", "v2", False),
    ]
    assert str(found[0]) == (
        "v3 cannot read what v1 writes (backward): R.b: long cannot be read as string"
    )
    assert str(found[1]).startswith("v1 cannot read what v3 writes (forward): R.b: string")


def test_a_gap_between_neighbours_that_agree_is_found() -> None:
    versions = [("v1", rec(A, B)), ("v2", rec(A)), ("v3", rec(A, field("b", "string", default="")))]
    pairs = {(each.writer, each.reader) for each in conflicts(versions)}
    assert pairs == {("v2", "v1"), ("v1", "v3"), ("v3", "v1")}


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": "recrod", "name": "R"}, id="an unknown type"),
        pytest.param({"type": "record", "name": "R", "fields": [{"name": "a"}]}, id="no type"),
        pytest.param(rec(field("a", "Elsewhere")), id="a name that is not there"),
        pytest.param({"fields": []}, id="nothing"),
        pytest.param(7, id="a number"),
        pytest.param(rec({"name": ["a"], "type": "long"}), id="a name that is a list"),
        pytest.param(rec(field("a", "long", default="x")), id="a default of another type"),
    ],
)
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    with pytest.raises(SchemaError):
        breaks(schema, rec(A))
