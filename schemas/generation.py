"""Generations of the internal topics: `headrace migrate partitions` makes the next one, which has
more partitions. The topics, places and Redis keys of the first have no number in their names."""

from __future__ import annotations

import os
import re

VARIABLE = "HEADRACE_GENERATION"
LAST = 1_000  # rows in Cassandra bear 2**52 times as much as their write time
_OFFSETS = 2**36
_SUFFIX = re.compile(r"\.g[1-9][0-9]*$")


def _given() -> int:
    """What the environment says; the settings refuse what is no generation."""
    text = os.environ.get(VARIABLE, "")
    return max(1, int(text)) if text.isdecimal() else 1


GENERATION = _given()
"""The generation of which this process is."""


def name_in(generation: int, topic: str) -> str:
    """The name in a generation of an internal topic, of which the name in any is given."""
    base = base_of(topic)
    return base if generation == 1 else f"{base}.g{generation}"


def base_of(topic: str) -> str:
    """The name of a topic without its generation."""
    return _SUFFIX.sub("", topic)


def generation_of(topic: str) -> int:
    """The generation in the name of an internal topic."""
    found = _SUFFIX.search(topic)
    return 1 if found is None else int(found[0][2:])


def place_of(offset: int) -> int:
    """The place of a record in its entity's log: behind all those of earlier generations."""
    return (GENERATION - 1) * _OFFSETS + offset


def hash_tag(partition: int, generation: int = GENERATION) -> str:
    """What all Redis keys of a partition have in their names."""
    return f"{{{tag_prefix(generation)}{partition}}}"


def tag_prefix(generation: int = GENERATION) -> str:
    """How the hash tags of a generation begin."""
    return "p" if generation == 1 else f"g{generation}p"
