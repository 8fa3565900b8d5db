"""Whose a row is: the entity in whose partition it stands, by the ids in the row's key.

A fold finds its rows by any ids; but when partitions are added, each row goes where its fold will
look for it (`headrace/migrate`). So each table says whose its rows are.
"""

from __future__ import annotations

from collections.abc import Callable

from streams.engine.rows import SEPARATOR

UNIT = "\x1f"
"""Joins ids that are one entity id together; ids have no control characters."""

Owner = Callable[[str, str], str | None]
"""Given a row's entity id and sub id (empty if it has none): whose it is; None for a row that is
of the whole partition."""


def of_entity(entity: str, _sub: str) -> str:
    """The entity's, or that of the first of the ids that it is made of."""
    return entity.partition(UNIT)[0]


def of_sub(_entity: str, sub: str) -> str:
    """That of the first id in the sub id: of what waits in a queue, whose name is the entity."""
    return sub.partition(SEPARATOR)[0]


def of_partition(_entity: str, _sub: str) -> None:
    """The partition's, as a clock is: each that it is split into has the same."""
