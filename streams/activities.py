"""Which activities a post gives rise to: its author's, and one for each user who shares it."""

from __future__ import annotations

from collections.abc import Iterable

from streams.facts import Activity
from streams.post_rows import Body, PostRow


def activities(
    post_id: str,
    post: PostRow,
    body: Body | None,
    shares: Iterable[tuple[str, int]],
    *,
    is_author_wanted: bool = True,
) -> list[Activity]:
    """What must stand in the logs of sources for a post that says `body` and has `shares`
    (user id, at in ms).

    Nothing for a post that is unknown or deleted; shares only of public posts.
    """
    if post.author_id is None or post.is_deleted or body is None:
        return []
    found = []
    if is_author_wanted:
        source = f"u:{post.author_id}"
        found.append(
            Activity(
                source,
                source,
                post_id,
                post.created[0],
                body.visibility,
                body.audience if body.visibility == "custom" else (),
                post.author_id,
            )
        )
    if body.visibility == "public":
        found += [
            Activity(f"u:{user_id}", f"s:{user_id}", post_id, at, "public", (), post.author_id)
            for user_id, at in shares
        ]
    return found
