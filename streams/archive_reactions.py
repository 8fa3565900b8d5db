"""What a user reacted to, newest first, in Cassandra: a reaction has one place in that order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cassandra.cluster import Session
from cassandra.query import PreparedStatement

from connectors.cassandra_rows import read_rows
from schemas.views import MineView
from streams.archive_rows import Drop, Row, Upsert
from streams.engine.sink import Write

SELECT_REACTION = "SELECT reaction, reacted_at FROM mine WHERE user_id = ? AND post_id = ?"
TABLE = "reactions_by_time"


class Reactions:
    """The places of the newest of some writes. Which one there was before is read from `mine`, but
    for first reactions, which have none."""

    def __init__(
        self,
        session: Session,
        select: PreparedStatement,
        newest: Mapping[Any, Write],
        writes: Sequence[Write],
    ) -> None:
        self._session = session
        self._select = select
        self._newest = newest
        self._changed = {each.key for each in writes if _may_stand_elsewhere(each.view)}

    def former(self) -> Iterator[tuple[Write, Row]]:
        """The places that no longer hold, each with the write that ends it."""
        changed = {
            (write.view.user_id, write.view.post_id): write
            for key, write in self._newest.items()
            if key in self._changed
        }
        for key, rows in read_rows(self._session, self._select, changed):
            view: MineView = changed[key].view
            for reaction, at in rows:
                is_kept = view.reaction is not None and at == view.reacted_at
                if reaction is not None and not is_kept:
                    yield changed[key], Drop(TABLE, _place(view, at))

    def places(self) -> Iterator[tuple[Write, Row]]:
        """The places that hold, each with its write."""
        for write in self._newest.values():
            view: MineView = write.view
            if view.reaction is not None:
                values = _place(view, view.reacted_at) | {"reaction": view.reaction}
                yield write, Upsert(TABLE, values)


def _may_stand_elsewhere(view: MineView | None) -> bool:
    return view is None or view.reaction is None or view.is_again


def _place(view: MineView, at: int) -> dict[str, Any]:
    return {"user_id": view.user_id, "at": at, "post_id": view.post_id}
