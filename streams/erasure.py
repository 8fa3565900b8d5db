"""The erasure of a user: all that is theirs, and what others have about them, is taken away.

Whoever keeps something that is a user's tells the user's own log of it. So that log knows where to
go when the user is erased; what comes later is answered in the same way, for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from msgspec import Struct

from schemas.topics import Topic
from schemas.views import RelationView
from streams.affinity import ERASED, Affinities
from streams.engine.outbox import Outbox
from streams.engine.owners import of_sub
from streams.engine.rows import SEPARATOR
from streams.engine.state import GroupTable, State
from streams.facts import (
    Erased,
    FollowerErased,
    Met,
    RelationFact,
    SourceErased,
    TargetErased,
    Touched,
)
from streams.interests import NO_INTEREST, Interests
from streams.notices import Notices, tell_of_follow
from streams.relations import UserRelation

_ALL = ""


class Trace(Struct, frozen=True, array_like=True, gc=False):
    """A user has left something at a post, or a comment there."""


class Acquaintance(Struct, frozen=True, array_like=True, gc=False):
    """Another wrote to a user, or viewed the profile."""


class Erasing(Struct, frozen=True, array_like=True, gc=False):
    """A user is being erased."""


class Erasure:
    """What a user's log knows of where the user's data is, and takes it away from there.

    A trace costs one row. Erasing costs O(rows about the user), some at each checkpoint.
    """

    def __init__(
        self,
        state: State,
        outbox: Outbox,
        relations: GroupTable[UserRelation],
        affinities: Affinities,
        interests: Interests,
        notices: Notices,
        seen: GroupTable[Any],
    ) -> None:
        self._traces = state.group_table("touched", Trace)
        self._acquaintances = state.group_table("met", Acquaintance)
        self._erasing = state.group_table("erasing", Erasing, of_sub)
        self._outbox = outbox
        self._relations = relations
        self._notices = notices
        self._steps: list[tuple[GroupTable[Any], Callable[[str, str], None]]] = [
            (self._traces, self._erase_trace),
            (relations, self._erase_relation),
            (affinities.rows, lambda user, sub: affinities.show(user, sub, ERASED)),
            (interests.rows, lambda user, sub: interests.show(user, sub, NO_INTEREST)),
            (interests.said, lambda *_: None),
            (self._acquaintances, self._erase_acquaintance),
            (seen, lambda *_: None),
        ]

    @property
    def backlog(self) -> int:
        """The users that were being erased at the last checkpoint."""
        return self._erasing.count()

    def note(self, fact: Touched | Met) -> None:
        """Keep where something of a user is."""
        match fact:
            case Touched(user_id, post_id, comment_id):
                sub = f"{post_id}{SEPARATOR}{comment_id}"
                self._traces.put(user_id, sub, Trace())
            case Met(user_id, by):
                self._acquaintances.put(user_id, by, Acquaintance())

    def begin(self, user_id: str) -> None:
        """A user is to be erased."""
        self._erasing.put(_ALL, user_id, Erasing())
        source = f"u:{user_id}"
        self._outbox.tell(Topic.BY_SOURCE, source, SourceErased(source))

    def answer(self, event: object) -> None:
        """Something comes to the log of a user who is erased: where it is kept, it is to go."""
        match event:
            case Touched(user_id, post_id, comment_id):
                self._outbox.tell(Topic.BY_POST, post_id, Erased(post_id, user_id, comment_id))
            case Met(user_id, by):
                self._erase_acquaintance(user_id, by)
            case RelationFact(source, user_id):
                self._outbox.tell(Topic.BY_SOURCE, source, FollowerErased(source, user_id))

    def work(self, limit: int) -> int:
        """Take away some `limit` rows of who is being erased; how many it were."""
        done = 0
        for user_id, _ in list(islice(self._erasing.scan(_ALL), limit)):
            done += self._erase(user_id, limit - done)
            if done >= limit:
                break
        return done

    def _erase(self, user_id: str, limit: int) -> int:
        done = self._notices.erase(user_id, limit)
        for table, erase in self._steps:
            for sub, _ in list(islice(table.scan(user_id), max(0, limit - done))):
                erase(user_id, sub)
                table.delete(user_id, sub)
                done += 1
        if done < limit:
            self._erasing.delete(_ALL, user_id)
        return done

    def _erase_trace(self, user_id: str, sub: str) -> None:
        post_id, _, comment_id = sub.partition(SEPARATOR)
        self.answer(Touched(user_id, post_id, comment_id))

    def _erase_relation(self, user_id: str, source: str) -> None:
        self._outbox.tell(Topic.BY_SOURCE, source, FollowerErased(source, user_id))
        relation = self._relations.get(user_id, source)
        if relation is not None:
            tell_of_follow(self._outbox, source, user_id, relation.followed, None)
        view = RelationView(user_id, source, is_following=False, is_muting=False)
        self._outbox.show(Topic.VIEW_RELATIONS, user_id, f"{user_id}{SEPARATOR}{source}", view)

    def _erase_acquaintance(self, user_id: str, by: str) -> None:
        self._outbox.tell(Topic.BY_USER, by, TargetErased(by, user_id))
