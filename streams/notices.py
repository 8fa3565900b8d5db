"""Notifications: who did something that concerns a user, in groups: "a and 3 others liked"."""

from __future__ import annotations

from heapq import nlargest
from itertools import islice

from msgspec import Struct

from schemas.topics import Topic
from schemas.views import NoticeKind, NotificationsSeen, NotificationView
from streams.engine.outbox import Outbox
from streams.engine.owners import UNIT
from streams.engine.rows import SEPARATOR
from streams.engine.state import State
from streams.facts import Notice, NoticesGone
from streams.relations import Stamp
from streams.subjects import USER

NAMED = 5
NAMED_POSTS = 20
"""How many acts are named: of those that are posts more, as who reads may not see each of them."""
OF_POSTS = ("reply", "favourite_post")
KEPT = 1_000
"""How many older acts are kept at least, to be named when newer ones are taken back."""

Actor = tuple[int, str, str]
"""Time (ms), user, and what there is of it: a comment or a post, or the name in a mention."""


class Group(Struct, frozen=True, array_like=True, gc=False):
    """How many acts in force make up a notification, the newest, newest first, and how many older
    ones are kept."""

    count: int = 0
    named: tuple[Actor, ...] = ()
    kept: int = 0


class OlderAct(Struct, frozen=True, array_like=True, gc=False):
    """An act of a group that is older than those it names; the id says which."""


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
    """The notifications of one partition of users.

    An act costs O(1) rows, two more where `KEPT` older ones are kept. Where one is taken back that
    its group names, the older ones that are kept are looked through, 2 * `KEPT` at most. So a
    group names its newest acts, in whatever order they come and go, unless `KEPT` newer ones are
    taken back.
    """

    def __init__(self, state: State, outbox: Outbox) -> None:
        self._groups = state.group_table("notice", Group)
        self._older = state.group_table("notice_older", OlderAct)
        self._seen = state.table("notices_seen", Seen)
        self._outbox = outbox

    def fold(self, fact: Notice | NoticesGone) -> None:
        """An act is in force now, or no longer; or none of a group is."""
        key = f"{fact.kind}{SEPARATOR}{fact.subject}"
        before = self._groups.get(fact.user_id, key) or Group()
        if isinstance(fact, NoticesGone):
            if before.count:
                self._drop(fact.user_id, key, before)
            return
        act = (fact.at, fact.actor_id, fact.item)
        change = self._add if fact.change > 0 else self._take_back
        after = change(_entity(fact.user_id, key), before, act, _room(fact.kind))
        if after.count:
            self._groups.put(fact.user_id, key, after)
        else:
            self._groups.delete(fact.user_id, key)
        self._show(fact.user_id, key, after)

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

    def erase(self, user_id: str, limit: int) -> int:
        """A user is being erased: take groups away, until it were `limit` rows; how many."""
        done = 0
        for key, group in list(islice(self._groups.scan(user_id), limit)):
            if done >= limit:
                break
            self._drop(user_id, key, group)
            done += 1 + group.kept
        return done

    def _add(self, entity: str, group: Group, act: Actor, room: int) -> Group:
        named = sorted({*group.named, act}, reverse=True)
        if len(named) <= room:
            return Group(group.count + 1, tuple(named), group.kept)
        self._older.put(entity, _sub(named.pop()), OlderAct())
        kept = group.kept + 1
        if kept > 2 * KEPT:
            kept = self._trim(entity)
        return Group(group.count + 1, tuple(named), kept)

    def _take_back(self, entity: str, group: Group, act: Actor, room: int) -> Group:
        named = tuple(each for each in group.named if each != act)
        kept = group.kept
        if len(named) == len(group.named):
            if kept and self._older.get(entity, _sub(act)) is not None:
                self._older.delete(entity, _sub(act))
                kept -= 1
        elif kept:
            newest = nlargest(room - len(named), (sub for sub, _ in self._older.scan(entity)))
            for sub in newest:
                self._older.delete(entity, sub)
            named += tuple(map(_act, newest))
            kept -= len(newest)
        return Group(group.count - 1, named, kept)

    def _trim(self, entity: str) -> int:
        """Forget all older acts but the newest `KEPT`; how many are left."""
        subs = sorted(sub for sub, _ in self._older.scan(entity))
        for sub in subs[:-KEPT]:
            self._older.delete(entity, sub)
        return min(len(subs), KEPT)

    def _drop(self, user_id: str, key: str, group: Group) -> None:
        if group.kept:
            entity = _entity(user_id, key)
            for sub in [sub for sub, _ in self._older.scan(entity)]:
                self._older.delete(entity, sub)
        self._groups.delete(user_id, key)
        self._show(user_id, key, Group())

    def _show(self, user_id: str, key: str, group: Group) -> None:
        kind, _, subject = key.partition(SEPARATOR)
        view = NotificationView(user_id, kind, subject, group.count, group.named)  # type: ignore[arg-type]
        owner_and_key = f"{user_id}{SEPARATOR}{key}"
        self._outbox.show(Topic.VIEW_NOTIFICATIONS, user_id, owner_and_key, view)


def _room(kind: NoticeKind) -> int:
    return NAMED_POSTS if kind in OF_POSTS else NAMED


def _entity(user_id: str, key: str) -> str:
    """A group, where its older acts are kept; ids have no control characters."""
    return f"{user_id}{UNIT}{key.replace(SEPARATOR, UNIT)}"


def _sub(act: Actor) -> str:
    """An act as an id; ids stand in the order of acts."""
    at, actor_id, item = act
    return f"{at:015}{SEPARATOR}{actor_id}{SEPARATOR}{item}"


def _act(sub: str) -> Actor:
    at, actor_id, item = sub.split(SEPARATOR)
    return int(at), actor_id, item
