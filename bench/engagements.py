"""The events of the job, and what any system must make of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import count as counting
from random import Random

from schemas.events import Engagement, EngagementAction
from schemas.partitioning import partition_of

PARTITIONS = 8
SEED = 20_261_121
POSTS = 50_000
USERS = 100_000

_FLATTENING = 10  # how many of the most popular posts are about as popular as the first
_UNLIKED = 0.06
_REPEATED = 0.03
_REMEMBERED = 2_000  # events that may still be repeated or taken back
_FIRST_AT = 1_780_000_000_000
_EVENTS_PER_MS = 10
_JITTER_MS = 50


def last_posts() -> list[str]:
    """For each partition a post that only the last event of the partition is about."""
    found: dict[int, str] = {}
    for number in counting():
        post_id = f"last{number}"
        found.setdefault(partition_of(post_id, PARTITIONS), post_id)
        if len(found) == PARTITIONS:
            return [found[partition] for partition in range(PARTITIONS)]
    raise AssertionError


def engagements(count: int, seed: int = SEED) -> Iterator[Engagement]:
    """Exactly `count` events, the same for the same arguments.

    Likes of 50,000 posts by 100,000 users; a post's popularity falls with its rank as
    1 / (10 + rank). 6 % take a recent like back, 3 % are a recent event once more. Times jitter
    by 50 ms, so that a like may come after the unlike that is newer. The last event of each
    partition likes a post of `last_posts`.

    Raises:
        ValueError: fewer events than partitions.
    """
    if count < PARTITIONS:
        raise ValueError(f"at least {PARTITIONS} events are needed, not {count}")
    random = Random(f"bench:{seed}").random
    recent: deque[Engagement] = deque(maxlen=_REMEMBERED)
    spread = (POSTS + _FLATTENING) / _FLATTENING
    for number in range(count - PARTITIONS):
        chance = random()
        at = _FIRST_AT + number // _EVENTS_PER_MS + int(random() * 2 * _JITTER_MS)
        if chance < _REPEATED and recent:
            yield recent[int(random() * len(recent))]
            continue
        if chance < _REPEATED + _UNLIKED and recent:
            liked = recent[int(random() * len(recent))]
            event = _event(number, "unlike", liked.user_id, liked.post_id, at)
        else:
            rank = int(_FLATTENING * spread ** random()) - _FLATTENING
            user_id = f"user{int(random() * USERS)}"
            event = _event(number, "like", user_id, f"post{rank}", at)
        recent.append(event)
        yield event
    for number, post_id in enumerate(last_posts(), count - PARTITIONS):
        yield _event(number, "like", "user0", post_id, _FIRST_AT + number)


def _event(
    number: int, action: EngagementAction, user_id: str, post_id: str | None, at: int
) -> Engagement:
    return Engagement(
        event_id=f"e{number:08}", action=action, user_id=user_id, post_id=post_id, at=at
    )


class Tally:
    """A plain fold over the events: the likes of each post."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], tuple[int, str, bool]] = {}

    def add(self, event: Engagement) -> None:
        """Fold an event in."""
        assert event.post_id is not None
        key = (event.post_id, event.user_id)
        fact = (event.at, event.event_id, event.action == "like")
        if key not in self._newest or fact > self._newest[key]:
            self._newest[key] = fact

    @property
    def reactions(self) -> int:
        """Pairs of a post and a user."""
        return len(self._newest)

    def likes(self) -> dict[str, int]:
        """Of every post that an event was about."""
        found: dict[str, int] = {}
        for (post_id, _), (_, _, is_liked) in self._newest.items():
            found[post_id] = found.get(post_id, 0) + is_liked
        return found
