"""User names: each is one user's at most, the first in its log who wants it.

A name is an entity of the by-user log: users claim names there, and are told of those that are
theirs. Names are compared without regard to case.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from schemas.topics import Topic
from schemas.views import NameView
from streams.engine.outbox import Outbox
from streams.engine.state import State
from streams.facts import Claim, Mentioned, Named, Notice, Release

_NAME = "@"


def entity_of(key: str) -> str:
    """The entity that a name is in the by-user log."""
    return f"{_NAME}{key}"


def _of_name(key: str, _sub: str) -> str:
    """The name's."""
    return entity_of(key)


class Name(Struct, frozen=True, array_like=True, gc=False):
    """Whose a name is, and how many claims it has seen."""

    holder: str = ""
    seen: int = 0


class Claimed(Struct, frozen=True, array_like=True, gc=False):
    """A user's claim: its number in the name's log, and the event that made it."""

    number: int
    claim_id: str


class Mention(Struct, frozen=True, array_like=True, gc=False):
    """A post that names a name, and who had the name then; empty for nobody."""

    user_id: str


class Names:
    """The names of one partition. A claim costs O(1) rows, the release of a name by whose it is
    O(its other claims)."""

    def __init__(self, state: State, outbox: Outbox) -> None:
        self._names = state.table("name", Name, _of_name)
        self._claims = state.group_table("claim", Claimed, _of_name)
        self._mentions = state.group_table("mention", Mention, _of_name)
        self._outbox = outbox

    def fold(self, fact: Claim | Release | Mentioned) -> None:
        """Fold one fact about a name."""
        match fact:
            case Claim():
                self._claim(fact)
            case Release():
                self._release(fact)
            case Mentioned():
                self._mention(fact)

    def _claim(self, fact: Claim) -> None:
        """A user wants a name, and has it once all who came before have let go of it."""
        name = self._names.get(fact.name) or Name()
        claimed = Claimed(name.seen, fact.claim_id)
        self._claims.put(fact.name, fact.user_id, claimed)
        name = replace(name, seen=name.seen + 1)
        self._names.put(fact.name, name)
        if not name.holder:
            self._grant(fact.name, name, fact.user_id, claimed)

    def _release(self, fact: Release) -> None:
        """A user wants a name no more."""
        self._claims.delete(fact.name, fact.user_id)
        name = self._names.get(fact.name) or Name()
        if name.holder != fact.user_id:
            return
        waiting = list(self._claims.scan(fact.name))
        if waiting:
            user_id, claim = min(waiting, key=lambda row: row[1].number)
            self._grant(fact.name, name, user_id, claim)
        else:
            self._names.delete(fact.name)
            self._show(fact.name, "")

    def _mention(self, fact: Mentioned) -> None:
        """A post names whose the name is, or no longer: who has it now is told, or was told."""
        if fact.change > 0:
            user_id = (self._names.get(fact.name) or Name()).holder
            self._mentions.put(fact.name, fact.post_id, Mention(user_id))
        else:
            row = self._mentions.get(fact.name, fact.post_id)
            user_id = row.user_id if row is not None else ""
            self._mentions.delete(fact.name, fact.post_id)
        if user_id and user_id != fact.author_id:
            post_id, author_id = fact.post_id, fact.author_id
            change = fact.change
            notice = Notice(user_id, "mention", post_id, author_id, fact.at, fact.name, change)
            self._outbox.tell(Topic.BY_USER, user_id, notice)

    def _grant(self, key: str, name: Name, user_id: str, claim: Claimed) -> None:
        self._names.put(key, replace(name, holder=user_id))
        self._show(key, user_id)
        self._outbox.tell(Topic.BY_USER, user_id, Named(user_id, key, claim.claim_id))

    def _show(self, key: str, user_id: str) -> None:
        self._outbox.show(Topic.VIEW_NAMES, entity_of(key), key, NameView(key, user_id))
