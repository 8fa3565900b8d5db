"""Acts: what users do with others' posts, as it is told to the logs of both, once the author of the
post is known. What is taken back is told as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from msgspec import Struct

from schemas.topics import Topic
from streams.engine.outbox import Outbox
from streams.facts import AffinityFact, AversionFact, Notice
from streams.interests import AVERSION_WEIGHT
from streams.post_rows import PostRow
from streams.subjects import USER

ActKind = Literal["like", "comment", "share", "reply", "hide", "comment_reply"]
WEIGHTS: dict[ActKind, float] = {"like": 2.0, "comment": 5.0, "share": 8.0}
"""003, "Affinity Scoring System"; a reaction of any kind is a like here."""


class Act(Struct, frozen=True):
    """A user does something with a post; `item` is the comment or the reply. A `comment_reply`
    answers a comment by `answered_id`."""

    kind: ActKind
    user_id: str
    at: int
    item: str = ""
    answered_id: str = ""


TellAct = Callable[[str, Act, bool], None]
"""Given a post and an act: whether it is in force now, or no longer."""


class Acts:
    """Tells of acts. One act costs two facts, or one."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def tell(self, post_id: str, post: PostRow, act: Act, is_in_force: bool) -> None:
        """Tell of one act at a post of which it is known who made it."""
        if act.kind == "comment_reply":
            self._tell_answered(post_id, post, act, is_in_force)
            return
        author_id = post.liked_author
        if author_id is None or author_id == act.user_id:
            return
        sign = 1 if is_in_force else -1
        if act.kind == "hide":
            subjects = (f"{USER}{author_id}", *post.about)
            averse = AversionFact(act.user_id, subjects, sign * AVERSION_WEIGHT, act.at)
            self._outbox.tell(Topic.BY_USER, act.user_id, averse)
            return
        notice = Notice(author_id, act.kind, post_id, act.user_id, act.at, act.item, sign)
        self._outbox.tell(Topic.BY_USER, author_id, notice)
        if act.kind in WEIGHTS:
            weight = sign * WEIGHTS[act.kind]
            close = AffinityFact(act.user_id, author_id, weight, act.at, post.about)
            self._outbox.tell(Topic.BY_USER, act.user_id, close)

    def _tell_answered(self, post_id: str, post: PostRow, act: Act, is_in_force: bool) -> None:
        """Tell the author of a comment of an answer; the post's author knows of it as a comment."""
        if post.author_id is None or act.answered_id in (act.user_id, post.author_id):
            return
        change = 1 if is_in_force else -1
        receiver = act.answered_id
        notice = Notice(receiver, "comment_reply", post_id, act.user_id, act.at, act.item, change)
        self._outbox.tell(Topic.BY_USER, receiver, notice)

    def retell(self, post_id: str, was: PostRow, now: PostRow, acts: Iterable[Act]) -> None:
        """Take back what was told of acts at a post, and tell them as the post is now."""
        for act in acts:
            self.tell(post_id, was, act, False)
            self.tell(post_id, now, act, True)
