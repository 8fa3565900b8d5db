"""Who follows, blocks and mutes whom: greatest stamps for each source and user (docs/rules.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from schemas.events import Follow
from tests.oracle.events import Stamp

KINDS = ("follow", "unfollow", "block", "unblock", "blocked", "unblocked")
FOLLOW, UNFOLLOW, BLOCK, UNBLOCK, BLOCKED, UNBLOCKED = range(6)
NEVER: Stamp = (-1, "")

Row = list[Stamp]


def empty_row() -> Row:
    """A relation of which nothing is known."""
    return [NEVER] * 6


def follows(row: Row) -> bool:
    """Whether the user follows the source."""
    return (
        row[FOLLOW] > max(row[UNFOLLOW:])
        and row[BLOCK] <= row[UNBLOCK]
        and row[BLOCKED] <= row[UNBLOCKED]
    )


def is_blocking(row: Row) -> bool:
    """Whether the user blocks the source."""
    return row[BLOCK] > row[UNBLOCK]


def is_blocked(row: Row) -> bool:
    """Whether the source blocks the user."""
    return row[BLOCKED] > row[UNBLOCKED]


def source_of(event: Follow) -> str:
    """The source that an event is about."""
    return event.target.casefold() if event.target.startswith("t:") else event.target


def facts_of(event: Follow) -> Iterator[tuple[str, str, int]]:
    """The (source, user, kind) whose stamp an event may raise."""
    if event.action not in KINDS:
        return
    kind = KINDS.index(event.action)
    yield source_of(event), event.user_id, kind
    if kind in (BLOCK, UNBLOCK) and event.target.startswith("u:"):
        yield f"u:{event.user_id}", event.target[2:], kind + 2


@dataclass
class Relations:
    """Every relation, and what the views show of them."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    following: dict[str, dict[str, int]] = field(default_factory=dict)
    """User to the sources followed, with the time of the follow."""
    followers: dict[str, int] = field(default_factory=dict)
    """Source to the number of its followers, where there is one."""
    blocks: dict[str, set[str]] = field(default_factory=dict)
    """User to the sources that the user blocks or is blocked by."""
    blocked: set[tuple[str, str]] = field(default_factory=set)
    """(user, source) where the user blocks the source."""
    mutes: dict[str, set[str]] = field(default_factory=dict)
    """User to the sources that the user mutes."""
    favourites: set[tuple[str, str]] = field(default_factory=set)
    """(source, user) where the user wants to be told of what the source posts."""


def fold_follows(events: Iterable[Follow]) -> Relations:
    """The relations that follow events come to, in whatever order they are."""
    found = Relations()
    mutes: dict[tuple[str, str], tuple[Stamp, bool]] = {}
    wanted: dict[tuple[str, str], bool] = {}
    for event in events:
        stamp = (event.at, event.event_id)
        if event.action in ("mute", "unmute"):
            pair = (event.user_id, source_of(event))
            mutes[pair] = max(mutes.get(pair, (NEVER, True)), (stamp, event.action == "unmute"))
        for source, user_id, kind in facts_of(event):
            row = found.rows.get((source, user_id))
            if row is None:
                row = found.rows[(source, user_id)] = empty_row()
            if stamp > row[kind]:
                row[kind] = stamp
                wanted |= {(source, user_id): event.is_favourite} if kind == FOLLOW else {}
    for (source, user_id), row in found.rows.items():
        if follows(row):
            found.following.setdefault(user_id, {})[source] = row[FOLLOW][0]
            found.followers[source] = found.followers.get(source, 0) + 1
        if is_blocking(row) or is_blocked(row):
            found.blocks.setdefault(user_id, set()).add(source)
        if is_blocking(row):
            found.blocked.add((user_id, source))
    for (user_id, source), (_, is_over) in mutes.items():
        if not is_over:
            found.mutes.setdefault(user_id, set()).add(source)
    found.favourites = {
        (source, user_id)
        for (source, user_id), is_wanted in wanted.items()
        if is_wanted and source.startswith("u:") and follows(found.rows[source, user_id])
    }
    return found
