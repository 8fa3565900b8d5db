"""Profiles and standings by a plain fold of the events (docs/rules.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.events import User
from tests.oracle.names import common

NOTICES = (
    *("follow", "like", "comment", "share", "reply", "mention", "favourite_post", "comment_reply"),
)

NOBODY: dict[str, object] = {
    "username": None,
    "display_name": None,
    "bio": None,
    "avatar": None,
    "is_verified": False,
    "following": 0,
    "status": "active",
    "is_dormant": False,
    "silenced": (),
}
"""The view of a user of whom nothing is known, which equals no view."""


@dataclass(slots=True)
class _State:
    profile: User | None = None
    standing: User | None = None
    is_deleted: bool = False


def fold_users(
    events: Iterable[User],
    following: Mapping[str, Mapping[str, int]],
    holders: Mapping[str, str],
) -> dict[str, dict[str, object]]:
    """User id to what the view must show; `holders` has whose each name is."""
    states: dict[str, _State] = {}
    for event in events:
        state = states.setdefault(event.user_id, _State())
        if event.action == "deleted":
            state.is_deleted = True
        elif event.action == "profile":
            state.profile = _newer(state.profile, event)
        elif event.action in ("deactivated", "reactivated"):
            state.standing = _newer(state.standing, event)
    views = {}
    for user_id in states.keys() | following.keys():
        row = _view(states.get(user_id, _State()), len(following.get(user_id, ())))
        if holders.get(common(row["username"])) != user_id:  # type: ignore[arg-type]
            row["username"] = None
        if row != NOBODY:
            views[user_id] = row
    return views


def devices(events: Iterable[User]) -> dict[str, tuple[str, ...]]:
    """User to the devices that the newest profile names, where it does."""
    newest: dict[str, User] = {}
    for event in events:
        if event.action == "profile":
            newest[event.user_id] = _newer(newest.get(event.user_id), event)
    return {user_id: tuple(e.device_tokens) for user_id, e in newest.items() if e.device_tokens}


def seen_to(events: Iterable[User]) -> dict[str, int]:
    """User to the time up to which the notifications have been seen: that of the event at most."""
    found: dict[str, int] = {}
    for event in events:
        if event.action == "active" and event.seen_to is not None and event.seen_to > 0:
            seen = min(event.seen_to, event.at)
            found[event.user_id] = max(seen, found.get(event.user_id, 0))
    return found


def _newer(before: User | None, event: User) -> User:
    if before is None or (event.at, event.event_id) > (before.at, before.event_id):
        return event
    return before


def _view(state: _State, following: int) -> dict[str, object]:
    row = dict(NOBODY)
    profile = state.profile
    if profile is not None:
        row["username"] = profile.username
        row["display_name"] = profile.display_name
        row["bio"] = profile.bio
        row["avatar"] = profile.avatar
        row["is_verified"] = profile.verified
        off = (k for k in NOTICES if profile.preferences.get(f"notify.{k}") == "off")
        row["silenced"] = tuple(off)
    row["following"] = following
    if state.is_deleted:
        row["status"] = "deleted"
    elif state.standing is not None and state.standing.action == "deactivated":
        row["status"] = "deactivated"
    return row
