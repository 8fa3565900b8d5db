"""The job as Headrace does it: a fold in the manner of the product's, without its other views."""

from __future__ import annotations

from connectors.records import Record
from schemas.codec import decode
from schemas.events import Engagement
from schemas.topics import Topic
from streams.engagers import NO_REACTION, Reaction
from streams.engine.outbox import Outbox
from streams.engine.replica import Fold
from streams.engine.state import State
from streams.post_rows import Counters, counters_view

LIKE = "like"


class LikeFold(Fold):
    """Folds engagements into a row per reaction and the absolute counts of each post."""

    def __init__(self, state: State, outbox: Outbox) -> None:
        self._reactions = state.group_table("react", Reaction)
        self._counters = state.table("counters", Counters)
        outbox.show_table(Topic.VIEW_COUNTERS, self._counters, counters_view)

    def apply(self, record: Record) -> None:
        """Fold one record: a like counts once per user, the newest by (at, event id) wins."""
        event = decode(record.value, Engagement)
        assert isinstance(event, Engagement)
        assert event.post_id is not None
        post_id = event.post_id
        before = self._reactions.get(post_id, event.user_id) or NO_REACTION
        kind = LIKE if event.action == "like" else None
        after = Reaction((event.at, event.event_id), kind)
        if after.stamp <= before.stamp:
            return
        self._reactions.put(post_id, event.user_id, after)
        if before.kind != after.kind:
            self._count(post_id, 1 if kind else -1)

    def _count(self, post_id: str, change: int) -> None:
        before = self._counters.get(post_id)
        likes = before.reactions[LIKE] if before is not None else 0
        self._counters.put(post_id, Counters({LIKE: likes + change}))
