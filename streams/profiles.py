"""Profiles: what a user says of themselves, whether they are there, and their name."""

from __future__ import annotations

from typing import Any, get_args

from msgspec import Struct
from msgspec.structs import replace

from schemas.changes import FIELDS, PREFERENCE, PREFERENCES
from schemas.events import User
from schemas.names import name_key
from schemas.topics import Topic
from schemas.views import DELETED, DevicesView, NoticeKind, UserView
from streams.engine.outbox import Outbox
from streams.engine.state import State
from streams.facts import Claim, Named, Release
from streams.names import entity_of
from streams.relations import NEVER, Stamp


class UserRow(Struct, frozen=True, array_like=True, gc=False):
    """A user: the newest profile, the newest standing, how many sources are followed, whether they
    push to the user, by which event the user name was claimed, and whether it is the user's.

    `stamps` are of what has changed by itself after the newest whole profile, by the names of
    `schemas.changes`; of a preference, also after the newest of all preferences.
    """

    profile_stamp: Stamp = NEVER
    username: str | None = None
    display_name: str | None = None
    bio: str | None = None
    avatar: str | None = None
    is_verified: bool = False
    preferences: dict[str, str] = {}
    device_tokens: tuple[str, ...] = ()
    standing_stamp: Stamp = NEVER
    is_deactivated: bool = False
    is_deleted: bool = False
    following: int = 0
    is_dormant: bool = False
    claim_id: str = ""
    is_named: bool = False
    stamps: dict[str, Stamp] = {}

    @property
    def status(self) -> str:
        if self.is_deleted:
            return DELETED
        return "deactivated" if self.is_deactivated else "active"

    @property
    def silenced(self) -> tuple[str, ...]:
        """The kinds of notifications that the preferences turn off: `notify.<kind>` is `off`."""
        kinds = get_args(NoticeKind)
        return tuple(kind for kind in kinds if self.preferences.get(f"notify.{kind}") == "off")

    @property
    def name_key(self) -> str:
        """The name that is wanted, in its common form; empty for none."""
        return name_key(self.username) if self.username else ""


class Profiles:
    """The users of one partition. An event costs O(1) rows."""

    def __init__(self, state: State, outbox: Outbox) -> None:
        self._users = state.table("user", UserRow)
        self._outbox = outbox

    def of(self, user_id: str) -> UserRow:
        """A user's row."""
        return self._users.get(user_id) or UserRow()

    def fold(self, event: User) -> UserRow:
        """Fold a user event; the user's row after it."""
        before = self.of(event.user_id)
        after = self._claim(before, _after(before, event), event)
        if after != before:
            self._put(event.user_id, after)
        if after.device_tokens != before.device_tokens:
            devices = DevicesView(event.user_id, after.device_tokens)
            self._outbox.show(Topic.VIEW_DEVICES, event.user_id, event.user_id, devices)
        return after

    def name(self, fact: Named) -> None:
        """The name is the user's, unless the user has let go of it meanwhile."""
        row = self.of(fact.user_id)
        if fact.claim_id == row.claim_id and fact.name == row.name_key:
            self._put(fact.user_id, replace(row, is_named=True))

    def count_following(self, user_id: str, change: int) -> None:
        """A user follows so many sources more."""
        if change:
            row = self.of(user_id)
            self._put(user_id, replace(row, following=row.following + change))

    def note_sleep(self, user_id: str, is_dormant: bool) -> None:
        """Whether the sources that a user follows push to the user."""
        row = self.of(user_id)
        if row.is_dormant != is_dormant:
            self._put(user_id, replace(row, is_dormant=is_dormant))

    def _claim(self, before: UserRow, after: UserRow, event: User) -> UserRow:
        """Claim the name of a new profile and let go of the former one, if they differ."""
        was, now = before.name_key, after.name_key
        if was == now:
            return after
        if was:
            self._outbox.tell(Topic.BY_USER, entity_of(was), Release(was, event.user_id))
        if not now:
            return replace(after, claim_id="", is_named=False)
        claim = Claim(now, event.user_id, event.event_id)
        self._outbox.tell(Topic.BY_USER, entity_of(now), claim)
        return replace(after, claim_id=event.event_id, is_named=False)

    def _put(self, user_id: str, row: UserRow) -> None:
        self._users.put(user_id, row)
        view = UserView(
            user_id,
            row.username if row.is_named else None,
            row.display_name,
            row.bio,
            row.avatar,
            row.is_verified,
            row.following,
            row.status,
            row.is_dormant,
            row.silenced,
        )
        self._outbox.show(Topic.VIEW_USERS, user_id, user_id, view)


def _after(row: UserRow, event: User) -> UserRow:
    """The row after a user event, but for the name."""
    match event.action:
        case "deleted":
            return UserRow(is_deleted=True)
        case "active":
            return row
        case "profile":
            return _edited(row, event)
        case "deactivated" | "reactivated":
            stamp = (event.at, event.event_id)
            if stamp <= row.standing_stamp:
                return row
            return replace(row, standing_stamp=stamp, is_deactivated=event.action == "deactivated")


def _edited(row: UserRow, event: User) -> UserRow:
    """The row after a profile event: each field is as the newest event says which changes it."""
    stamp = (event.at, event.event_id)
    if stamp <= row.profile_stamp:
        return row
    stamps = dict(row.stamps)
    preferences = row.preferences
    edited: dict[str, Any] = {}
    for name in FIELDS if event.changes is None else event.changes:
        if stamp <= stamps.get(name, NEVER):
            continue
        if name == PREFERENCES:
            preferences = _with_newer(event.preferences, preferences, stamps, stamp)
        elif name.startswith(PREFERENCE):
            if stamp <= stamps.get(PREFERENCES, NEVER):
                continue
            preferences = _with(preferences, name.removeprefix(PREFERENCE), event.preferences)
        else:
            edited["is_verified" if name == "verified" else name] = getattr(event, name)
        stamps[name] = stamp
    if event.changes is None:
        edited["profile_stamp"] = stamp
        stamps = {name: newer for name, newer in stamps.items() if newer > stamp}
    return replace(row, preferences=preferences, stamps=stamps, **edited)


def _with_newer(
    new: dict[str, str], before: dict[str, str], stamps: dict[str, Stamp], stamp: Stamp
) -> dict[str, str]:
    """New preferences, but for those that have changed by themselves since; the stamps of the
    others are dropped."""
    for name in [name for name in stamps if name.startswith(PREFERENCE)]:
        if stamps[name] > stamp:
            new = _with(new, name.removeprefix(PREFERENCE), before)
        else:
            del stamps[name]
    return new


def _with(preferences: dict[str, str], name: str, others: dict[str, str]) -> dict[str, str]:
    """Preferences where one is as it is in others, which may be absent there."""
    left = {key: value for key, value in preferences.items() if key != name}
    return left | {name: others[name]} if name in others else left
