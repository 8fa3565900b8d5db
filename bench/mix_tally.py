"""What the mix comes to: a plain fold over its events."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from bench.mix import authors
from schemas.events import Engagement
from schemas.views import CountersView

DECAY_PER_DAY = 0.9
AVERSION_PER_DAY = 0.72
DAY_MS = 86_400_000
WEIGHTS = {"like": 2, "comment": 5, "share": 8, "message": 10, "profile_view": 1, "hide": 5}
"""Of what brings users closer, whatever the kind of a reaction; a hide makes averse."""

_MARKS = {"view": "views", "click": "clicks", "report": "reports"}

Stamped = tuple[int, str, Engagement]
Scores = dict[tuple[str, str], float]
Actor = tuple[int, str, str]
"""When a user did something (ms), who, and by which comment."""


class Mine(msgspec.Struct, frozen=True, array_like=True):
    """What a user did with a post: a reaction of a kind, a share and a hide, and since when (ms)
    these are in force; 0 for not at all."""

    reaction: str | None = None
    reacted_at: int = 0
    shared_at: int = 0
    hidden_at: int = 0


class Tally:
    """A plain fold over the events, in any order: what must be shown in the end."""

    def __init__(self) -> None:
        self._reacted: dict[tuple[str, str], Stamped] = {}
        self._shared: dict[tuple[str, str], Stamped] = {}
        self._liked: dict[tuple[str, str, str], Stamped] = {}
        self._comments: dict[tuple[str, str], Stamped] = {}
        self._deleted: set[tuple[str, str]] = set()
        self._hidden: dict[tuple[str, str], int] = {}
        self._marked: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._direct: dict[tuple[str, str], Engagement] = {}

    def add(self, event: Engagement) -> None:
        """Fold an event in."""
        post_id, user_id = event.post_id or "", event.user_id
        stamped = (event.at, event.event_id, event)
        match event.action:
            case "message" | "profile_view":
                self._direct[user_id, event.event_id] = event
            case "comment_deleted":
                self._deleted.add((post_id, event.comment_id or ""))
            case "comment":
                key = (post_id, event.comment_id or "")
                self._comments[key] = min(stamped, self._comments.get(key, stamped), key=_stamp)
            case "share" | "unshare":
                _newest(self._shared, (post_id, user_id), stamped)
            case "hide":
                key = (post_id, user_id)
                self._hidden[key] = min(event.at, self._hidden.get(key, event.at))
            case "view" | "click" | "report":
                self._marked[post_id, event.action].add(user_id)
            case _ if event.comment_id:
                _newest(self._liked, (post_id, event.comment_id, user_id), stamped)
            case _:
                _newest(self._reacted, (post_id, user_id), stamped)

    def _comments_there(self) -> Iterator[tuple[tuple[str, str], Engagement]]:
        for key, (_, _, event) in self._comments.items():
            if key not in self._deleted:
                yield key, event

    def counters(self) -> dict[str, CountersView]:
        """The counts of each post that has any."""
        kinds: dict[str, Counter[str]] = defaultdict(Counter)
        for (post_id, _), (_, _, event) in self._reacted.items():
            if event.action != "unlike":
                kinds[post_id][event.kind or "like"] += 1
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for (post_id, _), _ in self._comments_there():
            counts[post_id]["comments"] += 1
        for (post_id, _), (_, _, event) in self._shared.items():
            counts[post_id]["shares"] += event.action == "share"
        for post_id, _ in self._hidden:
            counts[post_id]["hides"] += 1
        for (post_id, action), users in self._marked.items():
            counts[post_id][_MARKS[action]] = len(users)
        return {
            post_id: CountersView(post_id, dict(kinds[post_id]), **counts[post_id])
            for post_id in {*kinds, *counts}
        }

    def comments(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(post, comment) to likes and replies, of each comment that is there."""
        likes = Counter(
            (post_id, name)
            for (post_id, name, _), (_, _, event) in self._liked.items()
            if event.action != "unlike"
        )
        there = dict(self._comments_there())
        replies = Counter((post_id, event.parent) for (post_id, _), event in there.items())
        return {key: (likes[key], replies[key]) for key in there}

    def affinities(self, now: int) -> Scores:
        """(user, the other) to how close they are at a time (ms)."""
        facts = [(user_id, other, kind, at) for user_id, other, kind, _, at, _ in self._acts()]
        for event in self._direct.values():
            if event.target is not None and event.target != event.user_id:
                facts.append((event.user_id, event.target, event.action, event.at))
        return _faded(facts, now, DECAY_PER_DAY)

    def aversions(self, now: int) -> Scores:
        """(user, the other) to how averse the user is at a time (ms)."""
        facts = [
            (user_id, authors()[post_id], "hide", at)
            for (post_id, user_id), at in self._hidden.items()
            if user_id != authors()[post_id]
        ]
        return _faded(facts, now, AVERSION_PER_DAY)

    def mine(self) -> dict[tuple[str, str], Mine]:
        """(user, post) to what the user did with it, where anything of that is in force."""
        found: dict[tuple[str, str], Mine] = defaultdict(Mine)
        for (post_id, user_id), (at, _, event) in self._reacted.items():
            if event.action != "unlike":
                mine = Mine(event.kind or "like", reacted_at=at)
                found[user_id, post_id] = mine
        for (post_id, user_id), (at, _, event) in self._shared.items():
            if event.action == "share":
                key = (user_id, post_id)
                found[key] = replace(found[key], shared_at=at)
        for (post_id, user_id), at in self._hidden.items():
            key = (user_id, post_id)
            found[key] = replace(found[key], hidden_at=at)
        return dict(found)

    def notifications(self) -> dict[tuple[str, str, str], set[Actor]]:
        """(user, kind, post) to all that others did of this kind with the user's post, or in answer
        to the user's comments there."""
        found: dict[tuple[str, str, str], set[Actor]] = defaultdict(set)
        for user_id, author_id, kind, post_id, at, item in self._acts():
            found[author_id, kind, post_id].add((at, user_id, item))
        there = dict(self._comments_there())
        for (post_id, name), answer in there.items():
            answered = there.get((post_id, answer.parent or ""))
            if answered and answered.user_id not in (answer.user_id, authors()[post_id]):
                key = (answered.user_id, "comment_reply", post_id)
                found[key].add((answer.at, answer.user_id, name))
        return dict(found)

    def _acts(self) -> Iterator[tuple[str, str, str, str, int, str]]:
        """Who did what to whom, with which post, when, and by which comment."""
        done = [
            (key, "like", at, "")
            for key, (at, _, e) in self._reacted.items()
            if e.action != "unlike"
        ]
        done += [
            (key, "share", at, "")
            for key, (at, _, e) in self._shared.items()
            if e.action == "share"
        ]
        done += [
            ((post_id, event.user_id), "comment", event.at, name)
            for (post_id, name), event in self._comments_there()
        ]
        for (post_id, user_id), kind, at, item in done:
            author_id = authors()[post_id]
            if user_id != author_id:
                yield user_id, author_id, kind, post_id, at, item


def _faded(facts: Iterable[tuple[str, str, str, int]], now: int, per_day: float) -> Scores:
    """The sums of what (user, the other, what, at) weighs, faded to `per_day` in a day."""
    found: Scores = defaultdict(float)
    for user_id, other, what, at in facts:
        found[user_id, other] += WEIGHTS[what] * per_day ** ((now - at) / DAY_MS)
    return dict(found)


def _stamp(stamped: Stamped) -> tuple[int, str]:
    return stamped[:2]


def _newest(rows: dict[Any, Stamped], key: tuple[str, ...], stamped: Stamped) -> None:
    if key not in rows or _stamp(stamped) > _stamp(rows[key]):
        rows[key] = stamped
