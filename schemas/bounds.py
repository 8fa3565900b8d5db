"""What a schema may not have, so that any bytes are read by it in a time that goes by their number.

Who can register a schema and publish a record could otherwise keep a reader busy for years (a list
of 2^60 values that take no bytes), or overflow its stack.
"""

from __future__ import annotations

from typing import Any

from schemas.compatibility import Names, SchemaError, parsed

MAX_DEPTH = 32


def check_bounds(schema: Any) -> None:
    """Look for types that hold themselves, values that take no bytes, and types within types that
    are too many.

    Raises:
        SchemaError: there is one, or it is no Avro schema.
    """
    names: Names = {}
    _Walk(names).depth(parsed(schema, names))


class _Walk:
    """Goes through each named type once."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._known: dict[str, int] = {}
        self._within: set[str] = set()

    def depth(self, schema: Any) -> int:
        """How many types are within each other, of one that is no branch of a union."""
        schema = self._names.get(schema, schema) if isinstance(schema, str) else schema
        if isinstance(schema, list):
            return self._more([each for each in schema if each != "null"])
        kind = schema["type"] if isinstance(schema, dict) else schema
        match kind:
            case "null":
                raise SchemaError("a value that is always null takes no bytes")
            case "fixed":
                if not (isinstance(schema["size"], int) and schema["size"] > 0):
                    raise SchemaError(f"{schema['name']}: a fixed of no bytes")
            case "array":
                return self._more([schema["items"]])
            case "map":
                return self._more([schema["values"]])
            case "record" | "error":
                return self._of_record(schema)
        return 1

    def _of_record(self, record: Any) -> int:
        name = record["name"]
        if name in self._within:
            raise SchemaError(f"{name}: a record that holds itself")
        if not record["fields"]:
            raise SchemaError(f"{name}: a record without fields takes no bytes")
        if name not in self._known:
            self._within.add(name)
            self._known[name] = self._more([field["type"] for field in record["fields"]])
            self._within.remove(name)
        return self._known[name]

    def _more(self, inner: list[Any]) -> int:
        depth = 1 + max(map(self.depth, inner), default=0)
        if depth > MAX_DEPTH:
            raise SchemaError(f"more than {MAX_DEPTH} types within each other")
        return depth
