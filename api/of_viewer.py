"""What a viewer did with what is wanted, and how the viewer stands to sources, as Redis has it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from api.redis_answers import marked, reactions, scored
from api.stores import Found, Wanted
from connectors.redis_keys import Keys

FEW = 100
"""Of so many names each is asked for; of more, the set is read, if it has no more than so many."""


class Members:
    """Those of some names that are members of a set, or of a sorted set, noted in `into`."""

    def __init__(
        self, key: str, names: Collection[str], into: set[str], *, is_sorted: bool = False
    ) -> None:
        self._key = key
        self._names = names
        self._into = into
        self._is_sorted = is_sorted

    @property
    def question(self) -> Sequence[Any]:
        """What to ask first."""
        if len(self._names) <= FEW:
            return self.of_each
        if self._is_sorted:
            return "ZRANGE", self._key, 0, FEW
        return "SRANDMEMBER", self._key, FEW + 1  # all of a set that has no more

    @property
    def of_each(self) -> Sequence[Any]:
        """What asks for each name."""
        return "ZMSCORE" if self._is_sorted else "SMISMEMBER", self._key, *self._names

    def note(self, answer: Sequence[Any]) -> bool:
        """Note the answer to `question`; whether it tells all, else ask `of_each`."""
        if len(self._names) <= FEW:
            self.note_each(answer)
        elif len(answer) > FEW:
            return False
        elif answer:
            self._into |= {raw.decode() for raw in answer}.intersection(self._names)
        return True

    def note_each(self, answer: Sequence[Any]) -> None:
        """Note the answer to `of_each`."""
        self._into.update((scored if self._is_sorted else marked)(self._names, answer))


class OfViewer:
    """Asks for what is wanted of a viewer, and notes what is found."""

    def __init__(self, keys: Keys, wanted: Wanted, found: Found) -> None:
        self._mine = wanted.mine
        self._found = found
        self._reacted: list[Sequence[Any]] = []
        self._members: list[Members] = []
        viewer = wanted.viewer
        if not viewer:
            return
        hidden = keys.hidden(viewer)
        if wanted.mine:
            self._reacted = [
                ("ZMSCORE", keys.reacted(viewer), *wanted.mine),
                ("HMGET", keys.kinds(viewer), *wanted.mine),
            ]
            self._members += [
                Members(keys.shared(viewer), wanted.mine, found.shared, is_sorted=True),
                Members(hidden, wanted.mine, found.hidden, is_sorted=True),
            ]
        if wanted.hidden:
            self._members.append(Members(hidden, wanted.hidden, found.hidden, is_sorted=True))
        if wanted.blocks:
            self._members += [
                Members(keys.blocks(viewer), wanted.blocks, found.blocked),
                Members(keys.mutes(viewer), wanted.blocks, found.muted),
            ]
        if wanted.favourites:
            key = keys.favourites(viewer)
            self._members.append(Members(key, wanted.favourites, found.favourites))

    @property
    def questions(self) -> list[Sequence[Any]]:
        """What to ask first."""
        return [*self._reacted, *(each.question for each in self._members)]

    def note(self, answers: Iterator[Any]) -> list[Members]:
        """Note the answers to `questions`; those of which each name has to be asked for."""
        if self._reacted:
            self._found.reactions = reactions(self._mine, next(answers), next(answers))
        return [each for each in self._members if not each.note(next(answers))]
