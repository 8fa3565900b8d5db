"""Posts: what they say, and who reacted to, commented on, shared and saw them."""

from __future__ import annotations

from msgspec.structs import replace

from connectors.records import Record
from schemas.codec import UndecodableError
from schemas.events import Engagement, Event, Moderation, Post
from schemas.topics import Topic
from schemas.views import HiddenBy, MineView, PostView
from streams.activities import activities
from streams.comments import COMMENT_WEIGHT, LIKE, Comments
from streams.distinct import DistinctUsers
from streams.engine.outbox import Outbox
from streams.engine.records import NO_TAGS, Tags, decode_record, tags_of
from streams.engine.replica import Fold
from streams.engine.state import State
from streams.facts import (
    Activity,
    AffinityFact,
    Erased,
    Fact,
    Removal,
    TargetErased,
    Tick,
    Touched,
)
from streams.moderation import REPORTS_TO_HIDE, HiddenPosts
from streams.post_rows import (
    NO_REACTION,
    NO_SHARE,
    Body,
    Counters,
    PostRow,
    Reaction,
    Share,
    after_change,
    after_event,
    body_of,
    counters_view,
)

NOBODY = ""  # claims an event that names no author
REACTION_WEIGHT = 2.0
SHARE_WEIGHT = 8.0
MARKS = {"view": "views", "click": "clicks", "hide": "hides"}


class PostFold(Fold):
    """Folds a post's log: post events and engagements.

    An engagement costs O(1) rows, but once for views and clicks (see `DistinctUsers`); creating,
    deleting and changing who may share a post cost O(its shares); a post's first `created` event,
    and the erasure of its author, cost O(its engagements so far).
    """

    def __init__(
        self, state: State, outbox: Outbox, *, reports_to_hide: int = REPORTS_TO_HIDE
    ) -> None:
        self._posts = state.table("post", PostRow)
        self._bodies = state.group_table("body", Body)
        self._counters = state.table("counters", Counters)
        self._reactions = state.group_table("react", Reaction)
        self._shares = state.group_table("share", Share)
        self._comments = Comments(state, outbox, self._affinity)
        self._users = DistinctUsers(state)
        self._hidden = HiddenPosts(state, outbox, reports_to_hide)
        self._outbox = outbox
        outbox.show_table(Topic.VIEW_COUNTERS, self._counters, counters_view)

    def apply(self, record: Record) -> None:
        """Fold one record of the by-post log."""
        event = decode_record(record.value)
        if not isinstance(event, (Post, Engagement, Moderation, Erased, Tick)):
            raise UndecodableError("wrong_topic", f"a {type(event).__name__} in a post's log")
        self.fold(event, tags_of(record.headers))

    def fold(self, event: Event | Fact, tags: Tags = NO_TAGS) -> None:
        """Fold one event; `tags` are those of a post's content."""
        match event:
            case Engagement(post_id=str(post_id)):
                self._engage(post_id, event)
            case Post():
                self._post(event, tags)
            case Moderation():
                self._judge(event)
            case Erased():
                self._erase(event)

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
            case "view" | "click" | "hide":
                self._mark(post_id, event)
            case "report":
                self._report(post_id, event)

    # Post events

    def _post(self, event: Post, tags: Tags) -> None:
        post_id = event.post_id
        before = self._posts.get(post_id) or PostRow()
        said = self._body(post_id, before)
        after = after_event(before, event)
        self._touch_as_author(before, event)
        is_kept = self._keep(after, event, tags)
        if after == before and not is_kept:
            return
        self._change(post_id, before, said, after)
        if after.author_id != before.author_id:
            self._retell_affinity(post_id, before.liked_author, after.liked_author)

    def _change(self, post_id: str, before: PostRow, said: Body | None, after: PostRow) -> None:
        """Put a post's row, which may say something else than `said` now."""
        self._posts.put(post_id, after)
        says = self._body(post_id, after)
        if after.is_known:
            self._show_post(post_id, after, says)
        shares = [(user, share.at) for user, share in self._shares.scan(post_id) if share.is_shared]
        self._retell(
            activities(post_id, before, said, shares), activities(post_id, after, says, shares)
        )

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
        removal = Removal(old.source, old.reason, old.post_id, old.at)
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
            self._show_post(post_id, post, self._body(post_id, post))

    # Engagements

    def _react(self, post_id: str, event: Engagement, kind: str | None) -> None:
        row = self._reactions.get(post_id, event.user_id)
        before = row or NO_REACTION
        after = Reaction((event.at, event.event_id), kind)
        if after.stamp <= before.stamp:
            return
        self._count_reaction(post_id, before.kind, after.kind)
        self._reactions.put(post_id, event.user_id, after)
        if row is None:
            self._touch(event.user_id, post_id)
        self._show_mine(post_id, event.user_id)
        if before.kind is not None:
            self._affinity(post_id, event.user_id, -REACTION_WEIGHT, before.stamp[0])
        if after.kind is not None:
            self._affinity(post_id, event.user_id, REACTION_WEIGHT, after.stamp[0])

    def _count_reaction(self, post_id: str, before: str | None, after: str | None) -> None:
        if before != after:
            counters = self._counters.get(post_id) or Counters()
            reactions = after_change(counters.reactions, before, after)
            self._counters.put(post_id, replace(counters, reactions=reactions))

    def _share(self, post_id: str, event: Engagement) -> None:
        user_id = event.user_id
        row = self._shares.get(post_id, user_id)
        before = row or NO_SHARE
        after = Share((event.at, event.event_id), event.action == "share")
        if after.stamp <= before.stamp:
            return
        self._shares.put(post_id, user_id, after)
        if row is None:
            self._touch(user_id, post_id)
        self._count(post_id, "shares", after.is_shared - before.is_shared)
        self._show_mine(post_id, user_id)
        if before.is_shared:
            self._affinity(post_id, user_id, -SHARE_WEIGHT, before.at)
        if after.is_shared:
            self._affinity(post_id, user_id, SHARE_WEIGHT, after.at)
        self._retell(self._shared(post_id, user_id, before), self._shared(post_id, user_id, after))

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

    def _show_mine(self, post_id: str, user_id: str) -> None:
        reaction = self._reactions.get(post_id, user_id)
        share = self._shares.get(post_id, user_id)
        view = MineView(
            user_id,
            post_id,
            reaction.kind if reaction else None,
            reaction.stamp[0] if reaction else 0,
            share.is_shared if share else False,
            share.at if share else 0,
        )
        self._outbox.show(Topic.VIEW_MINE, user_id, f"{user_id}\0{post_id}", view)

    # Affinity: facts about a user and the author, told once the author is known

    def _affinity(self, post_id: str, user_id: str, weight: float, at: int) -> None:
        post = self._posts.get(post_id)
        if post is not None and post.liked_author is not None:
            self._tell_affinity(user_id, post.liked_author, weight, at)

    def _tell_affinity(self, user_id: str, author_id: str, weight: float, at: int) -> None:
        if user_id != author_id:
            self._outbox.tell(Topic.BY_USER, user_id, AffinityFact(user_id, author_id, weight, at))

    def _retell_affinity(self, post_id: str, was: str | None, now: str | None) -> None:
        for user_id, weight, at in self._affinity_facts(post_id):
            if was is not None:
                self._tell_affinity(user_id, was, -weight, at)
            if now is not None:
                self._tell_affinity(user_id, now, weight, at)

    def _affinity_facts(self, post_id: str) -> list[tuple[str, float, int]]:
        facts = [
            (user_id, REACTION_WEIGHT, reaction.stamp[0])
            for user_id, reaction in self._reactions.scan(post_id)
            if reaction.kind is not None
        ]
        facts += [
            (user_id, SHARE_WEIGHT, share.at)
            for user_id, share in self._shares.scan(post_id)
            if share.is_shared
        ]
        facts += [(user_id, COMMENT_WEIGHT, at) for user_id, at in self._comments.written(post_id)]
        return facts

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
        reaction = self._reactions.get(post_id, user_id)
        share = self._shares.get(post_id, user_id)
        if reaction is not None:
            self._count_reaction(post_id, reaction.kind, None)
            self._reactions.delete(post_id, user_id)
        if share is not None:
            self._count(post_id, "shares", -share.is_shared)
            self._retell(self._shared(post_id, user_id, share), [])
            self._shares.delete(post_id, user_id)
        if reaction is not None or share is not None:
            self._show_mine(post_id, user_id)
        self._erase_claim(post_id, user_id)

    def _erase_claim(self, post_id: str, user_id: str) -> None:
        """A post that someone who is erased has claimed is deleted."""
        before = self._posts.get(post_id) or PostRow()
        said = self._body(post_id, before)
        self._bodies.delete(post_id, user_id)
        if not before.is_claimed_by(user_id) or user_id in before.erased:
            return
        erased = tuple(sorted((*before.erased, user_id)))
        after = replace(before, is_deleted=True, erased=erased)
        self._drop_bodies(post_id)
        self._change(post_id, before, said, after)
        if before.author_id == user_id:
            close = {other for other, *_ in self._affinity_facts(post_id)}
            for other in sorted(close - {user_id}):
                self._outbox.tell(Topic.BY_USER, other, TargetErased(other, user_id))
