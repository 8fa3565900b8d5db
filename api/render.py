"""Views as the API gives them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from msgspec import Raw

from api.feed_models import Explanation
from api.models import Author, CommentOut, Counts, LikedPost, MediaOut, PostOut
from api.sent_page import Sent, SentAuthor, SentCounts, SentPost, as_json
from api.user_models import Person
from api.views import Reader
from schemas.views import CommentCountsView, CommentView, CountersView, PostView, UserView

_EPOCH = datetime(1970, 1, 1)
_MINUTE_MS = 60_000

MOST_USUAL = 20_000
USUAL_SECONDS = 60.0


def rfc3339(at: int) -> str:
    """A time in ms since 1970 as RFC 3339 in UTC, with ms."""
    minute, ms = divmod(at, _MINUTE_MS)
    return f"{_minute(minute)}{ms // 1000:02}.{ms % 1000:03}Z"


@lru_cache(10_000)
def _minute(number: int) -> str:
    """A minute since 1970, up to its seconds: what is read is mostly of the same few days."""
    return (_EPOCH + timedelta(minutes=number)).isoformat(timespec="minutes") + ":"


def author(reader: Reader, user_id: str) -> Author:
    """A user by whom something is."""
    return Author(**_who(reader, user_id))


def _who(reader: Reader, user_id: str) -> dict[str, Any]:
    user = reader.user(user_id)
    return {
        "user_id": user.user_id,
        "username": user.username,
        "display_name": user.display_name,
        "avatar": user.avatar,
        "is_verified": user.is_verified,
    }


def _fields(reader: Reader, post: PostView) -> dict[str, Any]:
    counters = reader.counters(post.post_id)
    return {
        "post_id": post.post_id,
        "user": Author(**_who(reader, post.author_id)),
        "content": post.content,
        "media": [
            MediaOut(url=m.url, kind=m.kind, width=m.width, height=m.height, alt=m.alt)
            for m in post.media
        ],
        "media_urls": [m.url for m in post.media],
        "created_at": rfc3339(post.at),
        "edited_at": None if post.edited_at is None else rfc3339(post.edited_at),
        "visibility": post.visibility,
        "reply_to": post.reply_to,
        "quote_of": post.quote_of,
        "language": post.language,
        "hashtags": list(post.hashtags),
        "mentions": list(post.mentions),
        "like_count": counters.reactions.get("like", 0),
        "comment_count": counters.comments,
        "share_count": counters.shares,
        "view_count": counters.views,
        "counts": Counts(
            reactions=counters.reactions,
            comments=counters.comments,
            shares=counters.shares,
            views=counters.views,
        ),
        "is_liked": reader.known.reactions.get(post.post_id) == "like",
        "my_reaction": reader.known.reactions.get(post.post_id),
        "is_shared": post.post_id in reader.known.shared,
        "is_hidden": post.hidden_by is not None,
    }


def comment_out(reader: Reader, comment: CommentView, counts: CommentCountsView) -> CommentOut:
    """A comment."""
    return CommentOut(
        comment_id=comment.comment_id,
        user=Author(**_who(reader, comment.user_id)),
        text=comment.text,
        parent=comment.parent,
        created_at=rfc3339(comment.at),
        like_count=counts.likes,
        reply_count=counts.replies,
    )


def person(reader: Reader, user_id: str) -> Person:
    """A user in a list."""
    is_following = reader.follows(reader.viewer or "", f"u:{user_id}")
    return Person(**_who(reader, user_id), is_following=is_following)


def post_out(reader: Reader, post: PostView) -> PostOut:
    """A post by itself."""
    return PostOut(**_fields(reader, post))


def liked_post(reader: Reader, post: PostView, reacted_at: int) -> LikedPost:
    """A post to which the viewer reacted at a time (ms)."""
    return LikedPost(**_fields(reader, post), reacted_at=rfc3339(reacted_at))


class Usual(NamedTuple):
    """A post as it is sent to most, and the views that it was made of."""

    post: PostView
    counters: CountersView
    user: UserView
    reasons: Sequence[str]
    at: int
    sent: Raw


class Usuals(dict[str, Usual]):
    """Posts as they are sent to those who have done nothing with them, by id; all are forgotten
    after a minute, or when there are `MOST_USUAL`."""

    _until = -math.inf

    def sent(
        self,
        post: PostView,
        counters: CountersView,
        user: UserView,
        reasons: Sequence[str],
        at: int,
    ) -> Raw:
        """What is sent, encoded; made anew unless it is of the very same views."""
        usual = self.get(post.post_id)
        if (
            usual is None
            or usual.post is not post
            or usual.counters is not counters
            or usual.user is not user
            or usual.at != at
            or usual.reasons != reasons
        ):
            now = time.monotonic()
            if len(self) >= MOST_USUAL or now > self._until:
                self.clear()
                self._until = now + USUAL_SECONDS
            sent = Raw(as_json(_sent(post, counters, user, reasons, at)))
            usual = self[post.post_id] = Usual(post, counters, user, reasons, at, sent)
        return usual.sent


_usuals = Usuals()


def feed_post(
    reader: Reader,
    post: PostView,
    reasons: Sequence[str],
    entry_at: int,
    explanation: Explanation | None = None,
) -> Sent:
    """A post on a timeline, as it is sent."""
    counters, user = reader.counters(post.post_id), reader.user(post.author_id)
    reaction = reader.known.reactions.get(post.post_id)
    is_shared = post.post_id in reader.known.shared
    if reaction is None and not is_shared and explanation is None:
        return _usuals.sent(post, counters, user, reasons, entry_at)
    return _sent(
        post, counters, user, reasons, entry_at, reaction, explanation, is_shared=is_shared
    )


def _sent(
    post: PostView,
    counters: CountersView,
    user: UserView,
    reasons: Sequence[str],
    entry_at: int,
    reaction: str | None = None,
    explanation: Explanation | None = None,
    *,
    is_shared: bool = False,
) -> SentPost:
    created_at = rfc3339(post.at)
    return SentPost(
        post_id=post.post_id,
        user=SentAuthor(
            user.user_id, user.username, user.display_name, user.avatar, user.is_verified
        ),
        content=post.content,
        media=post.media,
        media_urls=[medium.url for medium in post.media],
        created_at=created_at,
        edited_at=None if post.edited_at is None else rfc3339(post.edited_at),
        visibility=post.visibility,
        reply_to=post.reply_to,
        quote_of=post.quote_of,
        language=post.language,
        hashtags=post.hashtags,
        mentions=post.mentions,
        like_count=counters.reactions.get("like", 0),
        comment_count=counters.comments,
        share_count=counters.shares,
        view_count=counters.views,
        counts=SentCounts(counters.reactions, counters.comments, counters.shares, counters.views),
        is_liked=reaction == "like",
        my_reaction=reaction,
        is_shared=is_shared,
        is_hidden=post.hidden_by is not None,
        reasons=reasons,
        entry_at=created_at if entry_at == post.at else rfc3339(entry_at),
        explanation=explanation,
    )
