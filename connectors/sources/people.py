"""Who follows whom while activity is generated, and who may see what."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from random import Random

from msgspec import Struct

from schemas.events import Post, Visibility

_REACH_MOST = 32
_AUDIENCE_SCAN = 500  # custom and friends-only posts are for people with fewer followers


class LivePost(Struct, eq=False):
    """A post that people meet, with how it is spread: its author and sharers, or a list."""

    event: Post
    author: str
    reach: list[str]
    limited_to: list[str] | None = None
    last_comment: str | None = None
    is_deleted: bool = False


class People:
    """The users, their relations as they change, and how active each is (heavy-tailed)."""

    def __init__(self, pairs: Iterable[tuple[str, str]], rng: Random) -> None:
        self.followers: dict[str, list[str]] = {}
        self.following: dict[str, list[str]] = {}
        for follower, followee in pairs:
            self.following.setdefault(follower, []).append(followee)
            self.followers.setdefault(followee, []).append(follower)
        self.ids = list(dict.fromkeys([*self.following, *self.followers]))
        if not self.ids:
            raise ValueError("activity needs people who follow each other, there are no pairs")
        self.level = {user: min(rng.paretovariate(1.2), 200.0) for user in self.ids}
        self._rng = rng
        self._blocked: set[tuple[str, str]] = set()
        self._weights = list(accumulate(self.level.values()))
        self._next_authors: list[str] = []

    def author(self) -> str:
        """Someone who writes, heavy users more often."""
        if not self._next_authors:
            self._next_authors = self._rng.choices(self.ids, cum_weights=self._weights, k=1024)
        return self._next_authors.pop()

    def star(self) -> str:
        """The one with the most followers out of twenty."""
        some = [self.author() for _ in range(20)]
        return max(some, key=lambda user: len(self.followers.get(user, ())))

    def followee(self, user: str) -> str | None:
        """One whom the user follows."""
        others = self.following.get(user)
        return others[int(self._rng.random() * len(others))] if others else None

    def stranger(self, user: str) -> str | None:
        """One whom a followee of the user follows, and the user does not."""
        via = self.followee(user)
        other = self.followee(via) if via is not None else None
        if other is None or other == user or other in self.following[user]:
            return None
        return None if self.is_blocked(user, other) else other

    def engager(self, post: LivePost) -> str | None:
        """Someone who may see the post, the more active of two, or None if nobody may."""
        random = self._rng.random
        others = post.limited_to
        if others is None:
            reach = post.reach
            others = self.followers.get(reach[int(random() * len(reach))])
            if not others:
                others = self.followers.get(post.author)
        if not others:
            return None
        size = len(others)
        user, rival = others[int(random() * size)], others[int(random() * size)]
        if self.level[rival] > self.level[user]:
            user = rival
        if user == post.author or (self._blocked and self.is_blocked(user, post.author)):
            return None
        return user

    def audience(self, author: str, visibility: Visibility) -> list[str] | None:
        """Who may see a custom or friends-only post by the author; None: use another kind."""
        followers = self.followers.get(author, [])
        if not 0 < len(followers) <= _AUDIENCE_SCAN:
            return None
        if visibility == "custom":
            some = self._rng.choices(followers, k=8)
            return list(dict.fromkeys(some))
        mine = set(self.following.get(author, ()))
        return [user for user in followers if user in mine] or None

    def spread(self, post: LivePost, sharer: str) -> None:
        """The sharer's followers can now see the post."""
        if len(post.reach) < _REACH_MOST:
            post.reach.append(sharer)
        else:
            post.reach[1 + int(self._rng.random() * (_REACH_MOST - 1))] = sharer

    def follow(self, user: str, other: str) -> None:
        """The user follows the other from now on."""
        self.following.setdefault(user, []).append(other)
        self.followers.setdefault(other, []).append(user)

    def unfollow(self, user: str, other: str) -> None:
        """The user follows the other no more, if they did."""
        others = self.following.get(user, [])
        if other in others:
            others.remove(other)
            self.followers[other].remove(user)

    def block(self, user: str, other: str) -> None:
        """Neither follows nor sees the other."""
        self.unfollow(user, other)
        self.unfollow(other, user)
        self._blocked.add((user, other))

    def unblock(self, user: str, other: str) -> None:
        """The block is lifted; no follow comes back."""
        self._blocked.discard((user, other))

    def is_blocked(self, user: str, other: str) -> bool:
        """Whether either blocks the other."""
        return (user, other) in self._blocked or (other, user) in self._blocked
