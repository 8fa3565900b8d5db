"""Whose each user name is: the first in the by-user log who wants it (docs/rules.md)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from schemas.events import User
from streams.facts import Claim, Mentioned, Release
from tests.oracle.edits import newest

OfName = Claim | Release | Mentioned


def common(username: str | None) -> str:
    """A name without regard to case and to how its characters are written."""
    folded = unicodedata.normalize("NFKC", username or "").casefold()
    return unicodedata.normalize("NFKC", folded)


def wanted(profiles: Iterable[User]) -> dict[str, str]:
    """User to the name that the newest event asks for which changes it, where it does."""
    return {
        user_id: wish
        for (user_id, name), event in newest(profiles).items()
        if name == "username" and (wish := common(event.username))
    }


def queues(log: Iterable[OfName]) -> dict[str, list[str]]:
    """Name to who wants it, in the order in which they came."""
    found: dict[str, list[str]] = {}
    for fact in log:
        if isinstance(fact, Mentioned):
            continue
        queue = found.setdefault(fact.name, [])
        if fact.user_id in queue:
            queue.remove(fact.user_id)
        if isinstance(fact, Claim):
            queue.append(fact.user_id)
    return {name: queue for name, queue in found.items() if queue}


def claims(queued: dict[str, list[str]]) -> dict[str, str]:
    """User to the name that stands claimed in the log; names joined by a space if several."""
    found: dict[str, str] = {}
    for name, queue in sorted(queued.items()):
        for user_id in queue:
            found[user_id] = f"{found[user_id]} {name}" if user_id in found else name
    return found


def holders(queued: dict[str, list[str]]) -> dict[str, str]:
    """Name to whose it is."""
    return {name: queue[0] for name, queue in queued.items()}
