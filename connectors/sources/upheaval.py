"""Upheaval: beside a crowd's everyday, all that the rules provide for and that is rare."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import get_args

from connectors.sources import phrases
from schemas.changes import CHANGEABLE
from schemas.events import (
    Engagement,
    EngagementAction,
    Event,
    Feedback,
    FeedbackAction,
    Follow,
    FollowAction,
    Moderation,
    ModerationAction,
    Post,
    User,
    UserAction,
    Visibility,
)
from schemas.views import NoticeKind

MOST_STEPPED = 4
"""Events of a surge between two of the crowd."""

_VISIBILITIES: tuple[Visibility, ...] = get_args(Visibility)
_POPULAR = ("Sam", "sam", "Alex", "ALEX", "Kim")
_LATE_MS = 10 * 60 * 1000
_POSTS = 200
_COMMENTS = 3
_BEFORE_ITS_TIME = 0.05
_SURGE_EVERY = 500
_OVER = 1.2
_LEAVE = 0.4
_FAVOURITES = 0.5  # of the follows
_EDITS = 0.7  # of the profiles
_CHANGEABLE = sorted(CHANGEABLE)

Maker = Callable[[int], Event]


class Upheaval:
    """Comes between the events of a crowd, about as many: posts change who may see them, people
    follow, block and mute anybody, change their minds, go, come back and are erased; of what a
    producer sends, some comes before its time. Surges of followers make a source heavy and light;
    posts are reported by many at once, and moderators judge some of them.

    The same events, people and seed give the same. Ids begin with `x<seed>:`.

    Args:
        people: Who takes part.
        seed: Of the choices.
        crossing: Followers that make a source heavy. There are no surges where people are fewer.
        outcry: Users whose reports hide a post.
    """

    def __init__(self, people: Sequence[str], seed: int, crossing: int, outcry: int) -> None:
        self._people = people
        self._rng = Random(f"upheaval:{seed}")
        self._edits = Random(f"edits:{seed}")
        self._prefix = f"x{seed}:"
        self._count = 0
        self._posts: deque[Post] = deque(maxlen=_POSTS)
        self._crossing = int(crossing * _OVER)
        self._outcry_size = outcry
        self._surge: deque[Maker] = deque()
        kinds: list[tuple[float, Maker]] = [
            (20, self._edit),
            (3, self._delete),
            (24, self._engage("like", "react", "unlike", "unlike")),
            (24, self._engage("share", "share", "unshare")),
            (16, self._engage("comment", "comment", "comment_deleted")),
            (8, self._engage("view", "click", "hide", "report")),
            (6, self._engage("message", "profile_view")),
            (30, self._relate("follow", "follow", "unfollow")),
            (12, self._relate("block", "unblock", "follow")),
            (10, self._relate("mute", "mute", "unmute")),
            (8, self._opine),
            (4, self._see),
            (8, self._be("profile", "active", "deactivated", "reactivated")),
            (0.4, self._be("deleted")),
            (1.5, self._outcry),
            (1, self._judge),
        ]
        self._kinds = [kind for _, kind in kinds]
        self._weights = list(accumulate(weight for weight, _ in kinds))

    def among(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events, and those that come between."""
        for number, event in enumerate(events, 1):
            if isinstance(event, Post) and event.action == "created":
                self._posts.append(event)
                if self._rng.random() < _BEFORE_ITS_TIME:
                    yield from self._before(event)
            yield event
            if number % _SURGE_EVERY == 0 and not self._surge:
                self._begin_surge()
            for _ in range(min(MOST_STEPPED, len(self._surge))):
                yield self._surge.popleft()(event.at)
            if self._posts:
                (kind,) = self._rng.choices(self._kinds, cum_weights=self._weights)
                yield kind(event.at)

    def _id(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"

    def _time(self, at: int) -> int:
        """The time of an event, by a clock that may be behind."""
        return at - int(self._rng.random() ** 4 * _LATE_MS)

    def _person(self) -> str:
        return self._people[int(self._rng.random() * len(self._people))]

    def _post(self) -> Post:
        return self._posts[int(self._rng.random() * len(self._posts))]

    # Posts

    def _before(self, post: Post) -> Iterator[Event]:
        """What comes of a post before the post itself."""
        user = self._person()
        for action in ("like", "share", "comment"):
            yield self._engagement(action, post.at, user, post)
        yield self._edited(post, post.at + 1)
        if self._rng.random() < 0.5:
            yield self._deleted(post, post.at + 2)

    def _edit(self, at: int) -> Event:
        return self._edited(self._post(), self._time(at))

    def _edited(self, post: Post, at: int) -> Post:
        visibility = self._rng.choice(_VISIBILITIES)
        some = self._rng.choices(self._people, k=8) if visibility == "custom" else ()
        return Post(
            event_id=self._id(),
            action="edited",
            post_id=post.post_id,
            author_id=post.author_id if self._rng.random() < 0.9 else None,
            at=at,
            content=self._text(post.language or "en"),
            language=self._rng.choice((post.language, *phrases.LANGUAGES, None)),
            visibility=visibility,
            audience=tuple(dict.fromkeys(some)),
            reply_to=post.reply_to,
        )

    def _text(self, language: str) -> str:
        name = self._rng.choice(_POPULAR) if self._rng.random() < 0.2 else None
        return phrases.text(self._rng, language, name)

    def _delete(self, at: int) -> Event:
        return self._deleted(self._post(), at)

    def _deleted(self, post: Post, at: int) -> Post:
        return Post(event_id=self._id(), action="deleted", post_id=post.post_id, at=at)

    def _created(self, author: str, content: str, at: int) -> Post:
        event_id = self._id()
        post = Post(
            event_id=event_id,
            action="created",
            post_id=f"{event_id}p",
            author_id=author,
            at=at,
            content=content,
        )
        self._posts.append(post)
        return post

    # Engagements and people

    def _engage(self, *actions: EngagementAction) -> Maker:
        def make(at: int) -> Event:
            action = self._rng.choice(actions)
            return self._engagement(action, self._time(at), self._person(), self._post())

        return make

    def _engagement(self, action: EngagementAction, at: int, user: str, post: Post) -> Engagement:
        is_comment = action in ("comment", "comment_deleted") or (
            action in ("like", "react", "unlike") and self._rng.random() < 0.3
        )
        is_toward_user = action in ("message", "profile_view")
        number = int(self._rng.random() * _COMMENTS)
        return Engagement(
            event_id=self._id(),
            action=action,
            user_id=user,
            at=at,
            post_id=None if is_toward_user else post.post_id,
            target=post.author_id if is_toward_user else None,
            kind=self._rng.choice(phrases.REACTIONS) if action == "react" else None,
            comment_id=f"{post.post_id}c{number}" if is_comment else None,
            text=self._rng.choice(phrases.COMMENTS) if action == "comment" else None,
            parent=f"{post.post_id}c{int(self._rng.random() * _COMMENTS)}" if is_comment else None,
        )

    def _relate(self, *actions: FollowAction) -> Maker:
        def make(at: int) -> Event:
            action = self._rng.choice(actions)
            user, other = self._person(), self._person()
            target = f"u:{other}"
            if other == user or (self._rng.random() < 0.2 and "block" not in actions):
                target = self._topic()
            return self._relation(action, self._time(at), user, target)

        return make

    def _topic(self) -> str:
        return f"t:{phrases.hashtags(self._rng, 1)[0]}"

    def _relation(self, action: FollowAction, at: int, user: str, target: str) -> Follow:
        return Follow(
            event_id=self._id(),
            action=action,
            user_id=user,
            target=target,
            at=at,
            is_favourite=action == "follow" and self._rng.random() < _FAVOURITES,
        )

    def _be(self, *actions: UserAction) -> Maker:
        def make(at: int) -> Event:
            user, action = self._person(), self._rng.choice(actions)
            if action == "profile":
                return self._profile(user, at)
            return User(event_id=self._id(), action=action, user_id=user, at=self._time(at))

        return make

    def _profile(self, user: str, at: int) -> User:
        """A whole profile, or an edit of some of it, in which the rest stands for nothing."""
        name, rng = self._name(user), self._edits
        changes = rng.sample(_CHANGEABLE, rng.randint(1, 3))
        silenced = rng.sample(get_args(NoticeKind), 2)
        return User(
            event_id=self._id(),
            action="profile",
            user_id=user,
            at=self._time(at),
            username=name,
            display_name=name,
            verified=rng.random() < 0.5,
            preferences={f"notify.{kind}": "off" for kind in silenced},
            device_tokens=(f"fcm:{user}-{self._count}",),
            changes=tuple(changes) if rng.random() < _EDITS else None,
        )

    def _judge(self, at: int) -> Event:
        return self._verdict(self._post(), self._time(at))

    def _verdict(self, post: Post, at: int) -> Moderation:
        actions: tuple[ModerationAction, ...] = ("hidden", "cleared", "cleared")
        return Moderation(
            event_id=self._id(),
            action=self._rng.choice(actions),
            post_id=post.post_id,
            moderator_id=self._person(),
            at=at,
        )

    def _outcry(self, at: int) -> Event:
        """So many report a post as hide it, after which a moderator may judge it."""
        post = self._post()
        crowd = self._rng.sample(self._people, min(self._outcry_size, len(self._people)))
        for user in crowd[1:]:
            self._surge.append(
                lambda at, user=user: self._engagement("report", self._time(at), user, post)  # type: ignore[misc]
            )
        if self._rng.random() < 0.4:
            self._surge.append(lambda at: self._verdict(post, at))
        return self._engagement("report", self._time(at), crowd[0], post)

    def _opine(self, at: int) -> Event:
        """Say of a person, topic, language or kind of media whether it is of interest."""
        user, other = self._rng.sample(self._people, 2)
        kinds = (f"u:{other}", self._topic(), "l:en", "m:video")
        actions: tuple[FeedbackAction, ...] = ("not_interested", "not_interested", "interested")
        return Feedback(
            event_id=self._id(),
            action=self._rng.choice(actions),
            user_id=user,
            subject=self._rng.choice(kinds),
            at=self._time(at),
        )

    def _see(self, at: int) -> Event:
        """Have seen the notifications up to some time."""
        return User(
            event_id=self._id(),
            action="active",
            user_id=self._person(),
            at=at,
            seen_to=self._time(at),
        )

    def _name(self, user: str) -> str:
        """One that nobody else wants, or one of a few that many do."""
        if self._rng.random() < 0.5:
            return f"{user}-{self._count}"
        return self._rng.choice(_POPULAR)

    # Surges

    def _begin_surge(self) -> None:
        """Many follow a person or a topic, some leave, some of them come again; it posts before,
        between and after."""
        if self._crossing > len(self._people):
            return
        author = self._person()
        is_topic = self._rng.random() < 0.3
        topic = self._topic()
        target = topic if is_topic else f"u:{author}"
        content = f"#{topic[2:]}" if is_topic else "nothing new"
        crowd = [user for user in self._rng.sample(self._people, self._crossing) if user != author]
        leavers = crowd[: int(len(crowd) * _LEAVE)]
        steps: tuple[tuple[FollowAction, Sequence[str]], ...] = (
            ("follow", crowd),
            ("unfollow", leavers),
            ("follow", leavers),
            ("unfollow", crowd),
        )
        for action, users in steps:
            self._surge.append(lambda at: self._created(author, content, at))
            for user in users:
                self._surge.append(
                    lambda at, user=user, action=action: self._relation(action, at, user, target)  # type: ignore[misc]
                )
        self._surge.append(lambda at: self._created(author, content, at))
