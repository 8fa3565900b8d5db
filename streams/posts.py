"""Posts: what they say, and who reacted to, commented on, shared and saw them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from connectors.records import Record
from schemas.codec import UndecodableError
from schemas.events import Engagement, Event, Moderation, Post
from schemas.topics import Topic
from schemas.views import HiddenBy, PostView
from streams.activities import activities
from streams.acts import Act, Acts
from streams.answers import Answers, concerns
from streams.comments import LIKE, Comments
from streams.distinct import DistinctUsers
from streams.engagers import Engagers, Share
from streams.engine.outbox import Outbox
from streams.engine.records import NO_TAGS, Tags, decode_record, tags_of
from streams.engine.replica import Fold
from streams.engine.state import State
from streams.facts import (
    Activity,
    Answered,
    Erased,
    Fact,
    Removal,
    TargetErased,
    Tick,
    Touched,
)
from streams.moderation import REPORTS_TO_HIDE, HiddenPosts
from streams.post_rows import (
    Body,
    Counters,
    PostRow,
    after_change,
    after_event,
    body_of,
    counters_view,
    is_public,
)
from streams.subjects import about
from streams.trending import ACTS, PostTrends

NOBODY = ""  # claims an event that names no author
MARKS = {"view": "views", "click": "clicks"}


class PostFold(Fold):
    """Folds a post's log: post events and engagements.

    An engagement costs O(1) rows, but once for views and clicks (see `DistinctUsers`); creating,
    deleting and changing who may share a post cost O(its shares); a post's first `created` event,
    and the erasure of its author, cost O(its engagements so far).
    """

    writes = (
        *(Topic.BY_POST, Topic.BY_USER, Topic.BY_SOURCE),
        *(Topic.VIEW_POSTS, Topic.VIEW_COUNTERS, Topic.VIEW_MINE, Topic.VIEW_MODERATION),
        *(Topic.VIEW_COMMENTS, Topic.VIEW_COMMENT_COUNTS, Topic.VIEW_TRENDING),
    )

    def __init__(
        self, state: State, outbox: Outbox, *, reports_to_hide: int = REPORTS_TO_HIDE
    ) -> None:
        self._posts = state.table("post", PostRow)
        self._bodies = state.group_table("body", Body)
        self._counters = state.table("counters", Counters)
        self._acts = Acts(outbox)
        self._engagers = Engagers(state, outbox, self._tell_act)
        self._comments = Comments(state, outbox, self._tell_act)
        self._answers = Answers(state, outbox, self._tell_act)
        self._users = DistinctUsers(state)
        self._hidden = HiddenPosts(state, outbox, reports_to_hide)
        self._trends = PostTrends(state, outbox)
        self._outbox = outbox
        outbox.show_table(Topic.VIEW_COUNTERS, self._counters, counters_view)

    def apply(self, record: Record) -> None:
        """Fold one record of the by-post log."""
        event = decode_record(record.value)
        if not isinstance(event, (Post, Engagement, Moderation, Answered, Erased, Tick)):
            raise UndecodableError("wrong_topic", f"a {type(event).__name__} in a post's log")
        self.fold(event, tags_of(record.headers))

    def fold(self, event: Event | Fact, tags: Tags = NO_TAGS) -> None:
        """Fold one event; `tags` are those of a post's content."""
        match event:
            case Engagement(post_id=post_id) if post_id is not None:
                self._engage(post_id, event)
            case Post():
                self._post(event, tags)
            case Moderation():
                self._judge(event)
            case Answered():
                self._answers.fold(event)
            case Erased():
                self._erase(event)
            case Tick(at):
                self._trends.tick(at)

    def _engage(self, post_id: str, event: Engagement) -> None:
        match event.action:
            case "like" | "react" | "unlike" if event.comment_id:
                self._comments.react(post_id, event)
            case "like":
                self._react(post_id, event, LIKE)
            case "react":
                self._react(post_id, event, event.kind)
            case "unlike":
                self._react(post_id, event, None)
            case "share" | "unshare":
                self._share(post_id, event)
            case "comment" | "comment_deleted":
                self._count(post_id, "comments", self._comments.fold(post_id, event))
            case "view" | "click":
                self._mark(post_id, event)
            case "hide":
                self._count(post_id, "hides", self._engagers.hide(post_id, event))
            case "report":
                self._report(post_id, event)
        if event.action in ACTS and not (event.comment_id and event.action in ("like", "react")):
            self._trends.act(post_id, event.user_id, event.at)

    # Post events

    def _post(self, event: Post, tags: Tags) -> None:
        post_id = event.post_id
        before = self._posts.get(post_id) or PostRow()
        said = self._body(post_id, before)
        subjects = about(event, tags) if event.action == "created" else ()
        after = after_event(before, event, subjects)
        self._touch_as_author(before, event)
        is_kept = self._keep(after, event, tags)
        if event.action == "created":
            self._trends.act(post_id, event.author_id or NOBODY, event.at)
        if after == before and not is_kept:
            return
        self._change(post_id, before, said, after)
        if (after.author_id, after.about) != (before.author_id, before.about):
            self._acts.retell(post_id, before, after, self._all_acts(post_id))

    def _change(self, post_id: str, before: PostRow, said: Body | None, after: PostRow) -> None:
        """Put a post's row, which may say something else than `said` now."""
        self._posts.put(post_id, after)
        says = self._body(post_id, after)
        if after.is_known:
            self._show_post(post_id, after, says)
        shares = self._engagers.shares(post_id)
        self._describe(post_id, after, says)
        self._retell(
            activities(post_id, before, said, shares), activities(post_id, after, says, shares)
        )
        self._answers.retell(concerns(post_id, before, said), concerns(post_id, after, says))

    def _keep(self, post: PostRow, event: Post, tags: Tags) -> bool:
        """Keep the newest body of each who claims to be the author, none of a deleted post."""
        if post.is_deleted:
            self._drop_bodies(event.post_id)
            return False
        claimant = event.author_id or NOBODY
        body = body_of(event, tags)
        kept = self._bodies.get(event.post_id, claimant)
        if kept is not None and kept.stamp >= body.stamp:
            return False
        self._bodies.put(event.post_id, claimant, body)
        return True

    def _drop_bodies(self, post_id: str) -> None:
        for claimant in [claimant for claimant, _ in self._bodies.scan(post_id)]:
            self._bodies.delete(post_id, claimant)

    def _body(self, post_id: str, post: PostRow) -> Body | None:
        """The newest body by the post's author, or by an event that names none."""
        if post.author_id is None:
            return None
        by_author = self._bodies.get(post_id, post.author_id)
        by_nobody = self._bodies.get(post_id, NOBODY)
        bodies = [body for body in (by_author, by_nobody) if body is not None]
        return max(bodies, key=lambda body: body.stamp, default=None)

    def _show_post(self, post_id: str, row: PostRow, body: Body | None) -> None:
        assert row.author_id is not None
        if row.is_deleted or body is None:
            view = PostView(
                post_id,
                row.author_id,
                row.created[0],
                is_deleted=True,
                former_places=row.former_places,
            )
        else:
            view = PostView(
                post_id=post_id,
                author_id=row.author_id,
                at=row.created[0],
                content=body.content,
                media=body.media,
                visibility=body.visibility,
                audience=body.audience,
                reply_to=body.reply_to,
                quote_of=body.quote_of,
                language=body.language,
                location=body.location,
                hashtags=body.tags.hashtags,
                mentions=body.tags.mentions,
                edited_at=body.stamp[0] if body.is_edit else None,
                former_places=row.former_places,
                hidden_by=self._hidden.hidden_by(post_id),
            )
        self._hidden.show(post_id, row)
        self._outbox.show(Topic.VIEW_POSTS, post_id, post_id, view)

    def _retell(self, was: list[Activity], now: list[Activity]) -> None:
        is_new, is_old = dict.fromkeys(now), dict.fromkeys(was)
        for old in is_old:
            if old not in is_new:
                self._tell_removal(old)
        for new in is_new:
            if new not in is_old:
                self._outbox.tell(Topic.BY_SOURCE, new.source, new)

    def _tell_removal(self, old: Activity) -> None:
        removal = Removal(old.source, old.reason, old.post_id, old.at, old.visibility, old.audience)
        self._outbox.tell(Topic.BY_SOURCE, old.source, removal)

    # Moderation

    def _report(self, post_id: str, event: Engagement) -> None:
        before = self._hidden.hidden_by(post_id)
        self._count(post_id, "reports", self._hidden.report(post_id, event))
        self._show_hidden(post_id, before)

    def _judge(self, verdict: Moderation) -> None:
        before = self._hidden.hidden_by(verdict.post_id)
        self._hidden.judge(verdict)
        self._show_hidden(verdict.post_id, before)

    def _show_hidden(self, post_id: str, before: HiddenBy | None) -> None:
        """Show a post again if something else hides it now than `before`."""
        post = self._posts.get(post_id)
        if post is not None and post.is_known and self._hidden.hidden_by(post_id) != before:
            body = self._body(post_id, post)
            self._show_post(post_id, post, body)
            self._describe(post_id, post, body)

    def _describe(self, post_id: str, post: PostRow, body: Body | None) -> None:
        """What is public and not hidden may be trending."""
        may_trend = is_public(post, body) and self._hidden.hidden_by(post_id) is None
        self._trends.describe(post_id, body if may_trend else None)

    # Engagements

    def _react(self, post_id: str, event: Engagement, kind: str | None) -> None:
        change = self._engagers.react(post_id, event, kind)
        if change is not None:
            before, after = change
            self._count_reaction(post_id, before.kind, after.kind)
            self._engagers.put_reaction(post_id, event.user_id, before, after)

    def _count_reaction(self, post_id: str, before: str | None, after: str | None) -> None:
        if before != after:
            counters = self._counters.get(post_id) or Counters()
            reactions = after_change(counters.reactions, before, after)
            self._counters.put(post_id, replace(counters, reactions=reactions))

    def _share(self, post_id: str, event: Engagement) -> None:
        change = self._engagers.share(post_id, event)
        if change is not None:
            before, after = change
            self._count(post_id, "shares", after.is_shared - before.is_shared)
            self._retell(
                self._shared(post_id, event.user_id, before),
                self._shared(post_id, event.user_id, after),
            )

    def _count(self, post_id: str, field: str, change: int) -> None:
        if change:
            counters = self._counters.get(post_id) or Counters()
            changed = getattr(counters, field) + change
            self._counters.put(post_id, replace(counters, **{field: changed}))

    def _shared(self, post_id: str, user_id: str, share: Share) -> list[Activity]:
        """The activities of one share."""
        if not share.is_shared:
            return []
        post = self._posts.get(post_id) or PostRow()
        body = self._body(post_id, post)
        return activities(post_id, post, body, [(user_id, share.at)], is_post_wanted=False)

    def _mark(self, post_id: str, event: Engagement) -> None:
        counters = self._counters.get(post_id) or Counters()
        field = MARKS[event.action]
        before = getattr(counters, field)
        after = self._users.add(post_id, event.action, event.user_id, before)
        self._count(post_id, field, after - before)

    # Acts: told once the author is known

    def _tell_act(self, post_id: str, act: Act, is_in_force: bool) -> None:
        post = self._posts.get(post_id)
        if post is not None:
            self._acts.tell(post_id, post, act, is_in_force)

    def _all_acts(self, post_id: str) -> Iterator[Act]:
        yield from self._engagers.acts(post_id)
        yield from self._comments.acts(post_id)
        yield from self._answers.acts(post_id)

    # Erasure: a user's own log knows what the user has left here, and has it taken away

    def _touch(self, user_id: str, post_id: str) -> None:
        self._outbox.tell(Topic.BY_USER, user_id, Touched(user_id, post_id))

    def _touch_as_author(self, before: PostRow, event: Post) -> None:
        """Tell whoever has not claimed the post yet, and does, or says something in it."""
        author_id = event.author_id
        if author_id is None or event.action == "deleted" or before.is_claimed_by(author_id):
            return
        if self._bodies.get(event.post_id, author_id) is None or event.action == "created":
            self._touch(author_id, event.post_id)

    def _erase(self, fact: Erased) -> None:
        post_id, user_id, comment_id = fact.post_id, fact.user_id, fact.comment_id
        if comment_id:
            change = self._comments.erase(post_id, user_id, comment_id)
            self._count(post_id, "comments", change)
            return
        reaction, share, has_hidden = self._engagers.erase(post_id, user_id)
        self._count_reaction(post_id, reaction.kind, None)
        self._count(post_id, "shares", -share.is_shared)
        self._count(post_id, "hides", -has_hidden)
        self._retell(self._shared(post_id, user_id, share), [])
        self._erase_claim(post_id, user_id)

    def _erase_claim(self, post_id: str, user_id: str) -> None:
        """A post that someone who is erased has claimed is deleted."""
        before = self._posts.get(post_id) or PostRow()
        said = self._body(post_id, before)
        self._bodies.delete(post_id, user_id)
        if not before.is_claimed_by(user_id) or user_id in before.erased:
            return
        erased = tuple(sorted((*before.erased, user_id)))
        about_it = () if before.author_id == user_id else before.about
        after = replace(before, is_deleted=True, erased=erased, about=about_it)
        self._drop_bodies(post_id)
        self._change(post_id, before, said, after)
        if before.author_id == user_id:
            self._acts.retell(post_id, before, after, self._all_acts(post_id))
            close = {act.user_id for act in self._all_acts(post_id)}
            for other in sorted(close - {user_id}):
                self._outbox.tell(Topic.BY_USER, other, TargetErased(other, user_id))
