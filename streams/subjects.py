"""What posts are about: topics, a language, kinds of media."""

from __future__ import annotations

import re

from schemas.events import Post
from schemas.validation import MAX_ID_BYTES
from streams.engine.records import Tags

USER, TOPIC, LANGUAGE, MEDIA = "u:", "t:", "l:", "m:"
MAX_TOPICS = 8
MAX_MEDIA_KINDS = 4
_WORD = re.compile(r"[\w-]{1,35}")


def topics_of(tags: Tags) -> list[str]:
    """The topics, as sources: the hashtags that fit an id."""
    sources = (f"{TOPIC}{tag}" for tag in tags.hashtags)
    return [source for source in sources if len(source.encode()) <= MAX_ID_BYTES]


def about(event: Post, tags: Tags) -> tuple[str, ...]:
    """What an event says that a post is about: the first topics (`t:`), the language (`l:`) and the
    first kinds of media (`m:`), if these are words of at most 35 characters."""
    subjects = topics_of(tags)[:MAX_TOPICS]
    if event.language and _WORD.fullmatch(event.language):
        subjects.append(f"{LANGUAGE}{event.language.casefold()}")
    kinds = dict.fromkeys(f"{MEDIA}{m.kind}" for m in event.media if _WORD.fullmatch(m.kind))
    return (*subjects, *list(kinds)[:MAX_MEDIA_KINDS])
