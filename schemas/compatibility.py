"""Whether data of one Avro schema can be read by another: Avro's schema resolution, ahead of data.

It judges as fastavro resolves (`tests/unit/test_compatibility.py` holds the two together), and is
stricter where data would be read without an error and mean something else: when a number's logical
type changes, as from milliseconds to microseconds, and when two fields become one by an alias.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastavro import parse_schema
from fastavro.schema import SchemaParseException
from msgspec import Struct

_PROMOTIONS = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}
_NAMED = ("record", "error", "enum", "fixed")
_HOLDING = ("array", "map")

Names = dict[str, Any]


class SchemaError(Exception):
    """A schema that is none by Avro's rules."""


class Break(Struct, frozen=True):
    """What of a schema cannot be read, as `Post.media[].width`, and the rule that says so."""

    where: str
    rule: str

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}"


class Conflict(Struct, frozen=True):
    """Of two versions one cannot read all that the other writes: a break of backward compatibility
    when the reader is the newer one, of forward compatibility when it is the older."""

    writer: str
    reader: str
    is_backward: bool
    what: Break

    def __str__(self) -> str:
        kind = "backward" if self.is_backward else "forward"
        return f"{self.reader} cannot read what {self.writer} writes ({kind}): {self.what}"


def conflicts(versions: Sequence[tuple[str, Any]]) -> list[Conflict]:
    """Where versions (name, schema), oldest first, are not compatible in both directions, each
    with every other.

    Raises:
        SchemaError: one is no Avro schema.
    """
    found = []
    for n, (newer, newer_schema) in enumerate(versions):
        for older, older_schema in versions[:n]:
            backward = breaks(older_schema, newer_schema)
            forward = breaks(newer_schema, older_schema)
            found += [Conflict(older, newer, True, each) for each in backward]
            found += [Conflict(newer, older, False, each) for each in forward]
    return found


def breaks(writer: Any, reader: Any) -> list[Break]:
    """Why not all that is written by one schema (as JSON has it) can be read by another; none if it
    can.

    Raises:
        SchemaError: one is no Avro schema.
    """
    writer_names: Names = {}
    reader_names: Names = {}
    types = parsed(writer, writer_names), parsed(reader, reader_names)
    try:
        return list(dict.fromkeys(_Judge(writer_names, reader_names).breaks(*types, "")))
    except TypeError as error:  # a name that is none, which fastavro's parser lets through
        raise SchemaError(f"no Avro schema: {error!r}") from error


def is_named_alike(writer: Mapping[str, Any], reader: Mapping[str, Any]) -> bool:
    """Whether a reader's named type is a writer's: by its name without the namespace, or an
    alias."""
    name = str(writer["name"])
    simple = name.rpartition(".")[2]
    aliases = reader.get("aliases")
    if not isinstance(aliases, list):
        aliases = []
    is_same = simple == str(reader["name"]).rpartition(".")[2]
    return is_same or name in aliases or simple in aliases


def parsed(schema: Any, names: Names) -> Any:
    """A schema with the full names of its types, which are put into `names`.

    Raises:
        SchemaError: it is no Avro schema.
    """
    try:
        return parse_schema(schema, named_schemas=names, _write_hint=False)
    except (SchemaParseException, AttributeError, KeyError, TypeError, ValueError) as error:
        raise SchemaError(f"no Avro schema: {error!r}") from error
    except RecursionError:
        raise SchemaError("no Avro schema: it is too deep") from None


class _Judge:
    """Compares a writer's types with a reader's, each pair of records once."""

    def __init__(self, writer_names: Names, reader_names: Names) -> None:
        self._writer_names = writer_names
        self._reader_names = reader_names
        self._seen: set[tuple[str, str]] = set()

    def breaks(self, writer: Any, reader: Any, where: str) -> Iterator[Break]:
        """Why a reader's type cannot read all of a writer's."""
        writer, reader = self._types(writer, reader)
        if isinstance(writer, list):
            for branch in writer:
                yield from self._of_branch(branch, reader, where)
        elif isinstance(reader, list):
            yield from self._of_branch(writer, reader, where)
        elif not (_kind(writer) == _kind(reader) in _HOLDING or self._match(writer, reader)):
            yield self._mismatch(writer, reader, where)
        else:
            yield from self._of_matching(writer, reader, where)

    def _types(self, writer: Any, reader: Any) -> tuple[Any, Any]:
        """Types that are told by their names, with what these stand for."""
        if isinstance(writer, str):
            writer = self._writer_names.get(writer, writer)
        if isinstance(reader, str):
            reader = self._reader_names.get(reader, reader)
        return writer, reader

    def _of_branch(self, writer: Any, reader: Any, where: str) -> Iterator[Break]:
        """One branch of a writer's union, or a type that is no union, upon any reader's type: of
        a union, it is the first branch that matches."""
        if not isinstance(reader, list):
            yield from self.breaks(writer, reader, where)
            return
        for branch in reader:
            if self._match(*self._types(writer, branch)):
                yield from self.breaks(writer, branch, where)
                return
        branches = ", ".join(map(_named, reader))
        yield Break(where, f"{_named(writer)} is none of the reader's union of {branches}")

    def _match(self, writer: Any, reader: Any) -> bool:
        """Whether two types match, as far as it decides which branch of a union is meant."""
        if isinstance(writer, list) or isinstance(reader, list):
            return True
        kind, other = _kind(writer), _kind(reader)
        if kind in _NAMED or other in _NAMED:
            return kind == other and is_named_alike(writer, reader)
        if kind == other == "array":
            return self._match(*self._types(writer["items"], reader["items"]))
        if kind == other == "map":
            return self._match(*self._types(writer["values"], reader["values"]))
        return kind == other or other in _PROMOTIONS.get(kind, ())

    def _mismatch(self, writer: Any, reader: Any, where: str) -> Break:
        kind, other = _kind(writer), _kind(reader)
        if kind == other and kind in _NAMED:
            name = _named(reader)
            return Break(where or name, f"{_named(writer)} is neither {name} nor an alias of it")
        rule = f"{_named(writer)} cannot be read as {_named(reader)}"
        return Break(where or _named(reader), rule)

    def _of_matching(self, writer: Any, reader: Any, where: str) -> Iterator[Break]:
        written, read = _logical(writer), _logical(reader)
        if written and read and written != read:
            yield Break(where, f"the logical type {written} would be read as {read}")
        match _kind(writer):
            case "record" | "error":
                pair = writer["name"], reader["name"]
                if pair not in self._seen:
                    self._seen.add(pair)
                    yield from self._of_record(writer, reader, where or _simple(reader["name"]))
            case "enum":
                yield from _of_enum(writer, reader, where or _simple(reader["name"]))
            case "fixed":
                if writer["size"] != reader["size"]:
                    sizes = f"{writer['size']} bytes cannot be read as {reader['size']}"
                    yield Break(where or _simple(reader["name"]), f"a fixed of {sizes}")
            case "array":
                yield from self.breaks(writer["items"], reader["items"], f"{where}[]")
            case "map":
                yield from self.breaks(writer["values"], reader["values"], f"{where}{{}}")

    def _of_record(self, writer: Any, reader: Any, where: str) -> Iterator[Break]:
        by_name = {field["name"]: field for field in reader["fields"]}
        by_alias = {a: f for f in reader["fields"] for a in f.get("aliases", [])}
        found: dict[str, str] = {}
        for field in writer["fields"]:
            name = field["name"]
            into = by_name.get(name) or by_alias.get(name)
            if into is None:
                continue  # the reader passes it over
            place = f"{where}.{into['name']}"
            if into["name"] in found:
                both = f"{found[into['name']]} and {name}"
                yield Break(place, f"the writer's fields {both} are one field of the reader")
                continue
            found[into["name"]] = name
            yield from self.breaks(field["type"], into["type"], place)
        for name, field in by_name.items():
            if name not in found and "default" not in field:
                rule = "the writer does not have this field, and the reader has no default for it"
                yield Break(f"{where}.{name}", rule)


def _of_enum(writer: Any, reader: Any, where: str) -> Iterator[Break]:
    if not reader.get("default"):
        unknown = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
        if unknown:
            rule = "not known to the reader, whose enum has no default"
            yield Break(where, f"{', '.join(unknown)}: {rule}")


def _kind(schema: Any) -> str:
    return str(schema["type"] if isinstance(schema, dict) else schema)


def _named(schema: Any) -> str:
    if isinstance(schema, list):
        return f"a union of {', '.join(map(_named, schema))}"
    kind = _kind(schema)
    return f"{kind} {_simple(schema['name'])}" if kind in _NAMED else kind


def _simple(name: str) -> str:
    return name.rpartition(".")[2]


def _logical(schema: Any) -> str | None:
    return schema.get("logicalType") if isinstance(schema, dict) else None
