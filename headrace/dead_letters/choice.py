"""Which letters an operator means."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from headrace.dead_letters.log import Found, Letters, LettersError
from schemas.generation import base_of
from schemas.topics import Topic

_PLACE = re.compile(r"(?:(.+)-)?(\d{1,9})-(\d{1,18})")


class Place(NamedTuple):
    """Where a letter stands, or (with a topic) the record that it is about."""

    topic: str | None
    partition: int
    offset: int

    def __str__(self) -> str:
        return "-".join(map(str, filter(lambda part: part is not None, self)))

    def is_of(self, found: Found) -> bool:
        """Whether it names this letter."""
        if self.topic is None:
            return (self.partition, self.offset) == (found.partition, found.offset)
        letter = found.letter
        return self == (letter.topic, letter.partition, letter.offset)


def place_of(text: str) -> Place | None:
    """A place as it is written: partition-offset of a letter, topic-partition-offset of a record;
    None if it is neither."""
    match = _PLACE.fullmatch(text)
    if match is None:
        return None
    topic = None if match[1] == Topic.DEAD_LETTERS else match[1]
    return Place(topic, int(match[2]), int(match[3]))


class Filter(Struct, frozen=True, kw_only=True):
    """What letters must have; times (ms) are those at which they were written."""

    topics: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    stage: str | None = None
    key: bytes | None = None
    since: int | None = None
    until: int | None = None
    is_open: bool = False

    def takes(self, found: Found) -> bool:
        """Whether a letter has it."""
        letter = found.letter
        return (
            (not self.topics or base_of(letter.topic) in map(base_of, self.topics))
            and (not self.codes or letter.code in self.codes)
            and (self.stage is None or self.stage in (letter.stage, letter.stage.split("/")[0]))
            and (self.key is None or letter.key == self.key)
            and (self.since is None or found.written_at >= self.since)
            and (self.until is None or found.written_at <= self.until)
            and not (self.is_open and found.handled is not None)
        )


def chosen(letters: Letters, places: Sequence[Place], wanted: Filter) -> Iterator[Found]:
    """The letters at places, or all if none are named, that a filter takes.

    A letter stands in the partition of its record, so one partition is read for each place, and of
    that no more than the letters' own places.

    Raises:
        LettersError: there is none at a place, or Kafka cannot be read.
    """
    if not places:
        for partition in letters.ends:
            yield from filter(wanted.takes, letters.read(partition, since_ms=wanted.since))
        return
    missing = list(places)
    for partition in sorted({place.partition for place in places} & letters.ends.keys()):
        named = [place for place in places if place.partition == partition]
        for found in letters.read(partition, offsets=_offsets_of(named)):
            if here := [place for place in named if place.is_of(found)]:
                missing = [place for place in missing if place not in here]
                if wanted.takes(found):
                    yield found
    if missing:
        raise LettersError(
            f"there is no dead letter at {', '.join(map(str, missing))}.\n"
            "hint: `headrace dead-letters list` has their places; Kafka keeps them for 30 days"
        )


def _offsets_of(places: Sequence[Place]) -> range:
    """Where in their partition the letters may stand."""
    offsets = [place.offset for place in places]
    if any(place.topic is not None for place in places):
        return range(sys.maxsize)
    return range(min(offsets), max(offsets) + 1)
