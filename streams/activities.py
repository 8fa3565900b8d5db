"""Which activities a post gives rise to: its author's, its topics', and one for each sharer."""

from __future__ import annotations

from collections.abc import Iterable

from streams.facts import Activity
from streams.post_rows import Body, PostRow
from streams.subjects import topics_of


def activities(
    post_id: str,
    post: PostRow,
    body: Body | None,
    shares: Iterable[tuple[str, int]],
    *,
    is_post_wanted: bool = True,
) -> list[Activity]:
    """What must stand in the logs of sources for a post that says `body` and has `shares`
    (user id, at in ms).

    Nothing for a post that is unknown or deleted; topics and shares only for public posts.
    """
    if post.author_id is None or post.is_deleted or body is None:
        return []
    found = []
    if is_post_wanted:
        audience = body.audience if body.visibility == "custom" else ()
        author = f"u:{post.author_id}"
        sources = [author]
        if body.visibility == "public":
            sources += topics_of(body.tags)
        found += [
            Activity(
                source,
                source,
                post_id,
                post.created[0],
                body.visibility,
                audience,
                post.author_id,
                is_reply=bool(body.reply_to) and source == author,
            )
            for source in sources
        ]
    if body.visibility == "public":
        found += [
            Activity(f"u:{user_id}", f"s:{user_id}", post_id, at, "public", (), post.author_id)
            for user_id, at in shares
        ]
    return found
