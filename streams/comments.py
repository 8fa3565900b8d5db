"""Comments on posts: what they say, who likes them, and who answers them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from schemas.events import Engagement
from schemas.topics import Topic
from schemas.views import CommentCountsView, CommentView
from streams.acts import Act, TellAct
from streams.engagers import NO_REACTION, Reaction
from streams.engine.outbox import Outbox
from streams.engine.owners import UNIT
from streams.engine.records import RejectedError
from streams.engine.rows import SEPARATOR
from streams.engine.state import State
from streams.facts import Touched
from streams.relations import NEVER, Stamp

LIKE = "like"
MAX_TIMES = 64


class Comment(Struct, frozen=True, array_like=True, gc=False):
    """A comment: of the events with its id the oldest counts; a deletion wins for ever. One whose
    user is erased names nobody. `times` are those of all events."""

    stamp: Stamp = NEVER
    user_id: str = ""
    text: str = ""
    parent: str | None = None
    is_deleted: bool = False
    times: tuple[int, ...] = ()

    @property
    def is_there(self) -> bool:
        return not self.is_deleted and self.user_id != ""


class CommentCounts(Struct, frozen=True, array_like=True, gc=False):
    """How many users like a comment, and how many comments that are there answer it."""

    likes: int = 0
    replies: int = 0


class CommentAnswer(Struct, frozen=True, array_like=True, gc=False):
    """A comment that is there, as an answer to another."""

    user_id: str
    at: int


class Comments:
    """Folds the comments of posts, and what users do with them. An event costs O(1) rows; a comment
    that comes, goes or becomes another user's costs O(the answers to it that are there)."""

    def __init__(self, state: State, outbox: Outbox, tell: TellAct) -> None:
        self._comments = state.group_table("comment", Comment)
        self._reactions = state.group_table("comment_react", Reaction)
        self._counts = state.group_table("comment_counts", CommentCounts)
        self._answers = state.group_table("comment_answer", CommentAnswer)
        self._outbox = outbox
        self._tell = tell

    def acts(self, post_id: str) -> Iterator[Act]:
        """The comments that are there, also as answers; O(the post's comments)."""
        for comment_id, comment in self._comments.scan(post_id):
            yield from self._acts_of(post_id, comment_id, comment)

    def fold(self, post_id: str, event: Engagement) -> int:
        """Fold `comment` or `comment_deleted`; by how many more comments are there.

        Raises:
            RejectedError: `too_many_claims`, for the 65th time that events with its id have.
        """
        assert event.comment_id is not None
        before = self._comments.get(post_id, event.comment_id) or Comment()
        after = _after(before, event)
        if after == before:
            return 0
        change = self._put(post_id, event.comment_id, before, after)
        if after.user_id != before.user_id:
            self._touch(after.user_id, post_id, event.comment_id)
        return change

    def react(self, post_id: str, event: Engagement) -> None:
        """Fold `like`, `react` or `unlike` of a comment: a reaction of any kind is a like."""
        assert event.comment_id is not None
        key = _key(event.comment_id, event.user_id)
        row = self._reactions.get(post_id, key)
        before = row or NO_REACTION
        kind = {"like": LIKE, "unlike": None}.get(event.action, event.kind)
        after = Reaction((event.at, event.event_id), kind)
        if after.stamp <= before.stamp:
            return
        self._reactions.put(post_id, key, after)
        if row is None:
            self._touch(event.user_id, post_id, event.comment_id)
        self._like(post_id, event.comment_id, (kind is not None) - (before.kind is not None))

    def erase(self, post_id: str, user_id: str, comment_id: str) -> int:
        """A user is erased: what they left at a comment goes; by how many more comments are
        there."""
        key = _key(comment_id, user_id)
        reaction = self._reactions.get(post_id, key)
        if reaction is not None:
            self._reactions.delete(post_id, key)
            self._like(post_id, comment_id, -(reaction.kind is not None))
        before = self._comments.get(post_id, comment_id)
        if before is None or before.user_id != user_id:
            return 0
        after = replace(before, user_id="", text="", parent=None)
        return self._put(post_id, comment_id, before, after)

    def _put(self, post_id: str, comment_id: str, before: Comment, after: Comment) -> int:
        self._tell_of(post_id, comment_id, before, after, is_in_force=False)
        self._comments.put(post_id, comment_id, after)
        if after.stamp != NEVER:
            self._show(post_id, comment_id, after)
        if after.is_there != before.is_there:
            counts = self._counts.get(post_id, comment_id) or CommentCounts()
            self._show_counts(post_id, comment_id, counts if after.is_there else None)
        for comment, change in ((before, -1), (after, 1)):
            if comment.is_there and comment.parent is not None:
                self._answer(post_id, comment_id, comment, comment.parent, change)
        self._tell_of(post_id, comment_id, before, after, is_in_force=True)
        return after.is_there - before.is_there

    def _tell_of(
        self, post_id: str, comment_id: str, before: Comment, after: Comment, *, is_in_force: bool
    ) -> None:
        """Tell of a comment as it is after a change, or take back what it was before; of answers to
        it, if these are to someone else now, or to nobody."""
        comment = after if is_in_force else before
        acts = list(self._acts_of(post_id, comment_id, comment))
        if (before.is_there, before.user_id) != (after.is_there, after.user_id):
            acts += self._acts_toward(post_id, comment_id, comment)
        for act in acts:
            self._tell(post_id, act, is_in_force)

    def _acts_of(self, post_id: str, comment_id: str, comment: Comment) -> Iterator[Act]:
        """A comment, and as an answer to another, if both are there."""
        if not comment.is_there:
            return
        user_id, at = comment.user_id, comment.stamp[0]
        yield Act("comment", user_id, at, comment_id)
        parent = self._comments.get(post_id, comment.parent) if comment.parent else None
        if parent is not None and parent.is_there:
            yield Act("comment_reply", user_id, at, comment_id, parent.user_id)

    def _acts_toward(self, post_id: str, comment_id: str, comment: Comment) -> Iterator[Act]:
        """The answers to a comment, if it is there."""
        if comment.is_there:
            for answer_id, answer in self._answers.scan(_answered(post_id, comment_id)):
                yield Act("comment_reply", answer.user_id, answer.at, answer_id, comment.user_id)

    def _like(self, post_id: str, comment_id: str, change: int) -> None:
        if change:
            counts = self._counts.get(post_id, comment_id) or CommentCounts()
            self._count(post_id, comment_id, replace(counts, likes=counts.likes + change))

    def _answer(
        self, post_id: str, answer_id: str, answer: Comment, comment_id: str, change: int
    ) -> None:
        """An answer to a comment is there, or no longer."""
        counts = self._counts.get(post_id, comment_id) or CommentCounts()
        self._count(post_id, comment_id, replace(counts, replies=counts.replies + change))
        key = _answered(post_id, comment_id)
        if change > 0:
            self._answers.put(key, answer_id, CommentAnswer(answer.user_id, answer.stamp[0]))
        else:
            self._answers.delete(key, answer_id)

    def _count(self, post_id: str, comment_id: str, counts: CommentCounts) -> None:
        if counts == CommentCounts():
            self._counts.delete(post_id, comment_id)
        else:
            self._counts.put(post_id, comment_id, counts)
        comment = self._comments.get(post_id, comment_id)
        if comment is not None and comment.is_there:
            self._show_counts(post_id, comment_id, counts)

    def _show_counts(self, post_id: str, comment_id: str, counts: CommentCounts | None) -> None:
        """Show the counts of a comment; None for one that is not there any more."""
        view = CommentCountsView(post_id, comment_id, is_deleted=True)
        if counts is not None:
            view = CommentCountsView(post_id, comment_id, counts.likes, counts.replies)
        key = f"{post_id}{SEPARATOR}{comment_id}"
        self._outbox.show(Topic.VIEW_COMMENT_COUNTS, post_id, key, view)

    def _show(self, post_id: str, comment_id: str, comment: Comment) -> None:
        view = CommentView(
            post_id,
            comment_id,
            comment.user_id,
            comment.stamp[0],
            comment.text,
            comment.parent,
            is_deleted=not comment.is_there,
            former_times=tuple(at for at in comment.times if at != comment.stamp[0]),
        )
        self._outbox.show(Topic.VIEW_COMMENTS, post_id, f"{post_id}{SEPARATOR}{comment_id}", view)

    def _touch(self, user_id: str, post_id: str, comment_id: str) -> None:
        self._outbox.tell(Topic.BY_USER, user_id, Touched(user_id, post_id, comment_id))


def _after(before: Comment, event: Engagement) -> Comment:
    if event.action == "comment_deleted":
        return replace(before, is_deleted=True, text="")
    times = tuple(sorted({*before.times, event.at}))
    if len(times) > MAX_TIMES:
        raise RejectedError("too_many_claims", f"the comment was made at {MAX_TIMES} other times")
    stamp = (event.at, event.event_id)
    if before.stamp != NEVER and stamp >= before.stamp:
        return replace(before, times=times)
    text = "" if before.is_deleted else event.text or ""
    return Comment(stamp, event.user_id, text, event.parent, before.is_deleted, times)


def _answered(post_id: str, comment_id: str) -> str:
    """Names a comment among those of all posts; ids have no control characters."""
    return f"{post_id}{UNIT}{comment_id}"


def _key(comment_id: str, user_id: str) -> str:
    return f"{comment_id}{SEPARATOR}{user_id}"
