"""Affinity: how close a user is to others, and of whom the user wants to see less."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from schemas.topics import Topic
from schemas.views import AVERSION_PER_DAY, CLOSENESS_PER_DAY, AffinityView
from streams.decay import NOTHING, Faded, add
from streams.engine.outbox import Outbox
from streams.engine.rows import SEPARATOR
from streams.engine.state import State


class Affinity(Struct, frozen=True, array_like=True, gc=False):
    """How close a user is to another, and how averse; None when never. Nothing counts toward who is
    erased."""

    closeness: Faded = NOTHING
    aversion: Faded | None = None
    is_erased: bool = False


ERASED = Affinity(aversion=NOTHING, is_erased=True)


class Affinities:
    """The affinities of one partition of users. A fact costs O(1) rows."""

    def __init__(self, state: State, outbox: Outbox) -> None:
        self.rows = state.group_table("affinity", Affinity)
        self._outbox = outbox

    def come_closer(self, user_id: str, target_id: str, weight: float, at: int) -> None:
        """The user came closer to another, or is no longer (`weight` < 0)."""
        row = self.rows.get(user_id, target_id) or Affinity()
        closeness = add(row.closeness, weight, at, CLOSENESS_PER_DAY)
        self._change(user_id, target_id, row, replace(row, closeness=closeness))

    def avert(self, user_id: str, target_id: str, weight: float, at: int) -> None:
        """The user wants to see less of another, or no longer so (`weight` < 0)."""
        row = self.rows.get(user_id, target_id) or Affinity()
        aversion = add(row.aversion or NOTHING, weight, at, AVERSION_PER_DAY)
        self._change(user_id, target_id, row, replace(row, aversion=aversion))

    def forget(self, user_id: str, target_id: str) -> None:
        """The other is erased."""
        if self.rows.get(user_id, target_id) is not None:
            self.rows.put(user_id, target_id, ERASED)
            self.show(user_id, target_id, ERASED)

    def show(self, user_id: str, target_id: str, row: Affinity) -> None:
        """Show a row, whether it is kept or not."""
        near, far = row.closeness, row.aversion
        averse = (0.0, None) if far is None else (far.score, far.at)
        view = AffinityView(user_id, target_id, near.score, near.at, *averse)
        self._outbox.show(Topic.VIEW_AFFINITY, user_id, f"{user_id}{SEPARATOR}{target_id}", view)

    def _change(self, user_id: str, target_id: str, before: Affinity, after: Affinity) -> None:
        if not before.is_erased:
            self.rows.put(user_id, target_id, after)
            self.show(user_id, target_id, after)
