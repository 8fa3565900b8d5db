"""What is trending, as a process of stock Faust keeps it: the acts upon posts, and two lists."""

from __future__ import annotations

from collections.abc import MutableMapping
from heapq import nsmallest

from schemas.views import TrendingEntry
from streams.trend_scores import (
    BUCKET_MS,
    KEPT_BUCKETS,
    STEPS,
    WINDOWS,
    Rise,
    act_of,
    bucket_of,
    rise,
)

LISTED = 50


class StockTrends:
    """The trends of all posts of a process, by the rules of docs/rules.md, but that all acts of a
    post are kept and not a sample.

    An act costs O(the post's acts); a tick what the posts do that were acted upon, and, once in 5
    minutes, O(all posts).

    Args:
        acts: A post's acts of 48 hours: a table with a changelog.
    """

    def __init__(self, acts: MutableMapping[str, list[str]]) -> None:
        self._acts = acts
        self._touched: set[str] = set()
        self._rises: dict[str, Rise] = {}
        self._bucket = 0

    def act(self, post_id: str, user_id: str, at: int) -> None:
        """A user acts upon a post; once in 5 minutes counts."""
        bucket = at // BUCKET_MS
        act = act_of(user_id, bucket)
        kept = self._acts.get(post_id) or []
        if act not in kept and bucket > self._bucket - KEPT_BUCKETS:
            self._acts[post_id] = [*self._kept(kept), act]
            self._touched.add(post_id)

    def tick(self, at: int) -> dict[str, list[TrendingEntry]]:
        """It is `at` (ms): by window the posts that are on the rise, the first 50 by score and
        then by id; nothing if that cannot have changed since the last tick."""
        bucket = at // BUCKET_MS
        if bucket > self._bucket:
            self._bucket = bucket
            self._touched.update(
                post_id for post_id, found in self._rises.items() if found.changes_at <= bucket
            )
        elif not self._touched:
            return {}
        for post_id in self._touched:
            if acts := self._kept(self._acts.get(post_id) or []):
                self._rises[post_id] = rise(acts, (), bucket)
            else:
                self._rises.pop(post_id, None)
        self._touched.clear()
        return {name: self._first(window) for window, name in enumerate(WINDOWS)}

    def _kept(self, acts: list[str]) -> list[str]:
        return [act for act in acts if bucket_of(act) > self._bucket - KEPT_BUCKETS]

    def _first(self, window: int) -> list[TrendingEntry]:
        rising = (
            (-found.levels[window], post_id, found.standings[window])
            for post_id, found in self._rises.items()
            if found.levels[window]
        )
        return [
            TrendingEntry(post_id, -level / STEPS, found.users, found.velocity, found.is_viral)
            for level, post_id, found in nsmallest(LISTED, rising)
        ]
