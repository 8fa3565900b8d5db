"""Which posts of a timeline a request asks for."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Query
from msgspec import Struct

from api.ids import Id
from api.topics import TopicName
from schemas.views import PostView

SHARED = "s:"


class FeedFilter(Struct, frozen=True):
    """What is asked for; None and False ask for all. `topic` and `language` are in their common
    form."""

    author: str | None = None
    topic: str | None = None
    media: str | None = None
    language: str | None = None
    no_replies: bool = False
    no_shares: bool = False

    def takes(self, post: PostView) -> bool:
        """Whether a post is asked for, whatever brought it."""
        return (
            (self.author is None or post.author_id == self.author)
            and (self.topic is None or self.topic in post.hashtags)
            and (self.media is None or any(each.kind == self.media for each in post.media))
            and (self.language is None or _primary(post.language) == self.language)
            and not (self.no_replies and post.reply_to is not None)
        )

    def reasons(self, reasons: list[str]) -> list[str]:
        """The reasons for which a post is asked for."""
        if not self.no_shares:
            return reasons
        return [reason for reason in reasons if not reason.startswith(SHARED)]


EVERYTHING = FeedFilter()


def _primary(language: str | None) -> str:
    """The first part of a language tag: `en` of `en-GB`."""
    return (language or "").partition("-")[0].casefold()


async def _filter(  # a thread for what has no await would cost more than the rest of the request
    author: Annotated[Id | None, Query(description="Only posts by this user.")] = None,
    topic: Annotated[
        TopicName | None, Query(description="Only posts with this hashtag, with the # or without.")
    ] = None,
    media: Annotated[
        Literal["image", "video", "audio", "link"] | None,
        Query(description="Only posts with media of this kind."),
    ] = None,
    language: Annotated[
        str | None,
        Query(pattern=r"^[A-Za-z]{2,3}$", description="Only posts in this language."),
    ] = None,
    no_replies: Annotated[bool, Query(description="No posts that answer others.")] = False,
    no_shares: Annotated[
        bool, Query(description="No posts that are there only because someone shared them.")
    ] = False,
) -> FeedFilter:
    tag = None if language is None else language.casefold()
    return FeedFilter(author, topic, media, tag, no_replies, no_shares)


Filtered = Annotated[FeedFilter, Depends(_filter)]
