"""GET /api/v1/feed/why-not: which step keeps a post from the caller's ranked feed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import Reading
from api.errors import not_found, unavailable
from api.explaining import explanation
from api.feed_models import WhyNot, WhyNotStep
from api.ids import Id
from api.models import problems
from api.ranked import Gathered, gather, order_of
from api.ranking.experiments import Ranking
from api.ranking.features import topics_of
from api.ranking.order import Order
from api.snapshots import explained
from api.state import Shared
from api.timeline import KEPT_MS, Timeline
from api.views import Needs, Reader
from schemas.views import PostView

router = APIRouter(prefix="/api/v1", tags=["feed"])

_DETAILS: dict[WhyNotStep, str] = {
    "ranked": "It is in the feed.",
    "below_cut": "It is a candidate, and 200 others have a greater score in the first pass.",
    "not_followed": "The caller follows neither its author nor a topic of it, nobody who is "
    "followed shared it, and it is not viral.",
    "too_old": "It stands below the newest posts of the timeline, which alone are candidates.",
    "not_delivered": "It is not on the timeline: it has not arrived yet, or was posted before the "
    "caller followed.",
    "deleted": "The caller deleted it.",
    "hidden": "The caller hid it.",
    "muted": "Its author is muted, or all that brought it.",
    "aversion": "It is viral, and the caller wants to see less of its author.",
    "reply": "It is a reply, and the caller does not follow both ends.",
}


@router.get(
    "/feed/why-not",
    summary="Ask why a post is not in the ranked feed",
    responses=problems(
        _401="No valid token.",
        _403="The token lacks the scope `read`.",
        _404="There is no such post, or the caller may not see it.",
        _422="The id is not valid.",
        _503="The stores that know cannot be reached.",
    ),
)
async def read_why_not(
    services: Shared,
    caller: Reading,
    post_id: Annotated[Id, Query(description="The post.")],
) -> WhyNot:
    """The step that drops a post from the caller's ranked feed as it would be made now, or where it
    stands. A post that the caller may not see (deleted, for others, of who is blocked or gone) is
    answered as one that does not exist, but for the caller's own."""
    reader, now = services.reader(caller), services.clock()
    post = await reader.visible_post(post_id)
    if post is None:
        own = reader.post(post_id)
        if own is not None and own.author_id == caller.user_id and own.is_deleted:
            return _answer(post_id, "deleted")
        raise not_found("post")
    timeline = Timeline(reader, caller.user_id, None, now)
    gathered = await gather(reader, timeline, caller.user_id, now)
    if gathered is None:
        raise unavailable("Redis cannot be reached now.")
    if post_id in gathered.reasons:
        ranking = services.ranking_of(caller.user_id)
        order = await order_of(ranking, gathered, explain=True)
        return _placed(post_id, gathered, order, ranking)
    match gathered.dropped.get(post_id):
        case "absent" | "not_visible":  # since a moment ago
            raise not_found("post")
        case None:
            step = await _why_no_candidate(reader, post, gathered.read_to, now)
            return _answer(post_id, step)
        case step:
            return _answer(post_id, step)


def _placed(post_id: str, gathered: Gathered, order: Order, ranking: Ranking) -> WhyNot:
    """Where a candidate stands, or that it is below the cut."""
    reasons = list(gathered.reasons[post_id])
    for index, place in enumerate(order.places):
        if place.row.post_id == post_id:
            name = None if order.is_degraded else ranking.ranker.name
            found = explanation(name, explained(place, ranking.weights), index)
            return _answer(post_id, "ranked", reasons).model_copy(
                update={
                    "position": found.position,
                    "position_by_score": found.position_by_score,
                    "explanation": found,
                }
            )
    return _answer(post_id, "below_cut", reasons)


async def _why_no_candidate(
    reader: Reader, post: PostView, read_to: int | None, now: int
) -> WhyNotStep:
    """Why neither the timeline nor what is viral has a post that may be seen."""
    viewer = reader.viewer or ""
    sources = [f"u:{post.author_id}", *topics_of(post)]
    await reader.load(Needs(follows=[(viewer, source) for source in sources]))
    is_own = post.author_id == viewer
    if not is_own and not any(reader.follows(viewer, source) for source in sources):
        return "not_followed"
    is_below = read_to is not None and post.at <= read_to
    return "too_old" if is_below or post.at < now - KEPT_MS else "not_delivered"


def _answer(post_id: str, step: WhyNotStep, reasons: list[str] | None = None) -> WhyNot:
    return WhyNot(
        post_id=post_id,
        step=step,
        detail=_DETAILS[step],
        reasons=reasons or [],
        position=None,
        position_by_score=None,
        explanation=None,
    )
