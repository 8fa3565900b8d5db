"""Dead letters by who wrote them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from connectors.lag import GROUPS
from schemas.dead_letters import DeadLetter
from schemas.topics import Topic
from tests.oracle.read_log import read_topics

Place = tuple[str, int, int]
"""Topic, partition and offset."""

EXACT = "headrace-app"
"""Whose letters are part of a checkpoint. A sink has no transaction and writes its letter before it
moves: again when it died between, or when its store was emptied and is filled anew."""

_decode = msgspec.msgpack.Decoder(DeadLetter).decode


class Letter(NamedTuple):
    """Which group has put away the record at a place."""

    group: str
    place: Place


def read(brokers: str) -> Counter[Letter]:
    """How often each letter was written."""
    found: Counter[Letter] = Counter()
    for _, _, _, _, value in read_topics(brokers, (Topic.DEAD_LETTERS,)):
        if value is not None:
            letter = _decode(value)
            group, _, _ = letter.stage.partition("/")
            found[Letter(group, (letter.topic, letter.partition, letter.offset))] += 1
    return found


def due(places: Iterable[Place]) -> set[Letter]:
    """The letters of records that nobody can read: one of each group that reads their topic."""
    return {
        Letter(group, place)
        for place in places
        for group, topics in GROUPS.items()
        if place[0] in topics
    }


def doubled(letters: Counter[Letter]) -> int:
    """How many letters are too many."""
    return sum(times - 1 for letter, times in letters.items() if letter.group == EXACT)
