"""Notifications: who did something that concerns a user, in groups: "a and 3 others liked"."""

from __future__ import annotations

from msgspec import Struct

from schemas.topics import Topic
from schemas.views import NotificationsSeen, NotificationView
from streams.engine.outbox import Outbox
from streams.engine.rows import SEPARATOR
from streams.engine.state import State
from streams.facts import Notice, NoticesGone
from streams.relations import Stamp
from streams.subjects import USER

NAMED = 5

Actor = tuple[int, str, str]
"""Time (ms), user, and what there is of it: a comment or a post."""


class Group(Struct, frozen=True, array_like=True, gc=False):
    """How many acts in force make up a notification, and the newest that are known, newest first.

    One that is taken back may leave fewer known than `NAMED`, though there are more.
    """

    count: int = 0
    named: tuple[Actor, ...] = ()


class Seen(Struct, frozen=True, array_like=True, gc=False):
    """Up to which time (ms) a user has seen the notifications."""

    at: int = 0


def tell_of_follow(
    outbox: Outbox, source: str, user_id: str, before: Stamp | None, after: Stamp | None
) -> None:
    """A user follows a source since `after`, and did since `before`; None for not at all."""
    if before == after or not source.startswith(USER):
        return
    target_id = source.removeprefix(USER)
    for stamp, change in ((before, -1), (after, 1)):
        if stamp is not None:
            notice = Notice(target_id, "follow", "", user_id, stamp[0], "", change)
            outbox.tell(Topic.BY_USER, target_id, notice)


class Notices:
    """The notifications of one partition of users. An act costs O(1) rows."""

    def __init__(self, state: State, outbox: Outbox) -> None:
        self.groups = state.group_table("notice", Group)
        self._seen = state.table("notices_seen", Seen)
        self._outbox = outbox

    def fold(self, fact: Notice | NoticesGone) -> None:
        """An act is in force now, or no longer; or none of a group is."""
        key = f"{fact.kind}{SEPARATOR}{fact.subject}"
        before = self.groups.get(fact.user_id, key) or Group()
        after = _after(before, fact) if isinstance(fact, Notice) else Group()
        if after.count:
            self.groups.put(fact.user_id, key, after)
        else:
            self.groups.delete(fact.user_id, key)
        if after != before:
            self.show(fact.user_id, key, after)

    def see(self, user_id: str, at: int) -> None:
        """A user has seen all up to a time (ms); the greatest counts."""
        before = self._seen.get(user_id) or Seen()
        if at > before.at:
            self._seen.put(user_id, Seen(at))
            seen = NotificationsSeen(user_id, at)
            self._outbox.show(Topic.VIEW_NOTIFICATIONS, user_id, user_id, seen)

    def forget(self, user_id: str) -> None:
        """A user is erased: it is not known any more what was seen."""
        if self._seen.get(user_id) is not None:
            self._seen.delete(user_id)
            seen = NotificationsSeen(user_id, 0)
            self._outbox.show(Topic.VIEW_NOTIFICATIONS, user_id, user_id, seen)

    def show(self, user_id: str, key: str, group: Group) -> None:
        """Show a group, whether it is kept or not; one of none is to go."""
        kind, _, subject = key.partition(SEPARATOR)
        view = NotificationView(user_id, kind, subject, group.count, group.named)  # type: ignore[arg-type]
        owner_and_key = f"{user_id}{SEPARATOR}{key}"
        self._outbox.show(Topic.VIEW_NOTIFICATIONS, user_id, owner_and_key, view)


def _after(group: Group, fact: Notice) -> Group:
    actor = (fact.at, fact.actor_id, fact.item)
    if fact.change > 0:
        named = tuple(sorted({*group.named, actor}, reverse=True)[:NAMED])
    else:
        named = tuple(each for each in group.named if each != actor)
    return Group(group.count + fact.change, named)
