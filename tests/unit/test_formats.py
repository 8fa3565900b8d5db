"""What Headrace writes for itself keeps its format, or the format's number is raised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from msgspec import inspect

from schemas import formats, views
from schemas.dead_letters import DeadLetter, Handled
from schemas.formats import FORMAT
from streams.engine.outbox import Outbox
from streams.engine.records import Tags
from streams.engine.replica import MakeFold
from streams.engine.state import State
from streams.facts import Fact
from streams.posts import PostFold
from streams.sources import SourceFold
from streams.users import UserFold

LOCK = Path(formats.__file__).with_name("formats.lock")
FOLDS: dict[str, MakeFold] = {"by-post": PostFold, "by-user": UserFold, "by-source": SourceFold}


def _rows() -> Iterator[tuple[str, type[Any]]]:
    for topic, make_fold in FOLDS.items():
        state = State()
        make_fold(state, Outbox(1))
        for name, table in state._tables.items():
            kind = type(table).__name__
            yield f"{kind} {topic}/{name}", table._decode.__self__.type  # type: ignore[attr-defined]


def _types() -> Iterator[tuple[str, Any]]:
    yield from _rows()
    for fact in get_args(Fact):
        yield f"fact {fact.__name__}", fact
    for operation in get_args(views.TimelineOp):
        yield f"operation {operation.__name__}", operation
    for recent in get_args(views.Recent):
        yield f"recent {recent.__name__}", recent
    for name, view in vars(views).items():
        if name.endswith("View"):
            yield f"view {name}", view
    yield "header tags", Tags
    yield "letter DeadLetter", DeadLetter
    yield "letter Handled", Handled


def _describe(found: inspect.Type) -> str:
    """A type with its fields in their order, as far as its bytes depend on it."""
    match found:
        case inspect.StructType(fields=fields, array_like=is_array, tag=tag):
            inner = ", ".join(
                f"{field.encode_name}: {_describe(field.type)}" + ("" if field.required else "?")
                for field in fields
            )
            return f"{'array' if is_array else 'map'} {tag or ''}({inner})"
        case inspect.UnionType(types=types):
            return " | ".join(_describe(each) for each in types)
        case inspect.DictType(key_type=key, value_type=value):
            return f"dict[{_describe(key)}, {_describe(value)}]"
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return f"[{_describe(item)} ...]"
        case inspect.TupleType(item_types=items):
            return f"[{', '.join(map(_describe, items))}]"
        case inspect.LiteralType(values=values):
            return "one of " + "/".join(map(str, values))
        case _:
            return type(found).__name__.removesuffix("Type").lower()


def test_formats_are_those_of_the_lock() -> None:
    now = [f"format {FORMAT}"]
    now += [f"{name}: {_describe(inspect.type_info(each))}" for name, each in sorted(_types())]
    locked = LOCK.read_text().splitlines()
    if now != locked:
        pytest.fail(
            f"the formats differ from {LOCK.name}. When a field with a default was added at the "
            "end, or a table or type was added, what was written before can still be read: "
            "write the lock anew. Else raise schemas.formats.FORMAT first. The lock:\n"
            + "\n".join(now)
        )


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_changed_field_shows(name: str) -> None:
    one = msgspec.defstruct("One", [("a", int)], array_like=True)
    other = msgspec.defstruct("Other", [(name, int, 0)], array_like=True)
    assert _describe(inspect.type_info(one)) != _describe(inspect.type_info(other))
