"""GET /api/v1/trending: posts and topics on the rise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import Anyone
from api.models import Count, PostOut, Time, problems
from api.render import post_out, rfc3339
from api.state import Shared
from api.stores import Degraded, StoreDownError
from api.views import Needs, Reader
from schemas.views import TrendingEntry, TrendingKind, TrendingView, TrendingWindow

DEFAULT_LIMIT = 20
MAX_LIMIT = 50
MAX_EXAMINED = 200
"""Entries that one request looks at: a list may come out short, but never without end."""

AT_ONCE = 50
STALE_MS = 15 * 60 * 1000
"""Lists are made anew every 5 minutes; an older one says that nobody does so any more."""

TOPIC = "t:"
Score = Annotated[
    float,
    Field(
        description="By how many standard deviations more users act than did before, from 2 on.",
        examples=[4.7],
    ),
]

router = APIRouter(prefix="/api/v1", tags=["trending"])


class TrendingTopic(BaseModel):
    """A topic on the rise."""

    topic: str = Field(examples=["rust"])
    score: Score
    user_count: Count = Field(description="Distinct users in the window, estimated when many.")


class TrendingPost(BaseModel):
    """A post on the rise."""

    post: PostOut
    score: Score
    user_count: Count = Field(description="Distinct users in the window, estimated when many.")
    velocity: Count = Field(description="Distinct users in the last hour.")
    is_viral: bool = Field(
        description="Whether 30 users or more act in an hour, three times as many as before."
    )


class Trending(BaseModel):
    """What is on the rise, the most first. Of `posts` and `topics` one is empty."""

    kind: Literal["posts", "topics"]
    window: Literal["1h", "24h"]
    language: str | None = Field(examples=["en"])
    as_of: Time | None = Field(description="The end of the window; null when nothing is listed.")
    posts: list[TrendingPost]
    topics: list[TrendingTopic]
    degraded: list[Degraded] = Field(
        description="The stores that were needed and could not be reached: entries may be missing."
    )


@router.get(
    "/trending",
    summary="Read what is trending",
    responses=problems(
        _401="The token is not valid.",
        _403="The token lacks the scope `read`.",
        _422="A parameter is not valid.",
        _503="The stores cannot be reached.",
    ),
)
async def read_trending(
    services: Shared,
    caller: Anyone,
    kind: Annotated[TrendingKind, Query(description="What is listed.")] = "posts",
    window: Annotated[
        TrendingWindow, Query(description="The time in which users are counted.")
    ] = "1h",
    language: Annotated[
        str | None,
        Query(
            pattern=r"^[A-Za-z]{2,3}$",
            description="Only posts in this language, or topics of such; all without it.",
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Entries at most.")] = (
        DEFAULT_LIMIT
    ),
) -> Trending:
    """What more distinct users act upon than did before, within the last hour or day: posts that
    the caller may see, or topics; without a token, for anybody. What the caller mutes or
    hides is left out."""
    reader = services.reader(caller)
    lists = await fresh_lists(reader, kind, window, language, services.clock())
    entries = sorted(
        (entry for each in lists for entry in each.entries),
        key=lambda entry: (-entry.score, entry.key),
    )
    return Trending(
        kind=kind,
        window=window,
        language=None if language is None else language.lower(),
        as_of=rfc3339(max(each.at for each in lists)) if lists else None,
        posts=await _posts(reader, entries, limit) if kind == "posts" else [],
        topics=await _topics(reader, entries, limit) if kind == "topics" else [],
        degraded=reader.degraded,
    )


async def fresh_lists(
    reader: Reader, kind: TrendingKind, window: TrendingWindow, language: str | None, now: int
) -> list[TrendingView]:
    """The lists of all partitions that are not stale; none when Redis cannot be reached."""
    try:
        found = await reader.stores.cache.trending(kind, window, (language or "").lower())
    except StoreDownError as error:
        reader.mark_down(error)
        return []
    return [each for each in found if each.at > now - STALE_MS]


async def _posts(reader: Reader, entries: list[TrendingEntry], limit: int) -> list[TrendingPost]:
    """Look at entries until `limit` may be shown."""
    shown: list[TrendingPost] = []
    for first in range(0, min(len(entries), MAX_EXAMINED), AT_ONCE):
        some = entries[first : first + AT_ONCE]
        ids = [entry.key for entry in some]
        await reader.load(Needs(posts=ids, counters=ids, mine=ids))
        posts = [post for name in ids if (post := reader.post(name)) is not None]
        await reader.load_rights(posts)
        shown += _shown(reader, some)
        if len(shown) >= limit:
            break
    return shown[:limit]


def _shown(reader: Reader, entries: Iterable[TrendingEntry]) -> list[TrendingPost]:
    found = []
    for entry in entries:
        post = reader.post(entry.key)
        if post is None or post.post_id in reader.known.hidden:
            continue
        if not reader.may_see(post) or reader.is_muted(f"u:{post.author_id}"):
            continue
        found.append(
            TrendingPost(
                post=post_out(reader, post),
                score=entry.score,
                user_count=entry.users,
                velocity=entry.velocity,
                is_viral=entry.is_viral,
            )
        )
    return found


async def _topics(reader: Reader, entries: list[TrendingEntry], limit: int) -> list[TrendingTopic]:
    some = entries[:MAX_EXAMINED]
    await reader.load(Needs(blocks=[entry.key for entry in some]))
    return [
        TrendingTopic(
            topic=entry.key.removeprefix(TOPIC), score=entry.score, user_count=entry.users
        )
        for entry in some
        if not reader.is_muted(entry.key)
    ][:limit]
