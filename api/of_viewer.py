"""What a viewer did with what is wanted, and how the viewer stands to sources, as Redis has it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence, Set
from typing import Any, Protocol

from api.redis_answers import marked, reactions, scored
from api.stores import Found, Wanted
from connectors.redis_keys import Keys

FEW = 100
"""So many members a set may have to be read and kept as a whole; of larger ones it is asked which
of the names are members."""

Command = Sequence[Any]


class ViewerSet(Protocol):
    """A set of a viewer, of which it is wanted which of some names are in it."""

    key: str

    @property
    def is_short(self) -> bool:
        """Whether so few names are wanted that each may be asked for before it is known that the
        set is large."""

    @property
    def whole(self) -> Command:
        """What asks for all members, one more than `FEW` at most."""

    @property
    def of_each(self) -> list[Command]:
        """What asks for each name."""

    def tells(self, members: Set[str]) -> bool:
        """Whether all members tell what is wanted, so that `of_each` need not be asked."""

    def note(self, members: Set[str]) -> None:
        """Note what all members tell."""

    def note_each(self, answers: Iterator[Any]) -> None:
        """Note the answers to `of_each`."""


class Members:
    """Those of some names that are members of a set, or of a sorted set, noted in `into`."""

    def __init__(
        self, key: str, names: Collection[str], into: set[str], *, is_sorted: bool = False
    ) -> None:
        self.key = key
        self._names = names
        self._into = into
        self._is_sorted = is_sorted

    @property
    def is_short(self) -> bool:
        """As `ViewerSet`."""
        return len(self._names) <= FEW

    @property
    def whole(self) -> Command:
        """As `ViewerSet`."""
        if self._is_sorted:
            return "ZRANGE", self.key, 0, FEW
        return "SRANDMEMBER", self.key, FEW + 1  # all of a set that has no more

    @property
    def of_each(self) -> list[Command]:
        """As `ViewerSet`."""
        return [("ZMSCORE" if self._is_sorted else "SMISMEMBER", self.key, *self._names)]

    def tells(self, members: Set[str]) -> bool:  # noqa: ARG002
        """As `ViewerSet`."""
        return True

    def note(self, members: Set[str]) -> None:
        """As `ViewerSet`."""
        if members:
            self._into.update(name for name in self._names if name in members)

    def note_each(self, answers: Iterator[Any]) -> None:
        """As `ViewerSet`."""
        self._into.update((scored if self._is_sorted else marked)(self._names, next(answers)))


class Reactions:
    """The kinds of the viewer's reactions to some posts, noted in `into`; who has reacted to none
    of them is known by the posts of all."""

    def __init__(self, key: str, kinds: str, posts: Collection[str], into: dict[str, str]) -> None:
        self.key = key
        self._kinds = kinds
        self._posts = posts
        self._into = into

    @property
    def is_short(self) -> bool:
        """As `ViewerSet`."""
        return True

    @property
    def whole(self) -> Command:
        """As `ViewerSet`."""
        return "ZRANGE", self.key, 0, FEW

    @property
    def of_each(self) -> list[Command]:
        """As `ViewerSet`."""
        return [("ZMSCORE", self.key, *self._posts), ("HMGET", self._kinds, *self._posts)]

    def tells(self, members: Set[str]) -> bool:
        """As `ViewerSet`."""
        return not members or members.isdisjoint(self._posts)

    def note(self, members: Set[str]) -> None:
        """As `ViewerSet`; there are none."""

    def note_each(self, answers: Iterator[Any]) -> None:
        """As `ViewerSet`."""
        self._into.update(reactions(self._posts, next(answers), next(answers)))


def sets_of_viewer(keys: Keys, wanted: Wanted, found: Found) -> list[ViewerSet]:
    """The viewer's sets that tell what is wanted; they note it in `found`."""
    viewer = wanted.viewer
    if not viewer:
        return []
    sets: list[ViewerSet] = []
    hidden = keys.hidden(viewer)
    if mine := wanted.mine:
        sets += [
            Reactions(keys.reacted(viewer), keys.kinds(viewer), mine, found.reactions),
            Members(keys.shared(viewer), mine, found.shared, is_sorted=True),
            Members(hidden, mine, found.hidden, is_sorted=True),
        ]
    if wanted.hidden:
        sets.append(Members(hidden, wanted.hidden, found.hidden, is_sorted=True))
    if wanted.blocks:
        sets += [
            Members(keys.blocks(viewer), wanted.blocks, found.blocked),
            Members(keys.mutes(viewer), wanted.blocks, found.muted),
        ]
    if wanted.favourites:
        sets.append(Members(keys.favourites(viewer), wanted.favourites, found.favourites))
    return sets


def small(answer: Sequence[bytes]) -> Set[str] | None:
    """All members, by the answer to what asks for the whole; None of a large set."""
    return frozenset(raw.decode() for raw in answer) if len(answer) <= FEW else None
