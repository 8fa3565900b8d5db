"""Which posts are hidden, by a plain fold of reports and verdicts (docs/rules.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from schemas.events import Engagement, Moderation
from tests.oracle.events import Stamp
from tests.oracle.posts import stamp

REPORTS_TO_HIDE = 10


def hidden_posts(
    engagements: Iterable[Engagement],
    verdicts: Iterable[Moderation],
    reports_to_hide: int = REPORTS_TO_HIDE,
) -> dict[str, str]:
    """Post id to what hides it: the newest verdict, or reports by so many users after it."""
    newest: dict[str, Moderation] = {}
    for verdict in verdicts:
        before = newest.get(verdict.post_id)
        if before is None or (verdict.at, verdict.event_id) > (before.at, before.event_id):
            newest[verdict.post_id] = verdict
    reported: dict[tuple[str, str], Stamp] = {}
    for event in engagements:
        if event.action == "report":
            pair = (event.post_id or "", event.user_id)
            reported[pair] = max(reported.get(pair, (0, "")), stamp(event))
    reports: Counter[str] = Counter()
    for (post_id, _), at in reported.items():
        judged = newest.get(post_id)
        reports[post_id] += judged is None or at > (judged.at, judged.event_id)
    hidden = {post_id: "reports" for post_id, count in reports.items() if count >= reports_to_hide}
    return hidden | {post_id: "moderator" for post_id, v in newest.items() if v.action == "hidden"}
