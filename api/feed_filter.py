"""Which posts of a timeline a request asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from pydantic import BaseModel, Field

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

    def reasons(self, reasons: Sequence[str]) -> Sequence[str]:
        """The reasons for which a post is asked for."""
        if not self.no_shares:
            return reasons
        return [reason for reason in reasons if not reason.startswith(SHARED)]


EVERYTHING = FeedFilter()
"""What is asked for without a filter; nobody else is given the same."""


def _primary(language: str | None) -> str:
    """The first part of a language tag: `en` of `en-GB`."""
    return (language or "").partition("-")[0].casefold()


class FilterQuery(BaseModel):
    """The parameters that ask for some posts only."""

    author: Id | None = Field(None, description="Only posts by this user.")
    topic: TopicName | None = Field(
        None, description="Only posts with this hashtag, with the # or without."
    )
    media: Literal["image", "video", "audio", "link"] | None = Field(
        None, description="Only posts with media of this kind."
    )
    language: str | None = Field(
        None, pattern=r"^[A-Za-z]{2,3}$", description="Only posts in this language."
    )
    no_replies: bool = Field(False, description="No posts that answer others.")
    no_shares: bool = Field(
        False, description="No posts that are there only because someone shared them."
    )

    def filter(self) -> FeedFilter:
        """What they ask for."""
        tag = None if self.language is None else self.language.casefold()
        found = FeedFilter(
            self.author, self.topic, self.media, tag, self.no_replies, self.no_shares
        )
        return EVERYTHING if found == EVERYTHING else found
