"""Moderation: reports hide a post until a moderator clears it; a moderator may hide it, too."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from schemas.events import Engagement, Moderation
from schemas.topics import Topic
from schemas.views import HiddenBy, ModerationView
from streams.distinct import digest_of
from streams.engine.outbox import Outbox
from streams.engine.state import State
from streams.post_rows import PostRow
from streams.relations import NEVER, Stamp

REPORTS_TO_HIDE = 10


class Report(Struct, frozen=True, array_like=True, gc=False):
    """A user's newest report of a post; its key is a digest."""

    stamp: Stamp


class Judged(Struct, frozen=True, array_like=True, gc=False):
    """The newest verdict on a post, how many users have reported it since, and whether it was last
    shown as awaiting a verdict."""

    stamp: Stamp = NEVER
    is_hidden: bool = False
    reports: int = 0
    is_awaiting: bool = False


class HiddenPosts:
    """Decides which posts are hidden. A report costs O(1) rows, a verdict O(the post's reporters).

    Args:
        reports_to_hide: How many users must have reported a post since the newest verdict.
    """

    def __init__(self, state: State, outbox: Outbox, reports_to_hide: int) -> None:
        self._reports = state.group_table("report", Report)
        self._judged = state.table("judged", Judged)
        self._outbox = outbox
        self._reports_to_hide = reports_to_hide

    def report(self, post_id: str, event: Engagement) -> bool:
        """A user reports a post; whether for the first time."""
        digest = digest_of(post_id, event.user_id)
        before = self._reports.get(post_id, digest)
        after = Report((event.at, event.event_id))
        if before is not None and after.stamp <= before.stamp:
            return False
        self._reports.put(post_id, digest, after)
        judged = self._of(post_id)
        was_newer = before is not None and before.stamp > judged.stamp
        more = (after.stamp > judged.stamp) - was_newer
        if more:
            self._judged.put(post_id, replace(judged, reports=judged.reports + more))
        return before is None

    def judge(self, verdict: Moderation) -> None:
        """A moderator has judged a post."""
        judged, stamp = self._of(verdict.post_id), (verdict.at, verdict.event_id)
        if stamp > judged.stamp:
            since = sum(row.stamp > stamp for _, row in self._reports.scan(verdict.post_id))
            is_hidden = verdict.action == "hidden"
            after = Judged(stamp, is_hidden, since, judged.is_awaiting)
            self._judged.put(verdict.post_id, after)

    def hidden_by(self, post_id: str) -> HiddenBy | None:
        """Who hides a post, if anyone."""
        judged = self._of(post_id)
        if judged.is_hidden:
            return "moderator"
        return "reports" if judged.reports >= self._reports_to_hide else None

    def show(self, post_id: str, post: PostRow) -> None:
        """Show whether a post, of which it is known who made it, awaits a moderator."""
        judged = self._of(post_id)
        is_awaiting = not post.is_deleted and self.hidden_by(post_id) == "reports"
        if is_awaiting != judged.is_awaiting:
            self._judged.put(post_id, replace(judged, is_awaiting=is_awaiting))
        if is_awaiting or judged.is_awaiting:
            view = ModerationView(post_id, post.created[0], is_awaiting)
            self._outbox.show(Topic.VIEW_MODERATION, post_id, post_id, view)

    def _of(self, post_id: str) -> Judged:
        return self._judged.get(post_id) or Judged()
