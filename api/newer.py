"""What of a timeline stands above a place, oldest first: for who has read down from there."""

from __future__ import annotations

from api.errors import ProblemError
from api.held import Candidate, Position
from api.timeline import Timeline

MAX_NEWER = 5_000
"""More newer posts than that are not read upwards."""

AT_ONCE = 20


async def newer_than(timeline: Timeline, since: Position) -> list[Candidate]:
    """The candidates of a timeline, read from its top, that stand above a place, oldest first; none
    if the place cannot be reached now, since there would be a gap. O(those candidates).

    Raises:
        ProblemError: 400, when there are more than 5,000.
    """
    found: list[Candidate] = []
    while len(found) <= MAX_NEWER:
        batch = await timeline.take(AT_ONCE)
        above = [candidate for candidate in batch if candidate.position > since]
        found += above
        if len(above) < AT_ONCE:
            is_reached = len(above) < len(batch) or not timeline.is_cut
            return found[::-1] if is_reached else []
    detail = f"More than {MAX_NEWER} posts are newer: read the feed from its top."
    raise ProblemError(400, "too-far-back", detail)
