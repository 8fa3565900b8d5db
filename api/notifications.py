"""Notifications: what others did that concerns the caller."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, status
from msgspec import Struct

from api.auth import Reading, Writing
from api.bodies import SeenIn
from api.errors import unavailable
from api.models import Accepted, NotificationOut, NotificationsOut, problems
from api.render import author, rfc3339
from api.state import Shared
from api.stores import StoreDownError
from api.views import Needs, Reader
from api.visibility import GONE
from api.write_route import WriteRoute
from schemas.events import User
from schemas.views import NotificationView

MAX_LIMIT = 100
SHOWN_ACTORS = 3

router = APIRouter(prefix="/api/v1/notifications", tags=["notifications"], route_class=WriteRoute)

_PROBLEMS = problems(
    _401="No valid token.",
    _403="The token lacks the scope.",
    _422="A field is not valid.",
    _503="The stores cannot be reached, or Kafka did not acknowledge in time.",
)


OF_COMMENTS = ("comment", "comment_reply")
OF_POSTS = ("reply", "favourite_post")
"""The kinds of which each act is a comment, or a post of its own."""


class Shown(Struct, frozen=True):
    """A group as its receiver may see it: some who did it, newest first, how many it were, when it
    was done last (ms), and the comment or post that the newest is, if it is one.

    All is that of the acts that may be seen. If none of those that are known may, `actors` is
    empty, and the time tells nothing of acts: such a group is no news.
    """

    group: NotificationView
    actors: tuple[str, ...]
    count: int
    at: int
    item: str = ""

    @property
    def post_id(self) -> str | None:
        """The post that it is about; the newest of a favourite."""
        return self.item if self.group.kind == "favourite_post" else self.group.subject or None

    @property
    def comment_id(self) -> str | None:
        """The comment that the newest act is."""
        return self.item if self.group.kind in OF_COMMENTS and self.item else None

    def is_unread(self, seen_to: int) -> bool:
        """Whether it is newer than what was seen (ms)."""
        return bool(self.actors) and self.at > seen_to

    def out(self, reader: Reader, seen_to: int) -> NotificationOut:
        """As the API says it, to who has seen all up to a time (ms)."""
        return NotificationOut(
            kind=self.group.kind,
            post_id=self.post_id,
            actors=[author(reader, user_id) for user_id in self.actors[:SHOWN_ACTORS]],
            count=self.count,
            at=rfc3339(self.at),
            is_unread=self.is_unread(seen_to),
        )


@router.get("", summary="List notifications", responses=_PROBLEMS)
async def read_notifications(
    services: Shared,
    caller: Reading,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Groups at most.")] = 20,
) -> NotificationsOut:
    """The newest, grouped by what was done and to which post. None of whom the caller blocks or
    mutes, of a kind that the caller's preferences turn off, or of a post that the caller may not
    see. `unread_count` looks at the newest 100."""
    reader = services.reader(caller)
    try:
        groups, seen_to = await reader.stores.cache.notifications(caller.user_id, MAX_LIMIT)
    except StoreDownError as error:
        raise unavailable("The stores cannot be reached now.") from error
    found = await visible(reader, groups)
    shown = sorted(found, key=lambda each: (each.at, each.group.key), reverse=True)
    return NotificationsOut(
        notifications=[each.out(reader, seen_to) for each in shown[:limit]],
        unread_count=sum(each.is_unread(seen_to) for each in shown),
        degraded=reader.degraded,
    )


@router.post(
    "/seen",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Mark notifications as read",
    responses=_PROBLEMS,
)
async def mark_seen(body: SeenIn, services: Shared, caller: Writing) -> Accepted:
    """All up to a time are read, up to now if none is given. It never goes back."""
    now = services.clock()
    seen_to = now if body.seen_to is None else min(now, body.seen_to_ms)
    event_id = services.events.new_id(now)
    await services.events.publish(
        User(event_id=event_id, action="active", user_id=caller.user_id, at=now, seen_to=seen_to)
    )
    return Accepted(event_id=event_id)


async def visible(reader: Reader, groups: list[NotificationView]) -> list[Shown]:
    """What the viewer may see of groups, in their order: two round trips. What cannot be known now
    is left out, and the reader is degraded."""
    viewer = reader.viewer or ""
    actors = list(dict.fromkeys(name for group in groups for _, name, _ in group.named))
    items = [item for group in groups if group.kind in OF_POSTS for _, _, item in group.named]
    posts = [*filter(None, map(_subject_of, groups)), *items]
    blocks = [f"u:{name}" for name in actors]
    await reader.load(Needs(users=[viewer, *actors], posts=posts, blocks=blocks))
    await reader.load_rights([post for name in posts if (post := reader.post(name)) is not None])
    silenced = reader.user(viewer).silenced
    shown = [_shown(reader, group) for group in groups if group.kind not in silenced]
    return [each for each in shown if each is not None]


def _subject_of(group: NotificationView) -> str:
    """The post that a group is about, or nothing."""
    return "" if group.kind == "favourite_post" else group.subject


def _shown(reader: Reader, group: NotificationView) -> Shown | None:
    subject = reader.post(_subject_of(group))
    if _subject_of(group) and (subject is None or not reader.may_see(subject)):
        return None
    acts = [
        act
        for act in group.named
        if _is_welcome(reader, act[1]) and (group.kind not in OF_POSTS or _may_see(reader, act[2]))
    ]
    unknown = group.count - len(group.named)
    if acts:
        actors = tuple(dict.fromkeys(name for _, name, _ in acts))
        return Shown(group, actors, unknown + len(acts), acts[0][0], acts[0][2])
    if unknown <= 0 or group.kind in OF_POSTS:
        return None
    oldest = group.named[-1][0] if group.named else 0
    return Shown(group, (), unknown, oldest if subject is None else subject.at)


def _may_see(reader: Reader, post_id: str) -> bool:
    post = reader.post(post_id)
    return post is not None and reader.may_see(post)


def _is_welcome(reader: Reader, user_id: str) -> bool:
    """Whether a user is there, and there is neither a block nor a mute, for all that is known."""
    source = f"u:{user_id}"
    is_free = reader.is_blocked(source) is False and not reader.is_muted(source)
    return is_free and reader.user(user_id).status not in GONE
