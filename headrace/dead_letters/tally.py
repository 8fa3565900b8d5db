"""Counts of letters: by reason, and by what would become of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from headrace.dead_letters.handler import Act
from headrace.dead_letters.log import Found
from headrace.dead_letters.shown import verdict_text
from headrace.dead_letters.verdict import Refusal
from schemas.dead_letters import DeadLetter
from streams.engine.outbox import Output

Judge = Callable[[DeadLetter], Output | Refusal | None]
"""What would become of a letter: None, of one that is to be dropped."""


class Reasons:
    """How many letters there are of each reason, and how many of these are open."""

    def __init__(self) -> None:
        self.all: Counter[str] = Counter()
        self.open: Counter[str] = Counter()

    def counted(self, letters: Iterable[Found]) -> Iterator[Found]:
        """The same letters, counted."""
        for found in letters:
            self.all[found.letter.code] += 1
            self.open[found.letter.code] += found.handled is None
            yield found


class Plan:
    """What is to be done with letters: those that are handled stay so, and those of which nothing
    would come are left."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.handled = 0
        self.topics: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self._first_left: dict[str, str] = {}

    def acts(self, letters: Iterable[Found]) -> Iterator[Act]:
        """What is to be done, each letter counted."""
        for found in letters:
            if found.handled is not None:
                self.handled += 1
                continue
            verdict = self._judge(found.letter)
            if isinstance(verdict, Refusal):
                self.left[verdict.code] += 1
                self._first_left.setdefault(
                    verdict.code, f"{found.place} ({found.record}) is {verdict_text(verdict)}"
                )
                continue
            self.topics["" if verdict is None else verdict.topic] += 1
            yield Act(found, verdict)

    def lines(self, verb: str) -> Iterator[str]:
        """What is to be done, what is left, and why."""
        topics = ", ".join(f"{topic} {n:,}" for topic, n in self.topics.most_common() if topic)
        yield f"{verb}: {self.topics.total():,}" + (f" ({topics})" if topics else "")
        if self.handled:
            yield f"handled before: {self.handled:,}"
        for code, count in self.left.most_common():
            more = f", and {count - 1:,} more like it" if count > 1 else ""
            yield f"left: {self._first_left[code]}{more}"
