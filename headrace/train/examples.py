"""Examples to learn from: posts as they were when a user saw them, and what came of it; no I/O.

Of each only what came before in the log is known, the event itself excluded.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from random import Random
from typing import Literal

from msgspec import Struct

from api.ranking.features import HOUR_MS, Features
from headrace.train.history import POSITIVE, History, Known
from schemas.events import Engagement, Event, Post

Exposures = Literal["views", "sampled"]

ANSWER_MS = 24 * HOUR_MS
"""For so long after it was seen, engagement with a post counts."""
MAX_WAITING = 500_000
CANDIDATES = 500
"""Of the newest public posts, those of which examples are sampled."""
DRAWN = 3
"""For each that is wanted: some are the user's own, or known to the user."""
YOUNGEST_MS = 60_000
"""Sampled posts are older: that one exists may be known by its first share alone, as of a retweet
whose original is not in the log (connectors/sources/higgs.py), and its age would tell."""


class Example(Struct, gc=False):
    """A post toward a user at a time (`at`, ms); examples of one group are ranked together.

    `engaged_at` (ms) is when the user engaged with it, None if never.
    """

    at: int
    group: str
    row: Features
    engaged_at: int | None = None


def examples_of(
    events: Iterable[Event], exposures: Exposures, negatives: int, most: int, seed: int
) -> deque[Example]:
    """The newest examples, `most` at most, of events in the order of the log.

    Args:
        exposures: `views`: one for each `view` of a post of another, engaged if the same user
            reacts to it, comments or shares within 24 h; what a user views in one hour is a group.
            `sampled`, for a log without views: each engagement with a post of another is one, and
            `negatives` of the newest 500 public posts, which the user has not engaged with, are
            others of its group.
        negatives: See above.
        most: So many are kept.
        seed: Of the sample.
    """
    found: deque[Example] = deque(maxlen=most)
    maker = _Viewed() if exposures == "views" else _Sampled(negatives, seed)
    history = History()
    for event in events:
        found.extend(maker.before(event, history))
        history.add(event)
        maker.after(event)
    return found


def _has_engaged(known: Known, user_id: str) -> bool:
    return any(known.has(kind, user_id) for kind in ("like", "share", "commented"))


def _is_open(known: Known, event: Engagement) -> bool:
    """Whether a post is another's, old enough, and the user of an event had not engaged with it."""
    is_others = known.view.author_id != event.user_id
    is_old = known.view.at <= event.at - YOUNGEST_MS
    return is_others and is_old and not _has_engaged(known, event.user_id)


class _Viewed:
    """Views, and what follows them."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[str, str], Example] = OrderedDict()

    def before(self, event: Event, history: History) -> Iterator[Example]:
        if not isinstance(event, Engagement) or event.post_id is None:
            return
        key = event.user_id, event.post_id
        if event.action in POSITIVE:
            example = self._waiting.pop(key, None)
            if example is not None and event.at <= example.at + ANSWER_MS:
                example.engaged_at = event.at
            return
        known = history.post(event.post_id)
        if event.action != "view" or known is None or key in self._waiting:
            return
        if known.view.author_id == event.user_id or _has_engaged(known, event.user_id):
            return
        group = f"{event.user_id} {event.at // HOUR_MS}"
        example = Example(event.at, group, history.row(event.user_id, known, event.at))
        self._waiting[key] = example
        yield example

    def after(self, event: Event) -> None:
        while self._waiting:
            oldest = next(iter(self._waiting.values()))
            if oldest.at >= event.at - ANSWER_MS and len(self._waiting) <= MAX_WAITING:
                return
            self._waiting.popitem(last=False)


class _Sampled:
    """Engagements, and posts that were there as well."""

    def __init__(self, negatives: int, seed: int) -> None:
        self._negatives = negatives
        self._random = Random(seed)
        self._newest: list[str] = []
        self._posts = 0

    def before(self, event: Event, history: History) -> Iterator[Example]:
        if not isinstance(event, Engagement) or event.action not in POSITIVE:
            return
        known = history.post(event.post_id)
        if known is None or not _is_open(known, event):
            return
        drawn = min(len(self._newest), DRAWN * self._negatives)
        others: list[Known] = []
        for post_id in self._random.sample(self._newest, drawn):
            other = history.post(post_id)
            if other is None or other is known or not _is_open(other, event):
                continue
            if len(others) < self._negatives:
                others.append(other)
        for each in (known, *others):
            row = history.row(event.user_id, each, event.at)
            engaged_at = event.at if each is known else None
            yield Example(event.at, event.event_id, row, engaged_at)

    def after(self, event: Event) -> None:
        is_new = isinstance(event, Post) and event.action == "created"
        if is_new and isinstance(event, Post) and event.visibility == "public":
            place = self._posts % CANDIDATES
            self._newest[place : place + 1] = [event.post_id]
            self._posts += 1
