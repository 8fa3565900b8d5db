"""The acknowledged events, as the external topics hold them, less what the rules turn away.

The oracle reads with its own consumer and validates by the last table of docs/rules.md; it
shares with the product only the schemas.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from schemas import codec
from schemas.codec import UndecodableError
from schemas.events import Engagement, Event, Feedback, Follow, Moderation, Post, User
from tests.oracle.edits import fields_of

YEAR_2000_MS = 946_684_800_000
AHEAD_MS = 5 * 60 * 1000
ID_BYTES = 256
CONTENT_BYTES = 64 * 1024
RECORD_BYTES = 1_000_000
MEDIA = 64
AUDIENCE = 10_000

TOPICS: dict[str, type[Event]] = {
    "users": User,
    "follows": Follow,
    "posts": Post,
    "engagements": Engagement,
    "moderations": Moderation,
    "feedback": Feedback,
}

Stamp = tuple[int, str]
Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""

_NOT_OF_A_POST = {"profile_view", "message"}
_NEEDS = {
    "created": ("author_id",),
    "react": ("kind",),
    "comment": ("comment_id",),
    "comment_deleted": ("comment_id",),
}


@dataclass
class Acknowledged:
    """What the external topics hold: valid events by topic, and the places of the others."""

    posts: list[Post] = field(default_factory=list)
    follows: list[Follow] = field(default_factory=list)
    engagements: list[Engagement] = field(default_factory=list)
    users: list[User] = field(default_factory=list)
    moderations: list[Moderation] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)
    rejected: dict[Place, str] = field(default_factory=dict)
    reasons: dict[Place, set[str]] = field(default_factory=dict)
    """All that is wrong with a record that is rejected, where there is more than one thing."""
    first_offsets: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of valid events."""
        lists = (self.posts, self.follows, self.engagements, self.users, self.moderations)
        return sum(map(len, (*lists, self.feedback)))


def collect(records: Iterable[tuple[str, int, int, int, bytes | None]]) -> Acknowledged:
    """The events in records (topic, partition, offset, the broker's time, value)."""
    found = Acknowledged()
    lists: dict[str, list[object]] = {
        "posts": found.posts,  # type: ignore[dict-item]
        "follows": found.follows,  # type: ignore[dict-item]
        "engagements": found.engagements,  # type: ignore[dict-item]
        "users": found.users,  # type: ignore[dict-item]
        "moderations": found.moderations,  # type: ignore[dict-item]
        "feedback": found.feedback,  # type: ignore[dict-item]
    }
    for topic, partition, offset, broker_ms, raw in records:
        found.first_offsets.setdefault((topic, partition), offset)
        if raw is not None and len(raw) > RECORD_BYTES:
            found.rejected[(topic, partition, offset)] = "too_large"
            continue
        try:
            event = codec.decode(raw, TOPICS[topic])
        except UndecodableError as error:
            found.rejected[(topic, partition, offset)] = error.code
            continue
        reasons = list(whys_rejected(event, broker_ms))
        if not reasons:
            lists[topic].append(event)
            continue
        place = topic, partition, offset
        found.rejected[place] = reasons[0]
        if len(reasons) > 1:
            found.reasons[place] = set(reasons)
    return found


def why_rejected(event: Event, broker_ms: int) -> str | None:
    """A code under which an event goes to the dead letters, or None."""
    return next(whys_rejected(event, broker_ms), None)


def whys_rejected(event: Event, broker_ms: int) -> Iterator[str]:
    """All codes under which it may."""
    if any(not getattr(event, name) for name in _needed(event)):
        yield "missing_field"
    for text in _ids(event):
        if not text:
            yield "missing_field"
        if len(text) > 64 and len(text.encode()) > ID_BYTES:
            yield "id_too_long"
        if not text.isprintable() and any(unicodedata.category(c) == "Cc" for c in text):
            yield "id_invalid"
    if _names_nothing(event):
        yield "id_invalid"
    if event.at < YEAR_2000_MS:
        yield "at_too_old"
    if event.at > broker_ms + AHEAD_MS:
        yield "at_in_future"
    if any(len(text) > 16_384 and len(text.encode()) > CONTENT_BYTES for text in _texts(event)):
        yield "too_large"
    if isinstance(event, Post) and (len(event.media) > MEDIA or len(event.audience) > AUDIENCE):
        yield "too_large"
    yield from _wrong_changes(event)
    about = {Follow: "target", Feedback: "subject"}.get(type(event))
    if about and getattr(event, about) == f"u:{event.user_id}":  # type: ignore[union-attr]
        yield "self_relation"


def _wrong_changes(event: Event) -> Iterator[str]:
    names = event.changes if isinstance(event, User) else None
    if names is not None and not names:
        yield "missing_field"
    if any(not fields_of(name) for name in names or ()):
        yield "unknown_field"


def _names_nothing(event: Event) -> bool:
    match event:
        case Follow(target=name):
            kinds: tuple[str, ...] = ("u:", "t:")
        case Feedback(subject=name):
            kinds = ("u:", "t:", "l:", "m:")
        case _:
            return False
    return name[:2] not in kinds or not name[2:]


def _needed(event: Event) -> Iterator[str]:
    yield "event_id"
    if isinstance(event, Post | Moderation):
        yield "post_id"
    else:
        yield "user_id"
    if isinstance(event, Moderation):
        yield "moderator_id"
    if isinstance(event, Feedback):
        yield "subject"
    if isinstance(event, Follow):
        yield "target"
    elif isinstance(event, Engagement):
        yield "target" if event.action in _NOT_OF_A_POST else "post_id"
    yield from _NEEDS.get(event.action, ())


def _ids(event: Event) -> Iterator[str]:
    """The ids that an action has a use for, where they are given."""
    given: tuple[str | None, ...]
    match event:
        case Post():
            given = (event.post_id, *event.audience, event.author_id, event.reply_to)
            given = (*given, event.quote_of)
        case Moderation():
            given = (event.post_id, event.moderator_id)
        case Feedback():
            given = (event.user_id, event.subject)
        case User():
            given = (event.user_id, event.username or None)
        case Follow():
            given = (event.user_id, event.target)
        case Engagement():
            given = (event.user_id, *_ids_of_engagement(event))
    yield event.event_id
    for text in given:
        if text is not None:
            yield text


def _ids_of_engagement(event: Engagement) -> tuple[str | None, ...]:
    if event.action in _NOT_OF_A_POST:
        return (event.target,)
    if event.action == "react":
        return (event.post_id, event.kind, event.comment_id)
    if event.action in ("like", "unlike"):
        return (event.post_id, event.comment_id)
    if event.action in ("comment", "comment_deleted"):
        return (event.post_id, event.comment_id, event.parent)
    return (event.post_id,)


def _texts(event: Event) -> Iterator[str]:
    if isinstance(event, Post):
        yield event.content
    elif isinstance(event, Engagement):
        yield event.text or ""
    elif isinstance(event, User):
        for text in (event.display_name, event.bio, event.avatar):
            yield text or ""
