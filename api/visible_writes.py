"""Whether the views show a write: what its caller would read is looked at until they do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from api.stores import Found, StoreDownError, Stores, Wanted
from schemas.events import Engagement, Event, Follow, Moderation, Post, User

WAIT_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.16
MAX_WAITING = 200
"""Of one process; who comes when so many wait is not waited for."""

MAX_EVENTS = 20
"""A batch of more events is not waited for."""

STATUS = {"deleted": "deleted", "deactivated": "deactivated", "reactivated": "active"}


class Look(Struct, frozen=True):
    """What to read of the views, and whether it shows the write."""

    wanted: Wanted
    is_shown: Callable[[Found], bool]


class Waiting:
    """Waits for views, for some requests at a time."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._count = 0

    async def until_shown(self, events: Sequence[Event]) -> bool | None:
        """Whether the views show all of the events, within 2 s; None when there are some that no
        view shows to who caused them, or too many. One round trip a look at an event, O(1)."""
        if not 0 < len(events) <= MAX_EVENTS or any(look_for(event) is None for event in events):
            return None
        if self._count >= MAX_WAITING:
            return False
        self._count += 1
        try:
            return await self._wait(events)
        except StoreDownError:
            return False
        finally:
            self._count -= 1

    async def _wait(self, events: Sequence[Event]) -> bool:
        until = time.monotonic() + WAIT_SECONDS
        pause = FIRST_PAUSE_SECONDS
        left = list(events)
        while True:
            left = [event for event in left if not await self._is_shown(event)]
            if not left:
                return True
            if time.monotonic() + pause > until:
                return False
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE_SECONDS)

    async def _is_shown(self, event: Event) -> bool:
        look = look_for(event)
        if isinstance(look, Look):
            return look.is_shown(await self._stores.cache.load(look.wanted))
        assert isinstance(event, Engagement)
        comment = await self._stores.archive.comment(event.post_id or "", event.comment_id or "")
        return (comment is not None) == (event.action == "comment")


class CommentLook(Struct, frozen=True):
    """The comment that an engagement names is to be read, which Redis does not hold."""


def look_for(event: Event) -> Look | CommentLook | None:
    """Where to look for an event, None when its caller has no view of it. What takes away is shown
    when what it takes away is not there."""
    match event:
        case Post():
            return _post(event)
        case Moderation(post_id=name):
            by = "moderator" if event.action == "hidden" else None
            return Look(
                Wanted(posts=[name]),
                lambda found: name in found.posts and found.posts[name].hidden_by == by,
            )
        case Follow():
            return _follow(event)
        case User(user_id=name) if event.action in STATUS:
            status = STATUS[event.action]
            return Look(
                Wanted(users=[name]),
                lambda found: name in found.users and found.users[name].status == status,
            )
        case Engagement(action="comment" | "comment_deleted"):
            return CommentLook()
        case Engagement(post_id=str(name), comment_id=None):
            return _engagement(event, name)
        case _:
            return None


def _post(event: Post) -> Look:
    name, at = event.post_id, event.at

    def is_shown(found: Found) -> bool:
        post = found.posts.get(name)
        if post is None or event.action == "deleted":
            return post is not None and post.is_deleted
        return event.action == "created" or (post.edited_at or post.at) >= at or post.is_deleted

    return Look(Wanted(posts=[name]), is_shown)


def _engagement(event: Engagement, post_id: str) -> Look | None:
    shown: dict[str, Callable[[Found], bool]] = {
        "like": lambda found: found.reactions.get(post_id) == "like",
        "react": lambda found: found.reactions.get(post_id) == event.kind,
        "unlike": lambda found: post_id not in found.reactions,
        "share": lambda found: post_id in found.shared,
        "unshare": lambda found: post_id not in found.shared,
        "hide": lambda found: post_id in found.hidden,
    }
    if event.action not in shown:
        return None
    return Look(Wanted(viewer=event.user_id, mine=[post_id]), shown[event.action])


def _follow(event: Follow) -> Look | None:
    pair, target = (event.user_id, event.target), event.target
    shown: dict[str, Callable[[Found], bool]] = {
        "follow": lambda found: pair in found.follows,
        "unfollow": lambda found: pair not in found.follows,
        "block": lambda found: target in found.blocked,
        "mute": lambda found: target in found.muted,
        "unmute": lambda found: target not in found.muted,
    }
    if event.action not in shown:  # who is unblocked may still block the caller
        return None
    wanted = Wanted(viewer=event.user_id, follows=[pair], blocks=[target])
    return Look(wanted, shown[event.action])
