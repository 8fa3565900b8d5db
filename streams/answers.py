"""Answers and mentions: whom a post concerns besides those who follow its author."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from schemas.names import name_key
from schemas.topics import Topic
from streams.acts import Act, TellAct
from streams.engine.outbox import Outbox
from streams.engine.state import State
from streams.facts import Answered, Mentioned
from streams.names import entity_of
from streams.post_rows import Body, PostRow

Concern = Answered | Mentioned


def concerns(post_id: str, post: PostRow, body: Body | None) -> list[Concern]:
    """What must stand in the logs of the post that a post answers, and of the names in it.

    Nothing for a post that is unknown, deleted or private.
    """
    author_id = post.author_id
    if author_id is None or post.is_deleted or body is None or body.visibility == "private":
        return []
    at = post.created[0]
    found: list[Concern] = []
    if body.reply_to:
        found.append(Answered(body.reply_to, post_id, author_id, at, 1))
    names = dict.fromkeys(map(name_key, body.tags.mentions))
    return [*found, *(Mentioned(name, post_id, author_id, at, 1) for name in names)]


class Answer(Struct, frozen=True, array_like=True, gc=False):
    """A post that answers another."""

    author_id: str
    at: int


class Answers:
    """Folds what answers the posts of a partition, and tells others of what their posts concern.
    O(1) rows and facts for each answer and each name."""

    def __init__(self, state: State, outbox: Outbox, tell: TellAct) -> None:
        self._answers = state.group_table("answer", Answer)
        self._outbox = outbox
        self._tell = tell

    def fold(self, fact: Answered) -> None:
        """Another post answers one, or no longer."""
        act = Act("reply", fact.author_id, fact.at, fact.reply_id)
        if fact.change > 0:
            self._answers.put(fact.post_id, fact.reply_id, Answer(fact.author_id, fact.at))
        else:
            self._answers.delete(fact.post_id, fact.reply_id)
        self._tell(fact.post_id, act, fact.change > 0)

    def acts(self, post_id: str) -> Iterator[Act]:
        """All answers to a post; O(them)."""
        for reply_id, answer in self._answers.scan(post_id):
            yield Act("reply", answer.author_id, answer.at, reply_id)

    def retell(self, was: list[Concern], now: list[Concern]) -> None:
        """Tell of what a post concerns now and did not, and the other way round."""
        for old in was:
            if old not in now:
                self._tell_of(replace(old, change=-1))
        for new in now:
            if new not in was:
                self._tell_of(new)

    def _tell_of(self, concern: Concern) -> None:
        match concern:
            case Answered(post_id):
                self._outbox.tell(Topic.BY_POST, post_id, concern)
            case Mentioned(name):
                self._outbox.tell(Topic.BY_USER, entity_of(name), concern)
