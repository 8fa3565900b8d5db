"""Profiles and standings by a plain fold of the events (docs/rules.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.events import User
from tests.oracle.edits import NOTICES, newest
from tests.oracle.names import common

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
    edits: dict[str, User] = field(default_factory=dict)
    standing: User | None = None
    is_deleted: bool = False


def fold_users(
    events: Iterable[User],
    following: Mapping[str, Mapping[str, int]],
    holders: Mapping[str, str],
) -> dict[str, dict[str, object]]:
    """User id to what the view must show; `holders` has whose each name is."""
    states: dict[str, _State] = {}
    events = list(events)
    for event in events:
        state = states.setdefault(event.user_id, _State())
        if event.action == "deleted":
            state.is_deleted = True
        elif event.action in ("deactivated", "reactivated"):
            state.standing = _newer(state.standing, event)
    for (user_id, name), event in newest(events).items():
        states[user_id].edits[name] = event
    views = {}
    for user_id in states.keys() | following.keys():
        row = _view(states.get(user_id, _State()), len(following.get(user_id, ())))
        if holders.get(common(row["username"])) != user_id:  # type: ignore[arg-type]
            row["username"] = None
        if row != NOBODY:
            views[user_id] = row
    return views


def devices(events: Iterable[User]) -> dict[str, tuple[str, ...]]:
    """User to the devices that the newest event names which changes them, where it does."""
    return {
        user_id: tuple(event.device_tokens)
        for (user_id, name), event in newest(events).items()
        if name == "device_tokens" and event.device_tokens
    }


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
    for name, event in state.edits.items():
        if not name.startswith("preferences.") and name != "device_tokens":
            row["is_verified" if name == "verified" else name] = getattr(event, name)
    switches = {kind: state.edits.get(f"preferences.notify.{kind}") for kind in NOTICES}
    row["silenced"] = tuple(
        kind
        for kind, event in switches.items()
        if event is not None and event.preferences.get(f"notify.{kind}") == "off"
    )
    row["following"] = following
    if state.is_deleted:
        row["status"] = "deleted"
    elif state.standing is not None and state.standing.action == "deactivated":
        row["status"] = "deactivated"
    return row
