"""Diversity: no author takes the page, and no post is lost by it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from api.ranking.weights import Diversity


def author_decay(number: int, weights: Diversity) -> float:
    """The factor upon the score of an author's post that has `number` better ones of the author
    before it: `(1 - floor) * decay ** number + floor`, as in twitter/the-algorithm
    (AuthorBasedListwiseRescoringProvider)."""
    return (1 - weights.floor) * weights.decay**number + weights.floor


class _Shown:
    """The authors of the posts that stand already, as far as they count."""

    def __init__(self, weights: Diversity) -> None:
        self._weights = weights
        self._recent: deque[str] = deque()
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._last: str | None = None
        self._in_a_row = 0

    def add(self, author: str) -> None:
        """A post by an author comes next."""
        self._in_a_row = self._in_a_row + 1 if author == self._last else 1
        self._last = author
        self._recent.append(author)
        self._counts[author] += 1
        if len(self._recent) == self._weights.window:
            self._counts[self._recent.popleft()] -= 1

    def is_run(self, author: str) -> bool:
        """Whether a post by an author would be one too many in a row."""
        return author == self._last and self._in_a_row >= self._weights.in_a_row

    def has_room(self, author: str) -> bool:
        """Whether a post by an author may come next."""
        return not self.is_run(author) and self._counts[author] < self._weights.in_window


def diversified(authors: Sequence[str], weights: Diversity) -> list[int]:
    """The places of posts, given best first by their authors, in the order that is shown.

    Next comes the best post that is left whose author has neither the 2 before it nor 5 of the 19
    before it; so of no 20 that follow each other, no page of 20 among them, are more than 5 by one
    author. If there is none, the best whose author has not the 2 before it; else the best. A
    permutation of the places, O(n log n).
    """
    waiting: defaultdict[str, deque[int]] = defaultdict(deque)
    for place, author in enumerate(authors):
        waiting[author].append(place)
    best = [places[0] for places in waiting.values()]
    heapify(best)
    shown = _Shown(weights)
    order: list[int] = []
    while best:
        place = _take(best, authors, shown)
        author = authors[place]
        order.append(place)
        shown.add(author)
        waiting[author].popleft()
        if waiting[author]:
            heappush(best, waiting[author][0])
    return order


def _take(best: list[int], authors: Sequence[str], shown: _Shown) -> int:
    """Take from the heap, which has the best post of each author, the one that comes next."""
    passed: list[int] = []
    while best:
        place = heappop(best)
        if shown.has_room(authors[place]):
            break
        passed.append(place)
    else:
        place = next((each for each in passed if not shown.is_run(authors[each])), passed[0])
        passed.remove(place)
    for each in passed:
        heappush(best, each)
    return place
