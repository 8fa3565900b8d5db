"""How well scores tell what readers engage with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import log2

from headrace.train.examples import Example

AT = 20


def auc(labels: Sequence[bool], scores: Sequence[float]) -> float | None:
    """The area under the ROC curve: the chance that one that was engaged with has a greater score
    than one that was not, ties counting half (Mann and Whitney, 1947). None without both. O(n log
    n)."""
    positives = sum(labels)
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    places = sorted(range(len(scores)), key=lambda place: scores[place])
    ranks = 0.0
    start = 0
    while start < len(places):
        end = start
        while end < len(places) and scores[places[end]] == scores[places[start]]:
            end += 1
        tied = sum(labels[place] for place in places[start:end])
        ranks += tied * (start + 1 + end) / 2
        start = end
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def ndcg(
    examples: Sequence[Example], labels: Sequence[bool], scores: Sequence[float], at: int = AT
) -> float | None:
    """The mean over the groups with anything that was engaged with of their normalised discounted
    cumulative gain at 20 (Järvelin and Kekäläinen, 2002): gain 1, discount `log2(place + 1)`. Of
    equal scores the newer is first, as in a feed. None without such a group."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for place, example in enumerate(examples):
        groups[example.group].append(place)
    found = []
    for places in groups.values():
        engaged = sum(labels[place] for place in places)
        if not engaged:
            continue
        best = sorted(
            places,
            key=lambda place: (scores[place], examples[place].row.at, examples[place].row.post_id),
            reverse=True,
        )
        gain = sum(_discount(n) for n, place in enumerate(best[:at]) if labels[place])
        found.append(gain / sum(map(_discount, range(min(engaged, at)))))
    return sum(found) / len(found) if found else None


def _discount(index: int) -> float:
    return 1 / log2(index + 2)
