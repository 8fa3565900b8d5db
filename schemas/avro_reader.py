"""Avro's binary decoding, compiled once per schema: several times as fast as fastavro into a
struct, because no dictionary is built and no type is looked up. The values are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import Struct, inspect

from schemas.avro_writer import UnsupportedTypeError

Reader = Callable[[bytes, int], tuple[Any, int]]
"""(bytes, where to begin) to (value, where it ends); a cut text ends behind the bytes."""

MAX_LONG_BITS = 64


class MalformedError(Exception):
    """The bytes do not fit the schema. They may also raise IndexError, KeyError or
    UnicodeDecodeError."""


def long(raw: bytes, p: int) -> tuple[int, int]:
    """Avro's zigzag varint."""
    n = raw[p]
    p += 1
    if n > 127:
        n, p = _more(raw, p, n)
    return (n >> 1) ^ -(n & 1), p


def _more(raw: bytes, p: int, n: int) -> tuple[int, int]:
    """The rest of a varint that began with `n`, still in zigzag."""
    part = raw[p + 1 : p + 5]
    high = _HIGH.get(part)
    if high is None:
        high = _last_four(part)
    if high and raw[p] > 127:  # six bytes, as the times of these decades have
        return n & 127 | (raw[p] & 127) << 7 | high, p + 5
    n &= 127
    shift = 7
    while True:
        byte = raw[p]
        p += 1
        n |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    if n >> MAX_LONG_BITS:
        raise MalformedError("a number of more than 64 bits")
    return n, p


_HIGH: dict[bytes, int] = {}
"""What the last four bytes of varints of six stand for; the same for all times within 8 s."""
_KEPT = 1 << 12


def _last_four(part: bytes) -> int:
    """What belongs into `_HIGH`, 0 when these are no last four bytes of six; kept there."""
    high = 0
    if len(part) == 4 and part[3] < 128 <= min(part[:3]):
        high = sum((byte & 127) << 14 + 7 * n for n, byte in enumerate(part))
    if len(_HIGH) >= _KEPT:
        _HIGH.clear()
    _HIGH[part] = high
    return high


def _refuse() -> None:
    raise MalformedError("a text of negative length, or an unknown branch of a union")


def _string(raw: bytes, p: int) -> tuple[str, int]:
    n = raw[p]
    p += 1
    if n > 127:
        n, p = _more(raw, p, n)
    if n & 1:
        _refuse()
    end = p + (n >> 1)
    return raw[p:end].decode(), end


def _boolean(raw: bytes, p: int) -> tuple[bool, int]:
    return _BOOLEANS[raw[p]], p + 1


_BOOLEANS = {0: False, 1: True}


def _enum(symbols: list[str], raw: bytes, p: int) -> tuple[str, int]:
    n, p = long(raw, p)
    if n < 0:
        raise MalformedError("an unknown symbol")
    return symbols[n], p


def _blocks(raw: bytes, p: int) -> tuple[int, int]:
    """How many items the next block of an array or map has, 0 at the end."""
    count, p = long(raw, p)
    if count < 0:
        _, p = long(raw, p)
        count = -count
    if count > len(raw) - p:
        raise MalformedError("more items than bytes")
    return count, p


def _array(item: Reader, raw: bytes, p: int) -> tuple[tuple[Any, ...], int]:
    values: list[Any] = []
    count, p = _blocks(raw, p)
    while count:
        for _ in range(count):
            value, p = item(raw, p)
            values.append(value)
        count, p = _blocks(raw, p)
    return tuple(values), p


def _map(item: Reader, raw: bytes, p: int) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {}
    count, p = _blocks(raw, p)
    while count:
        for _ in range(count):
            key, p = _string(raw, p)
            values[key], p = item(raw, p)
        count, p = _blocks(raw, p)
    return values, p


def _optional(null: int, item: Reader, raw: bytes, p: int) -> tuple[Any, int]:
    """A union of null and one type; `null` is the byte of the null branch, 0 or 2."""
    branch = raw[p]
    if branch == null:
        return None, p + 1
    if branch != 2 - null:
        raise MalformedError("an unknown branch of a union")
    return item(raw, p + 1)


def compiled(schema: Any, into: type[Struct]) -> Reader:
    """The function that decodes a record of `schema` into a struct that has its fields, and
    may have more, with defaults.

    Raises:
        UnsupportedTypeError: a type that no schema of ours uses.
    """
    return _compiled(schema, inspect.type_info(into))


def _compiled(schema: Any, into: inspect.Type) -> Reader:
    if isinstance(schema, list):
        return _union(schema, into)
    kind = schema["type"] if isinstance(schema, dict) else schema
    match kind, into:
        case "string", _:
            return _string
        case "long" | "int", _:
            return long
        case "boolean", _:
            return _boolean
        case "enum", _:
            return partial(_enum, schema["symbols"])
        case "array", inspect.VarTupleType(item_type=item):
            return partial(_array, _compiled(schema["items"], item))
        case "map", inspect.DictType(value_type=value):
            return partial(_map, _compiled(schema["values"], value))
        case "record", inspect.StructType():
            return _record(schema["fields"], into)
        case _:
            raise UnsupportedTypeError(f"Avro type {kind!r} into {into}")


def _union(branches: list[Any], into: inspect.Type) -> Reader:
    if len(branches) != 2 or "null" not in branches:
        raise UnsupportedTypeError(f"a union other than of null and one type: {branches}")
    null_first = branches[0] == "null"
    if isinstance(into, inspect.UnionType):
        into = next(each for each in into.types if not isinstance(each, inspect.NoneType))
    return partial(_optional, 0 if null_first else 2, _compiled(branches[null_first], into))


def _record(fields: list[dict[str, Any]], into: inspect.StructType) -> Reader:
    """A function written for these fields: a call per field would be half of the whole cost.

    For the fields `id` (string), `kind` (enum), `at` (long), `text` and `note` (null or string)
    it is

        def read(raw, p):
            n = raw[p]; p += 1
            if n > 127: n, p = more(raw, p, n)
            if n & 1: refuse()
            e = p + (n >> 1); f0 = raw[p:e].decode(); p = e
            f1 = r1[raw[p]]; p += 1
            n = raw[p]; p += 1
            if n > 127: n, p = more(raw, p, n)
            f2 = (n >> 1) ^ -(n & 1)
            if raw[p:] == NULLS: return make(id=f0, kind=f1, at=f2), p + 2
            f3 = None
            if raw[p] == 2:
                n = raw[p + 1]; p += 2
                ...
            elif raw[p]: refuse()
            else: p += 1
            ...
            return make(id=f0, kind=f1, at=f2, text=f3, note=f4), p

    where the line with NULLS is for the nulls that most records end in. A text that is cut ends
    behind the record, which whoever reads the last field notices.
    """
    names: dict[str, Any] = {
        "more": _more,
        "refuse": _refuse,
        "make": into.cls,
    }
    types = {field.name: field for field in into.fields}
    tail = _nullable_tail(fields, types)
    names["NULLS"] = bytes(len(fields) - tail)
    lines = ["def read(raw, p):"]
    arguments: list[str] = []
    for n, field in enumerate(fields):
        name, kind = field["name"], _plain(field["type"])
        if name not in types:
            raise UnsupportedTypeError(f"a field {name!r} that {into.cls.__name__} does not have")
        if n == tail:
            made = f"make({', '.join(arguments)}), p + {len(fields) - tail}"
            lines.append(f" if raw[p:] == NULLS: return {made}")
        lines += [" " + line for line in _read_field(n, kind)]
        arguments.append(f"{name}=f{n}")
        names[f"r{n}"] = _symbols(kind) or _compiled(kind, types[name].type)
    lines.append(f" return make({', '.join(arguments)}), p")
    exec("\n".join(lines), names)
    reader: Reader = names["read"]
    return reader


def _plain(kind: Any) -> Any:
    """`{"type": "long"}`, what is left of a type without its logical type, as `"long"`."""
    return kind["type"] if isinstance(kind, dict) and kind.keys() == {"type"} else kind


def _read_field(n: int, kind: Any) -> list[str]:
    if kind == "string":
        return ["n = raw[p]; p += 1", *_read_text(n)]
    if kind == ["null", "string"]:
        text = ["    " + line for line in ["n = raw[p + 1]; p += 2", *_read_text(n)]]
        return [f"f{n} = None", "if raw[p] == 2:", *text, "elif raw[p]: refuse()", "else: p += 1"]
    if kind in ("long", "int"):
        number = ["n = raw[p]; p += 1", "if n > 127: n, p = more(raw, p, n)"]
        return [*number, f"f{n} = (n >> 1) ^ -(n & 1)"]
    if _symbols(kind):
        return [f"f{n} = r{n}[raw[p]]; p += 1"]
    if isinstance(kind, list) and kind[0] == "null":
        return [f"if raw[p]: f{n}, p = r{n}(raw, p)", f"else: f{n} = None; p += 1"]
    return [f"f{n}, p = r{n}(raw, p)"]


def _read_text(n: int) -> list[str]:
    return [
        "if n > 127: n, p = more(raw, p, n)",
        "if n & 1: refuse()",
        f"e = p + (n >> 1); f{n} = raw[p:e].decode(); p = e",
    ]


def _symbols(kind: Any) -> dict[int, str] | None:
    """An enum's symbols by their one byte, None for other types and for enums of two bytes."""
    if not isinstance(kind, dict) or kind["type"] != "enum" or len(kind["symbols"]) > 64:
        return None
    return {2 * n: symbol for n, symbol in enumerate(kind["symbols"])}


def _nullable_tail(fields: list[dict[str, Any]], types: dict[str, inspect.Field]) -> int:
    """From which field on all are nullable, null first and None by default."""
    tail = len(fields)
    while tail:
        field = fields[tail - 1]
        found = types.get(field["name"])
        is_nullable = isinstance(field["type"], list) and field["type"][0] == "null"
        if not is_nullable or found is None or found.default is not None:
            break
        tail -= 1
    return tail
