"""Which events are taken: what the schemas cannot say. Pure; raises the reason."""

from __future__ import annotations

import re

from schemas.changes import CHANGEABLE
from schemas.events import Engagement, Event, Feedback, Follow, Moderation, Post, User

MAX_ID_BYTES = 256
MAX_CONTENT_BYTES = 64 * 1024
MAX_MEDIA = 64
MAX_AUDIENCE = 10_000
MAX_RECORD_BYTES = 1_000_000
EARLIEST_MS = 946_684_800_000  # 2000-01-01
MAX_AHEAD_MS = 5 * 60 * 1000
BETWEEN_USERS = ("profile_view", "message")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SOURCE = re.compile(r"[ut]:.")
_SUBJECT = re.compile(r"[utlm]:.")
_COMMENTS = ("comment", "comment_deleted")
_REACTIONS = ("like", "react", "unlike")


class RejectedError(Exception):
    """A record that is not taken; `code` is its reason in the dead letters."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def validate(event: Event, broker_time: int) -> None:
    """Check an event that was appended to its topic at `broker_time` (ms).

    Raises:
        RejectedError: with the code of the dead letter.
    """
    _id("event_id", event.event_id)
    _time(event.at, broker_time)
    match event:
        case Engagement():
            _engagement(event)
        case Post():
            _post(event)
        case Follow():
            _follow(event)
        case User():
            _user(event)
        case Feedback():
            _feedback(event)
        case Moderation():
            _id("post_id", event.post_id)
            _id("moderator_id", event.moderator_id)


def _id(field: str, value: str | None) -> None:
    if not value:
        raise RejectedError("missing_field", f"{field} is absent or empty")
    if len(value) * 4 > MAX_ID_BYTES and len(value.encode()) > MAX_ID_BYTES:
        raise RejectedError("id_too_long", f"{field} has more than {MAX_ID_BYTES} bytes")
    if not value.isprintable() and _CONTROL.search(value):  # which is slower, and rarely needed
        raise RejectedError("id_invalid", f"{field} contains control characters")


def _optional_id(field: str, value: str | None) -> None:
    if value is not None:
        _id(field, value)


def _text(field: str, value: str | None) -> None:
    if value and len(value) * 4 > MAX_CONTENT_BYTES and len(value.encode()) > MAX_CONTENT_BYTES:
        raise RejectedError("too_large", f"{field} has more than {MAX_CONTENT_BYTES} bytes")


def _time(at: int, broker_time: int) -> None:
    if at < EARLIEST_MS:
        raise RejectedError("at_too_old", f"at is {at}, before the year 2000")
    if at > broker_time + MAX_AHEAD_MS:
        ahead = (at - broker_time) // 1000
        raise RejectedError("at_in_future", f"at is {ahead} s ahead of the broker's clock")


def _post(event: Post) -> None:
    _id("post_id", event.post_id)
    if event.action == "created" or event.author_id is not None:
        _id("author_id", event.author_id)
    _optional_id("reply_to", event.reply_to)
    _optional_id("quote_of", event.quote_of)
    _text("content", event.content)
    if len(event.media) > MAX_MEDIA:
        raise RejectedError("too_large", f"media has more than {MAX_MEDIA} items")
    if len(event.audience) > MAX_AUDIENCE:
        raise RejectedError("too_large", f"audience has more than {MAX_AUDIENCE} users")
    for user_id in event.audience:
        _id("audience", user_id)


def _engagement(event: Engagement) -> None:
    _id("user_id", event.user_id)
    _text("text", event.text)
    if event.action in BETWEEN_USERS:
        _id("target", event.target)
        return
    _id("post_id", event.post_id)
    if event.action == "react":
        _id("kind", event.kind)
    if event.action in _COMMENTS:
        _id("comment_id", event.comment_id)
        _optional_id("parent", event.parent)
    if event.action in _REACTIONS and event.comment_id is not None:
        _id("comment_id", event.comment_id)


def _follow(event: Follow) -> None:
    _id("user_id", event.user_id)
    _id("target", event.target)
    if not _SOURCE.match(event.target):
        raise RejectedError("id_invalid", "target is neither u:<user id> nor t:<topic>")
    if event.target == f"u:{event.user_id}":
        raise RejectedError("self_relation", f"{event.action} of oneself")


def _feedback(event: Feedback) -> None:
    _id("user_id", event.user_id)
    _id("subject", event.subject)
    if not _SUBJECT.match(event.subject):
        raise RejectedError("id_invalid", "subject is none of u:, t:, l: and m: with a name")
    if event.subject == f"u:{event.user_id}":
        raise RejectedError("self_relation", "feedback on oneself")


def _user(event: User) -> None:
    _id("user_id", event.user_id)
    _optional_id("username", event.username or None)
    for field in ("display_name", "bio", "avatar"):
        _text(field, getattr(event, field))
    if event.changes is None:
        return
    if not event.changes:
        raise RejectedError("missing_field", "changes is empty; null stands for the whole profile")
    unknown = set(event.changes) - CHANGEABLE
    if unknown:
        raise RejectedError("unknown_field", f"changes has {min(unknown)[:64]!a}, which cannot")
