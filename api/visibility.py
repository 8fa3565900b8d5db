"""Who may see a post, judged by the relations of now, whatever was pushed."""

from __future__ import annotations

from msgspec import Struct

from schemas.views import PostView

GONE = frozenset({"deleted", "deactivated"})


class Relation(Struct, frozen=True):
    """How a viewer and an author stand.

    `is_blocked` is a block in either direction; None when it cannot be known now. A follow
    excludes both blocks, so nothing that is for followers alone leaks through None; and what is
    public can be read without an account.
    """

    is_following: bool = False
    is_followed: bool = False
    is_blocked: bool | None = False


UNRELATED = Relation()


def may_see(post: PostView, author_status: str, viewer: str | None, relation: Relation) -> bool:
    """Whether `viewer` (None: nobody in particular) may see `post`."""
    if post.is_deleted or author_status in GONE:
        return False
    if viewer is None:
        return post.visibility == "public" and post.hidden_by is None
    if viewer == post.author_id:
        return True
    if post.hidden_by is not None:
        return False
    if relation.is_blocked:
        return False
    match post.visibility:
        case "public":
            return True
        case "followers":
            return relation.is_following
        case "friends":
            return relation.is_following and relation.is_followed
        case "custom":
            knows_blocks = relation.is_blocked is not None or relation.is_following
            return viewer in post.audience and knows_blocks
    return False
