"""What holds between a user and a source: six stamps, each the greatest seen."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from streams.facts import RelationFact

Stamp = tuple[int, str]
"""(at in ms, event id): which of two facts is newer; ties go by the event id."""

NEVER: Stamp = (0, "")


class Relation(Struct, frozen=True, array_like=True, gc=False):
    """The relation of a user to a source; each stamp is the greatest seen of its kind.

    `block` and `unblock` are by the user, `blocked` and `unblocked` by the source. `is_favourite`
    is what the greatest follow says.
    """

    follow: Stamp = NEVER
    unfollow: Stamp = NEVER
    block: Stamp = NEVER
    unblock: Stamp = NEVER
    blocked: Stamp = NEVER
    unblocked: Stamp = NEVER
    is_following: bool = False
    is_favourite: bool = False

    @property
    def favours(self) -> bool:
        """Whether the follow in force says that the source is a favourite."""
        return self.is_following and self.is_favourite

    @property
    def followed(self) -> Stamp | None:
        """The stamp of the follow in force."""
        return self.follow if self.is_following else None

    @property
    def is_blocking(self) -> bool:
        """Whether the user's block of the source is in force."""
        return self.block > self.unblock

    @property
    def is_blocked(self) -> bool:
        """Whether the source's block of the user is in force."""
        return self.blocked > self.unblocked


class UserRelation(Relation, frozen=True, array_like=True, gc=False):
    """A relation as its user has it: who is muted is nobody else's business. Of one whose source
    is erased only that is left."""

    mute: Stamp = NEVER
    unmute: Stamp = NEVER
    is_erased: bool = False

    @property
    def is_muting(self) -> bool | None:
        """Whether the user's mute of the source is in force; None when there never was one."""
        return None if self.mute == self.unmute == NEVER else self.mute > self.unmute

    @property
    def has_blocked(self) -> bool:
        """Whether the user may ever have blocked the source; of one that is erased that is lost."""
        return self.is_erased or self.block != NEVER


AnyRelation = TypeVar("AnyRelation", bound=Relation)


def advance(relation: AnyRelation, fact: RelationFact) -> AnyRelation | None:
    """The relation with a newer stamp of one kind, or None when the fact's is not newer."""
    stamp = (fact.at, fact.event_id)
    if stamp <= getattr(relation, fact.kind):
        return None
    changed = replace(relation, **{fact.kind: stamp})
    if fact.kind == "follow":
        changed = replace(changed, is_favourite=fact.is_favourite)
    return replace(changed, is_following=_follows(changed))


def _follows(relation: Relation) -> bool:
    """The follow is later than the other five, and no block is later than its unblock."""
    others = max(
        relation.unfollow, relation.block, relation.unblock, relation.blocked, relation.unblocked
    )
    return relation.follow > others and not relation.is_blocking and not relation.is_blocked
