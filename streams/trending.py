"""Trending: posts by those who act upon them, and topics by those who act upon their posts."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from schemas.events import EngagementAction
from schemas.topics import Topic
from streams.engine.outbox import Outbox
from streams.engine.state import State
from streams.facts import Tick, TopicActs
from streams.post_rows import Body
from streams.subjects import topics_of
from streams.trend_scores import BUCKET_MS, Depths, act_of, language_of
from streams.trends import EVERYTHING, Trends

ACTS: frozenset[EngagementAction] = frozenset({"like", "react", "comment", "share"})
ACTS_PER_FACT = 1_000


class Subject(Struct, frozen=True, array_like=True, gc=False):
    """A post that anybody may see: its language, if one is known, and its topics."""

    language: str = ""
    topics: tuple[str, ...] = ()


class PostTrends:
    """The trends of posts, in their own logs.

    A user acts upon a post by making it, reacting to it, commenting on it and sharing it, once in 5
    minutes. What becomes of that later does not matter, so neither does the order. An act costs
    O(1) rows, and a fact for each topic of the post; a change of what the post is about costs
    O(its acts that are kept) for each topic that comes or goes.
    """

    def __init__(self, state: State, outbox: Outbox) -> None:
        self._subjects = state.table("subject", Subject)
        self._trends = Trends(state, outbox, "posts", self._lists_of)
        self._outbox = outbox
        self.tick = self._trends.tick

    def act(self, post_id: str, user_id: str, at: int) -> None:
        """A user acts upon a post, whether it is known yet or not."""
        bucket = at // BUCKET_MS
        added = self._trends.add(post_id, act_of(user_id, bucket), bucket)
        subject = None if added is None else self._subjects.get(post_id)
        if added is not None and subject is not None:
            self._tell(subject, subject.topics, *added)

    def describe(self, post_id: str, body: Body | None) -> None:
        """A post is public and says `body`; or nobody in particular may see it (None)."""
        before = self._subjects.get(post_id) or Subject()
        after = Subject()
        if body is None:
            self._subjects.delete(post_id)
        else:
            after = Subject(language_of(body.language), tuple(topics_of(body.tags)))
            self._subjects.put(post_id, after)
        self._trends.touch(post_id)
        is_same = after.language == before.language
        lost = [t for t in before.topics if not (is_same and t in after.topics)]
        gained = [t for t in after.topics if not (is_same and t in before.topics)]
        acts = self._trends.kept(post_id) if lost or gained else []
        depths = self._trends.depths(post_id)
        for first in range(0, len(acts), ACTS_PER_FACT):
            some = tuple(acts[first : first + ACTS_PER_FACT])
            self._tell(before, lost, some, (), is_added=False)
            self._tell(after, gained, some, depths)

    def _tell(
        self,
        subject: Subject,
        topics: Iterable[str],
        acts: tuple[str, ...],
        depths: Depths,
        is_added: bool = True,
    ) -> None:
        for topic in topics:
            fact = TopicActs(topic, subject.language, acts, is_added, depths)
            self._outbox.tell(Topic.BY_SOURCE, topic, fact)

    def _lists_of(self, post_id: str) -> tuple[str, ...]:
        subject = self._subjects.get(post_id)
        if subject is None:
            return ()
        return (EVERYTHING, subject.language) if subject.language else (EVERYTHING,)


class TopicTrends:
    """The trends of topics, in their own logs, of all posts and of those in each language.

    Who acts upon several posts about a topic counts once in 5 minutes; by how many posts is kept,
    so that one may go. A fact costs O(its acts).
    """

    def __init__(self, state: State, outbox: Outbox) -> None:
        self._trends = Trends(state, outbox, "topics", _lists_of, _source_of)

    def fold(self, fact: TopicActs | Tick) -> None:
        """Acts upon a post come to its topic, or go with the post; or time has passed."""
        if isinstance(fact, Tick):
            self._trends.tick(fact.at)
            return
        for language in {EVERYTHING: None, fact.language: None}:
            key, change = f"{language}:{fact.source}", 1 if fact.is_added else -1
            self._trends.change(key, fact.acts, change, fact.depths)


def _lists_of(key: str) -> tuple[str, ...]:
    return (key.partition(":")[0],)


def _source_of(key: str) -> str:
    return key.partition(":")[2]
