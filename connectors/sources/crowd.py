"""Makes one event after the other, as a crowd of people on a network would."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from math import exp, log
from random import Random
from typing import Any, TypeVar

from msgspec.structs import replace

from connectors.sources import phrases
from connectors.sources.people import LivePost, People
from connectors.sources.writing import Desk
from schemas.events import (
    Engagement,
    EngagementAction,
    Event,
    Follow,
    FollowAction,
    Post,
    Surface,
    User,
)

T = TypeVar("T")
Maker = Callable[[int], Event | None]

VIRAL_FADE_MS = 45 * 60 * 1000
_VIRAL_SHARE = 0.6  # of all engagements, at a viral post's height
_POSTS_KEPT = 4_096
_REMEMBERED = 4_096
_NEWEST_POSTS = 400  # engagements fall on posts back to about here, newer ones more
_ANSWERS, _REPLIES = 0.2, 0.13  # of the posts answer one; of all, reply (the others quote)
_FAVOURITES = 0.1  # of the follows
_AFTER_VIEW = 0.6  # of the likes, comments, shares ... come from someone who just saw the post

_SURFACES: tuple[Surface | None, ...] = (
    *(Surface(feed="home", position=n) for n in range(20)),
    *(Surface(feed="home", position=n, experiment="rank-b") for n in range(10)),
    *(Surface(feed="latest", position=n) for n in range(10)),
    *[None] * 20,
)


class Crowd:
    """A crowd with a memory of what it did lately, so that things are taken back, answered,
    spread. The same pairs, seed and times give the same events.

    Args:
        pairs: Who follows whom at first.
        seed: Names all ids too: `g<seed>:...`.
        viral_at: When a post goes viral, ascending.
    """

    def __init__(
        self, pairs: Iterable[tuple[str, str]], seed: int, viral_at: Iterator[int]
    ) -> None:
        self._rng = Random(f"crowd:{seed}")
        self._people = People(pairs, self._rng)
        self._desk = Desk(self._people, self._rng)
        self._prefix = f"g{seed}:"
        self._count = 0
        self._posts: list[LivePost] = []
        self._posted = 0
        self._viral: tuple[LivePost, int] | None = None
        self._viral_times = viral_at
        self._next_viral_at = next(viral_at, None)
        self._viewed: list[tuple[str, LivePost]] = []
        self._reacted: list[tuple[str, LivePost]] = []
        self._shared: list[tuple[str, LivePost]] = []
        self._commented: list[tuple[str, LivePost, str]] = []
        self._blocks: list[tuple[str, str]] = []
        self._mutes: list[tuple[str, str]] = []
        self._topics: list[tuple[str, str]] = []
        mix: list[tuple[float, Maker]] = [
            (540, self._view),
            (170, self._like),
            (55, self._simple("click")),
            (70, self._post),
            (40, self._comment),
            (30, self._share),
            (25, self._react),
            (20, self._like_comment),
            (20, self._toward("profile_view")),
            (10, self._toward("message")),
            (10, self._follow),
            (8, self._unlike),
            (5, self._simple("hide")),
            (4, self._unfollow),
            (4, self._read),
            (4, self._follow_topic),
            (1, self._unfollow_topic),
            (3, self._edit),
            (3, self._uncomment),
            (3, self._unshare),
            (2, self._delete),
            (0.8, self._simple("report")),
            (0.6, self._mute),
            (0.4, self._block),
            (0.2, self._unblock),
        ]
        self._makers = [maker for _, maker in mix]
        self._mix = list(accumulate(weight for weight, _ in mix))
        self._next_makers: list[Maker] = []

    def event(self, at: int) -> Event:
        """The next event, at the time `at` (ascending from call to call)."""
        if self._next_viral_at is not None and at >= self._next_viral_at:
            self._next_viral_at = next(self._viral_times, None)
            hashtag = f"event{self._count + 1}"
            post = self._publish(self._people.star(), at, visibility="public", hashtag=hashtag)
            self._viral = (post, at)
            return post.event
        if not self._next_makers:
            self._next_makers = self._rng.choices(self._makers, cum_weights=self._mix, k=1024)
        made = self._next_makers.pop()(at)
        return made if made is not None else self._post(at)

    def _id(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"

    def _keep(self, kept: list[T], item: T) -> None:
        if len(kept) < _REMEMBERED:
            kept.append(item)
        else:
            kept[int(self._rng.random() * _REMEMBERED)] = item

    def _take(self, kept: list[T]) -> T | None:
        if not kept:
            return None
        place = int(self._rng.random() * len(kept))
        kept[place], kept[-1] = kept[-1], kept[place]
        return kept.pop()

    # Posts

    def _post(self, at: int) -> Event:
        kind = self._rng.random()
        if kind < _ANSWERS and self._viewed:
            user, seen = self._viewed[int(self._rng.random() * len(self._viewed))]
            if not seen.is_deleted and seen.event.visibility == "public":
                target = seen.event.post_id
                how = "reply_to" if kind < _REPLIES else "quote_of"
                return self._publish(user, at, visibility="public", **{how: target}).event
        return self._publish(self._people.author(), at).event

    def _publish(self, author: str, at: int, **how: Any) -> LivePost:
        event_id = self._id()
        post = self._desk.write(event_id, f"{self._prefix}p{self._count}", author, at, **how)
        if post.event.visibility != "private":
            if len(self._posts) < _POSTS_KEPT:
                self._posts.append(post)
            else:
                self._posts[self._posted % _POSTS_KEPT] = post
            self._posted += 1
        return post

    def _edit(self, at: int) -> Event | None:
        post = self._recent()
        if post is None:
            return None
        spoken = post.event.language or "en"
        post.event = replace(
            post.event,
            event_id=self._id(),
            action="edited",
            at=at,
            content=self._desk.text(post.author, spoken),
        )
        return post.event

    def _delete(self, at: int) -> Event | None:
        post = self._recent()
        if post is None:
            return None
        post.is_deleted = True
        return Post(event_id=self._id(), action="deleted", post_id=post.event.post_id, at=at)

    # Engagements

    def _recent(self) -> LivePost | None:
        """A post that is there, newer ones more often."""
        kept = len(self._posts)
        if not kept:
            return None
        ago = int(-log(1.0 - self._rng.random()) * min(kept, _NEWEST_POSTS) / 3)
        post = self._posts[(self._posted - 1 - min(ago, kept - 1)) % kept]
        return None if post.is_deleted else post

    def _meeting(self, at: int) -> tuple[str, LivePost] | None:
        """Someone and a post that they may see."""
        for _ in range(8):
            post = self._viral_post(at) or self._recent()
            if post is not None:
                user = self._people.engager(post)
                if user is not None:
                    return user, post
        return None

    def _viral_post(self, at: int) -> LivePost | None:
        if self._viral is None:
            return None
        post, since = self._viral
        heat = _VIRAL_SHARE * exp((since - at) / VIRAL_FADE_MS)
        if heat < 0.01 or post.is_deleted:
            self._viral = None
            return None
        return post if self._rng.random() < heat else None

    def _seen(self, at: int) -> tuple[str, LivePost] | None:
        """Someone who just saw a post, or may."""
        if self._viewed and self._rng.random() < _AFTER_VIEW:
            user, post = self._viewed[int(self._rng.random() * len(self._viewed))]
            if not post.is_deleted and not self._people.is_blocked(user, post.author):
                return user, post
        return self._meeting(at)

    def _engage(
        self, action: EngagementAction, at: int, user: str, post: LivePost, **more: Any
    ) -> Engagement:
        return Engagement(
            event_id=self._id(),
            action=action,
            user_id=user,
            post_id=post.event.post_id,
            at=at,
            **more,
        )

    def _view(self, at: int) -> Event | None:
        met = self._meeting(at)
        if met is None:
            return None
        self._keep(self._viewed, met)
        random = self._rng.random
        dwell_ms = int(200 - log(1.0 - random()) * 2500)
        surface = _SURFACES[int(random() * len(_SURFACES))]
        return self._engage("view", at, *met, dwell_ms=dwell_ms, surface=surface)

    def _simple(self, action: EngagementAction) -> Maker:
        def made(at: int) -> Event | None:
            met = self._seen(at)
            return None if met is None else self._engage(action, at, *met)

        return made

    def _like(self, at: int) -> Event | None:
        met = self._seen(at)
        if met is None:
            return None
        self._keep(self._reacted, met)
        return self._engage("like", at, *met)

    def _react(self, at: int) -> Event | None:
        met = self._seen(at)
        if met is None:
            return None
        self._keep(self._reacted, met)
        kind = phrases.REACTIONS[int(self._rng.random() * len(phrases.REACTIONS))]
        return self._engage("react", at, *met, kind=kind)

    def _unlike(self, at: int) -> Event | None:
        taken = self._take(self._reacted)
        return None if taken is None else self._engage("unlike", at, *taken)

    def _comment(self, at: int) -> Event | None:
        met = self._seen(at)
        if met is None:
            return None
        user, post = met
        comment_id = f"{self._prefix}c{self._count}"
        parent = post.last_comment if self._rng.random() < 0.3 else None
        post.last_comment = comment_id
        self._keep(self._commented, (user, post, comment_id))
        text = phrases.COMMENTS[int(self._rng.random() * len(phrases.COMMENTS))]
        return self._engage("comment", at, *met, comment_id=comment_id, text=text, parent=parent)

    def _like_comment(self, at: int) -> Event | None:
        """Like the newest comment of a post, or take that back."""
        met = self._seen(at)
        if met is None or met[1].last_comment is None:
            return None
        action: EngagementAction = "like" if self._rng.random() < 0.9 else "unlike"
        return self._engage(action, at, *met, comment_id=met[1].last_comment)

    def _uncomment(self, at: int) -> Event | None:
        taken = self._take(self._commented)
        if taken is None:
            return None
        user, post, comment_id = taken
        return self._engage("comment_deleted", at, user, post, comment_id=comment_id)

    def _share(self, at: int) -> Event | None:
        met = self._seen(at)
        if met is None or met[1].event.visibility != "public":
            return None
        user, post = met
        self._people.spread(post, user)
        self._keep(self._shared, met)
        return self._engage("share", at, *met, share_id=f"{self._prefix}s{self._count}")

    def _unshare(self, at: int) -> Event | None:
        taken = self._take(self._shared)
        if taken is None:
            return None
        user, post = taken
        post.reach[1:] = [sharer for sharer in post.reach[1:] if sharer != user]
        return self._engage("unshare", at, user, post)

    # People

    def _toward(self, action: EngagementAction) -> Maker:
        def made(at: int) -> Event | None:
            user = self._people.author()
            other = self._people.followee(user)
            if other is None:
                return None
            return Engagement(event_id=self._id(), action=action, user_id=user, target=other, at=at)

        return made

    def _relate(self, action: FollowAction, at: int, user: str, target: str) -> Follow:
        return Follow(event_id=self._id(), action=action, user_id=user, target=target, at=at)

    def _follow(self, at: int) -> Event | None:
        user = self._people.author()
        other = self._people.stranger(user)
        if other is None:
            return None
        self._people.follow(user, other)
        is_favourite = self._rng.random() < _FAVOURITES
        return replace(self._relate("follow", at, user, f"u:{other}"), is_favourite=is_favourite)

    def _read(self, at: int) -> Event | None:
        return User(event_id=self._id(), action="active", user_id=self._people.author(), at=at)

    def _unfollow(self, at: int) -> Event | None:
        user = self._people.author()
        other = self._people.followee(user)
        if other is None:
            return None
        self._people.unfollow(user, other)
        return self._relate("unfollow", at, user, f"u:{other}")

    def _follow_topic(self, at: int) -> Event | None:
        user, topic = self._people.author(), f"t:{phrases.hashtags(self._rng, 1)[0]}"
        self._keep(self._topics, (user, topic))
        return self._relate("follow", at, user, topic)

    def _unfollow_topic(self, at: int) -> Event | None:
        taken = self._take(self._topics)
        return None if taken is None else self._relate("unfollow", at, *taken)

    def _mute(self, at: int) -> Event | None:
        muted = self._take(self._mutes) if self._rng.random() < 0.3 else None
        if muted is not None:
            return self._relate("unmute", at, muted[0], f"u:{muted[1]}")
        user = self._people.author()
        other = self._people.followee(user)
        if other is None:
            return None
        self._keep(self._mutes, (user, other))
        return self._relate("mute", at, user, f"u:{other}")

    def _block(self, at: int) -> Event | None:
        user = self._people.author()
        other = self._people.stranger(user) or self._people.followee(user)
        if other is None or other == user:
            return None
        self._people.block(user, other)
        self._keep(self._blocks, (user, other))
        return self._relate("block", at, user, f"u:{other}")

    def _unblock(self, at: int) -> Event | None:
        taken = self._take(self._blocks)
        if taken is None:
            return None
        self._people.unblock(*taken)
        return self._relate("unblock", at, taken[0], f"u:{taken[1]}")
