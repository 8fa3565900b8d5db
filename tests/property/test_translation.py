"""Whatever a registry and a producer say, a record is translated or refused."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import HEADER_BYTES, UndecodableError, decode, encode, newest
from schemas.events import EVENT_TYPES, Follow
from schemas.translation import translation
from tests.unit.folds import created, followed, user

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 5)
    | st.sampled_from(
        ["", "null", "long", "int", "string", "enum", "record", "Follow", "a.b", "x"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "name",
                    "fields",
                    "items",
                    "values",
                    "symbols",
                    "size",
                    "default",
                    "aliases",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
)


def places(schema: Any) -> list[tuple[Any, Any]]:
    """Where something of a schema stands: in what, and under which key or index."""
    keys = schema if isinstance(schema, dict) else range(len(schema))
    found = [(schema, key) for key in keys]
    for key in keys:
        if isinstance(schema[key], dict | list):
            found += places(schema[key])
    return found


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A schema of ours in which something was put in the place of something else."""
    schema = deepcopy(json.loads(newest()[draw(st.sampled_from(EVENT_TYPES))].text))
    for _ in range(draw(st.integers(0, 2))):
        holder, key = draw(st.sampled_from(places(schema)))
        if draw(st.booleans()):
            holder[key] = draw(JSON)
        elif isinstance(holder, dict):
            del holder[key]
        else:
            holder.insert(key, draw(JSON))
    return json.dumps(schema)


WRITTEN = [
    encode(event)[HEADER_BYTES:]
    for event in (created(content="#x", audience=("a",)), followed("follow"), user("profile"))
]
BODIES = st.lists(
    st.builds(
        lambda body, at, more: body[:at] + more + body[at + len(more) :],
        st.sampled_from(WRITTEN),
        st.integers(0, 60),
        st.binary(max_size=3),
    )
    | st.binary(max_size=60),
    max_size=4,
)


def check(text: str, bodies: list[bytes]) -> None:
    translate = translation(7, text)
    for body in [b"", *bodies]:
        with suppress(UndecodableError):
            decode(translate(b"\0\0\0\0\7" + body))


@given(mutated() | JSON.map(json.dumps), BODIES)
def test_it_is_translated_or_refused(text: str, bodies: list[bytes]) -> None:
    check(text, bodies)


@pytest.mark.parametrize("field", ["aliases", "name", "fields", "namespace", "type", "doc"])
@given(JSON)
def test_nonsense_at_the_top_is_passed_over_or_refused(field: str, value: Any) -> None:
    check(json.dumps({**json.loads(newest()[Follow].text), field: value}), [])
