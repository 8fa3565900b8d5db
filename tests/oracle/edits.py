"""What of a profile each event changes, and the newest event for each (docs/rules.md)."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.events import User

NOTICES = (
    *("follow", "like", "comment", "share", "reply", "mention", "favourite_post", "comment_reply"),
)
_SWITCHES = {f"preferences.notify.{kind}" for kind in NOTICES}
_FIELDS = {"username", "display_name", "bio", "avatar", "verified", "device_tokens"} | _SWITCHES


def fields_of(name: str) -> set[str]:
    """What a name in `changes` stands for; nothing for one that stands for nothing."""
    return _SWITCHES if name == "preferences" else {name} & _FIELDS


def newest(events: Iterable[User]) -> dict[tuple[str, str], User]:
    """User and field to the newest profile event that changes it."""
    found: dict[tuple[str, str], User] = {}
    for event in events:
        if event.action != "profile":
            continue
        names = _FIELDS if event.changes is None else set().union(*map(fields_of, event.changes))
        for name in names:
            before = found.get((event.user_id, name))
            if before is None or (event.at, event.event_id) > (before.at, before.event_id):
                found[event.user_id, name] = event
    return found
