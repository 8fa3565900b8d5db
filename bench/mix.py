"""All that users do with posts and with each other."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from random import Random

import msgspec

from bench.engagements import PARTITIONS, SEED, last_posts
from schemas.events import Engagement, EngagementAction, Post
from schemas.partitioning import partition_of

USERS = 50_000
POSTS = 20_000
SHARES = {
    "view": 400,
    "like": 200,
    "click": 80,
    "react": 60,
    "comment": 60,
    "like of a comment": 50,
    "profile_view": 40,
    "unlike": 30,
    "share": 30,
    "message": 25,
    "hide": 10,
    "report": 5,
    "unshare": 5,
    "comment_deleted": 5,
}
"""Of 1,000 events: an assumption. People look at more than they like, like more than they say, and
say more than they spread; little is taken back, and less is hidden or reported."""

_BETWEEN_USERS = ("message", "profile_view")
_TAKEN_BACK = {
    "unlike": "like",
    "unshare": "share",
    "comment_deleted": "comment",
    "like of a comment": "comment",
}
_KINDS = ("love", "laugh", "wow", "sad", "angry")
_REPEATED = 0.03
_ANSWERS = 0.2
_HOT = 0.5
_REMEMBERED = 2_000  # of each kind, that may still be taken back, liked or answered
_EVENTS_PER_MS = 10
_JITTER_MS = 50
_ACTIONS = list(SHARES)
_BOUNDS = list(accumulate(SHARES.values()))
_TO_ANOTHER = sum(SHARES[action] for action in _BETWEEN_USERS) / _BOUNDS[-1]


def user(number: int) -> str:
    """The id of a user."""
    return f"user{number:07}"


def post(number: int) -> str:
    """The id of a post."""
    return f"post{number:022}"


@cache
def authors() -> dict[str, str]:
    """Who wrote each post, among them those that end a partition."""
    found = {post(number): user(number * 7_919 % USERS) for number in range(POSTS)}
    return found | {post_id: f"author-of-{post_id}" for post_id in last_posts()}


@cache
def last_users() -> list[str]:
    """For each partition a user who does nothing but like `last_posts`."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < PARTITIONS:
        user_id = f"last-user{number}"
        found.setdefault(partition_of(user_id, PARTITIONS), user_id)
        number += 1
    return [found[partition] for partition in range(PARTITIONS)]


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """`count` events by 50,000 users on `post_count` posts, the same for the same fields: each post
    as likely as another, or, if one is hot, half of all events on the first. Actions are as in
    `SHARES`, and 3 % are a recent event once more. Times begin at `began_at` (ms) and jitter by 50
    ms, so that what is taken back may come first. The last events of each partition are likes of
    its own post of `last_posts` by all `last_users`: they come last in all logs."""

    count: int
    began_at: int
    is_hot: bool = False
    post_count: int = POSTS

    def posts(self) -> Iterator[Post]:
        """The posts, made before the first event."""
        unused = {post(number) for number in range(self.post_count, POSTS)}
        made = ((name, author) for name, author in authors().items() if name not in unused)
        for number, (post_id, author_id) in enumerate(made):
            yield Post(
                event_id=f"p{number:07}",
                action="created",
                post_id=post_id,
                author_id=author_id,
                at=self.began_at - 1,
                content="nothing new",
            )

    def events(self) -> Iterator[Engagement]:
        """The engagements.

        Raises:
            ValueError: fewer than a last event for each pair of partitions.
        """
        ends = [(post_id, user_id) for post_id in last_posts() for user_id in last_users()]
        if self.count < len(ends):
            raise ValueError(f"at least {len(ends)} events are needed, not {self.count}")
        random = Random(f"mix:{SEED}")
        recent: deque[Engagement] = deque(maxlen=_REMEMBERED)
        done: dict[str, deque[Engagement]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        for number in range(self.count - len(ends)):
            if recent and random.random() < _REPEATED:
                yield random.choice(recent)
                continue
            event = self._event(number, random, done)
            recent.append(event)
            done[event.action].append(event)
            yield event
        for number, (post_id, user_id) in enumerate(ends, self.count - len(ends)):
            at = self.began_at + number // _EVENTS_PER_MS
            yield _made(number, "like", user_id, at, post_id=post_id)

    def _event(self, number: int, random: Random, done: dict[str, deque[Engagement]]) -> Engagement:
        (what,) = random.choices(_ACTIONS, cum_weights=_BOUNDS)
        at = self.began_at + number // _EVENTS_PER_MS + int(random.random() * 2 * _JITTER_MS)
        user_id = user(int(random.random() * USERS))
        before = done[_TAKEN_BACK[what]] if what in _TAKEN_BACK else None
        if before:
            return _after(number, what, user_id, at, random.choice(before))
        if what in _TAKEN_BACK:  # nothing yet that could be
            what = "like"
        if what in _BETWEEN_USERS:
            target = user(int(random.random() * USERS))
            return _made(number, what, user_id, at, target=target)
        chance = random.random()
        is_hot = self.is_hot and chance < _HOT / (1 - _TO_ANOTHER)
        post_id = post(0 if is_hot else int(random.random() * self.post_count))
        if what == "comment":
            parent = None
            if done["comment"] and random.random() < _ANSWERS:
                answered = random.choice(done["comment"])
                post_id, parent = answered.post_id or "", answered.comment_id
            name = f"c{number:08}"
            return _made(
                number,
                what,
                user_id,
                at,
                post_id=post_id,
                comment_id=name,
                text="so",
                parent=parent,
            )
        if what == "react":
            return _made(number, what, user_id, at, post_id=post_id, kind=random.choice(_KINDS))
        return _made(number, what, user_id, at, post_id=post_id)


def _made(number: int, action: str, user_id: str, at: int, **more: str | None) -> Engagement:
    named: EngagementAction = action  # type: ignore[assignment]
    return Engagement(event_id=f"e{number:08}", action=named, user_id=user_id, at=at, **more)  # type: ignore[arg-type]


def _after(number: int, what: str, user_id: str, at: int, before: Engagement) -> Engagement:
    """Something is taken back by who did it, or someone likes a comment."""
    if what == "like of a comment":
        return _made(
            number, "like", user_id, at, post_id=before.post_id, comment_id=before.comment_id
        )
    return _made(
        number, what, before.user_id, at, post_id=before.post_id, comment_id=before.comment_id
    )
