"""Intake: checks what producers published and routes it into the log of its entity."""

from __future__ import annotations

import re

from connectors.records import Record
from schemas.codec import decode
from schemas.events import Engagement, Event, Moderation, Post
from schemas.topics import Topic
from schemas.translation import Translations, translated
from schemas.validation import BETWEEN_USERS, MAX_RECORD_BYTES, validate
from streams.engine.outbox import Outbox
from streams.engine.records import RejectedError, Tags, tags_header
from streams.engine.replica import Fold
from streams.engine.state import State

MAX_TAGS = 64
_HASHTAG = re.compile(r"(?<![\w&/#])#(\w+)")
_MENTION = re.compile(r"(?<![\w@/.])@(\w(?:[\w.:-]*\w)?)")


def extract(content: str) -> Tags:
    """The hashtags (case folded) and mentions in a text, each once, in order.

    A hashtag has a letter in it, in any script; a mention names a user.
    """
    if "#" not in content and "@" not in content:
        return Tags()
    words = (word for word in _HASHTAG.findall(content) if any(map(str.isalpha, word)))
    hashtags = dict.fromkeys(word.casefold() for word in words)
    mentions = dict.fromkeys(_MENTION.findall(content))
    return Tags(tuple(hashtags)[:MAX_TAGS], tuple(mentions)[:MAX_TAGS])


class IntakeFold(Fold):
    """Routes the records of one external topic; keeps no rows.

    What is about a post goes to the post's log, profile views and messages to the acting user's,
    follows and user events to the user's. The original bytes are passed on, with ids of our own:
    what reads the logs needs no registry.
    """

    def __init__(self, expected: type[Event], outbox: Outbox) -> None:
        self._expected = expected
        self._outbox = outbox
        self._translations: Translations | None = None

    def translate_by(self, translations: Translations) -> None:
        """See `Fold.translate_by`."""
        self._translations = translations

    @property
    def writes(self) -> tuple[Topic, ...]:
        """What is about a post goes to the posts' logs, all else to the users'."""
        if self._expected in (Post, Moderation):
            return (Topic.BY_POST,)
        return (Topic.BY_POST, Topic.BY_USER) if self._expected is Engagement else (Topic.BY_USER,)

    def apply(self, record: Record) -> None:
        """Check and route one record; see `schemas.validation` for what is refused."""
        raw = record.value or b""
        if len(raw) > MAX_RECORD_BYTES:
            raise RejectedError("too_large", f"the record has more than {MAX_RECORD_BYTES} bytes")
        if self._translations is not None:
            raw = translated(raw, self._translations)
        event = decode(raw, self._expected)
        validate(event, record.timestamp)
        match event:
            case Engagement(post_id=post_id) if post_id and event.action not in BETWEEN_USERS:
                self._outbox.route(Topic.BY_POST, post_id, raw)
            case Post(post_id=post_id):
                headers = (tags_header(extract(event.content)),)
                self._outbox.route(Topic.BY_POST, post_id, raw, headers)
            case Moderation(post_id=post_id):
                self._outbox.route(Topic.BY_POST, post_id, raw)
            case _:
                self._outbox.route(Topic.BY_USER, event.user_id, raw)


def make_intake(expected: type[Event], _state: State, outbox: Outbox) -> IntakeFold:
    """The fold of one partition of an external topic."""
    return IntakeFold(expected, outbox)
