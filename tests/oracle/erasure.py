"""Erasure: what is left of the events when some users are erased (docs/rules.md, "Erasure")."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from schemas.events import Engagement, Follow, Post, User
from tests.oracle.posts import PostState, Reactions

ANONYMOUS = ("view", "click", "report")
COMMENTS = ("comment", "comment_deleted")
TOWARD_USERS = ("message", "profile_view")


def erased_users(events: Collection[User]) -> set[str]:
    """Who is erased, at whatever time."""
    return {event.user_id for event in events if event.action == "deleted"}


def erase_posts(posts: dict[str, PostState], erased: Collection[str]) -> None:
    """A post that an erased user has created, as the author or not, is deleted."""
    for state in posts.values():
        if any(_creates(version) and version.author_id in erased for version in state.versions):
            state.is_deleted = True


def _creates(event: Post) -> bool:
    return event.action == "created"


def engagements_left(
    events: Collection[Engagement], erased: Collection[str]
) -> Iterator[Engagement]:
    """All but what an erased user did, or did toward one. What is only counted stays, and of
    comments which came first (see `erase_comments`)."""
    for event in events:
        is_toward_erased = event.action in TOWARD_USERS and event.target in erased
        is_by_erased = event.user_id in erased and event.action not in (*ANONYMOUS, *COMMENTS)
        if not is_toward_erased and not is_by_erased:
            yield event


def erase_comments(found: Reactions, erased: Collection[str]) -> None:
    """A comment of which an erased user's event is the oldest is not there."""
    found.comments = {
        key: comment for key, comment in found.comments.items() if comment.user_id not in erased
    }


def follows_left(events: Collection[Follow], erased: Collection[str]) -> Iterator[Follow]:
    """All but those of erased users, and those toward them; whom others mute stays."""
    for event in events:
        is_mute = event.action in ("mute", "unmute")
        is_about_erased = event.target.startswith("u:") and event.target[2:] in erased
        if event.user_id not in erased and (is_mute or not is_about_erased):
            yield event


def users_left(events: Collection[User], erased: Collection[str]) -> Iterator[User]:
    """Of erased users only that they are."""
    return (e for e in events if e.user_id not in erased or e.action == "deleted")
