"""Which candidates of a feed its reader is shown, and for what reasons, whatever their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from api.feed_filter import EVERYTHING, SHARED, FeedFilter
from api.feed_models import Explanation
from api.held import Candidate
from api.ranking.features import topics_of
from api.render import feed_post
from api.sent_page import Sent
from api.stores import USER
from api.turns import turn
from api.views import Needs, Reader
from api.visibility import GONE
from schemas.views import PostView

VIRAL, POPULAR = "viral", "popular"
_FOUND = frozenset((VIRAL, POPULAR))
"""Reasons of posts that nobody brought whom the reader follows."""

Step = Literal["absent", "not_visible", "hidden", "muted", "reply", "aversion"]
"""What keeps a candidate from its reader."""


class Verdict(Struct, frozen=True, gc=False):
    """The reasons for which a candidate is shown; without any, the step that dropped it, or None if
    it was not asked for, or stands above."""

    reasons: tuple[str, ...] = ()
    dropped_by: Step | None = None


def is_found(reasons: Sequence[str]) -> bool:
    """Whether nobody brought a post whom the reader follows: there is no other reason then."""
    return reasons[0] in _FOUND


async def hydrate(
    reader: Reader, batch: list[Candidate], users: Iterable[str] = (), *, to_show: bool = True
) -> None:
    """Load a batch, and users: in one round trip when the reasons name the authors, in none when it
    is all kept, in one more when they do not, and one more for what replies answer and found posts
    are about. Unless it is `to_show`, only what its posts are judged by, not what their reader did
    with them."""
    ids = [candidate.post_id for candidate in batch]
    reasons = {reason for candidate in batch for reason in candidate.reasons}
    for candidate in batch:
        if candidate.above or candidate.below:
            reasons.update(candidate.above, candidate.below)
    authors = [reason for reason in reasons if reason[:2] == USER]
    viewer = reader.viewer or ""
    asks_follows = to_show and not all(map(_is_open, reader.stores.cache.kept_posts(ids)))
    needs = Needs(
        posts=ids,
        counters=ids,
        mine=ids if to_show else (),
        hidden=() if to_show else ids,
        users=[*(author[2:] for author in authors), *users],
        blocks={_source_of(reason) for reason in reasons} - _FOUND,
        follows=[(viewer, author) for author in authors] if asks_follows else (),
    )
    await turn(len(batch))
    await reader.load(needs)
    await turn(len(batch))
    known = reader.known.posts
    posts = [known[name] for name in ids if name in known]
    topics: list[str] = []
    if not _FOUND.isdisjoint(reasons):
        found = {candidate.post_id for candidate in batch if is_found(candidate.reasons)}
        topics = [topic for post in posts if post.post_id in found for topic in topics_of(post)]
    for_some = [post for post in posts if post.reply_to or post.visibility != "public"]
    if topics or for_some:
        answered = [post.reply_to for post in for_some if post.reply_to]
        follows = {(viewer, f"u:{post.author_id}") for post in for_some}
        await reader.load(Needs(posts=answered, blocks=topics, follows=follows))
    await reader.load_rights(posts)
    await turn(len(batch))


def _is_open(post: PostView | None) -> bool:
    """Whether a post is known to be shown to those too who do not follow its author."""
    return post is not None and post.visibility == "public" and not post.reply_to


def judge(reader: Reader, candidate: Candidate, wanted: FeedFilter = EVERYTHING) -> Verdict:
    """Whether the reader is shown a candidate that is loaded, at its place. A post stands where the
    newest of its entries does that is shown: above, there is nothing more to say of it."""
    known = reader.known
    post = known.posts.get(candidate.post_id)
    if post is None:
        return Verdict(dropped_by="absent")
    if wanted is EVERYTHING and _is_usual(reader, post, candidate):
        return Verdict(tuple(candidate.reasons))
    if not reader.may_see(post):
        return Verdict(dropped_by="not_visible")
    if post.post_id in known.hidden:
        return Verdict(dropped_by="hidden")
    if known.muted and reader.is_muted(f"u:{post.author_id}"):
        return Verdict(dropped_by="muted")
    if wanted is not EVERYTHING and not wanted.takes(post):
        return Verdict()
    here = _reasons(reader, post, candidate.reasons, wanted)
    if not here:
        is_muted = not any(_stands(reader, post, reason) for reason in candidate.reasons)
        is_reply = not is_muted and not reader.joins(post)
        return Verdict(dropped_by="muted" if is_muted else "reply" if is_reply else None)
    if candidate.above and _reasons(reader, post, candidate.above, wanted):
        return Verdict()
    if candidate.below:
        here = tuple(dict.fromkeys([*here, *_reasons(reader, post, candidate.below, wanted)]))
    return Verdict(tuple(here))


def _is_usual(reader: Reader, post: PostView, candidate: Candidate) -> bool:
    """Whether nothing speaks against a candidate, as of most: what stands once, is public and no
    reply, for a reader of whom no block, mute or hide has been found. `judge` comes to the same, in
    three times as long."""
    known = reader.known
    if known.blocked or known.muted or known.hidden:
        return False
    if post.is_deleted or post.hidden_by or post.reply_to or post.visibility != "public":
        return False
    if candidate.above or candidate.below:
        return False
    author = known.users.get(post.author_id)
    return author is None or author.status not in GONE


def shown(
    reader: Reader,
    candidate: Candidate,
    wanted: FeedFilter = EVERYTHING,
    explanation: Explanation | None = None,
) -> Sent | None:
    """A candidate that is loaded as its reader sees it, with the explanation of its place; None
    when it is not to be seen, or not asked for."""
    post, reasons = reader.post(candidate.post_id), judge(reader, candidate, wanted).reasons
    if post is None or not reasons:
        return None
    return feed_post(reader, post, reasons, candidate.at, explanation)


def _reasons(
    reader: Reader, post: PostView, reasons: Sequence[str], wanted: FeedFilter
) -> Sequence[str]:
    """For which of some reasons a post is shown; a reply between others only if it was shared."""
    known, found = reader.known, reasons
    if known.blocked or known.muted or not _FOUND.isdisjoint(reasons):
        found = [reason for reason in reasons if _stands(reader, post, reason)]
    if found and post.reply_to is not None and not reader.joins(post):
        found = [reason for reason in found if reason.startswith(SHARED)]
    return found if wanted is EVERYTHING else wanted.reasons(found)


def _stands(reader: Reader, post: PostView, reason: str) -> bool:
    """Whether a reason is one for the reader; found is only what is public, and about nothing that
    the reader mutes."""
    if reason in _FOUND:
        return post.visibility == "public" and not any(map(reader.is_muted, topics_of(post)))
    source, known = _source_of(reason), reader.known
    return source not in known.blocked and source not in known.muted


def _source_of(reason: str) -> str:
    """The source that brought an entry: its author, its sharer or a topic."""
    return f"u:{reason.removeprefix(SHARED)}" if reason.startswith(SHARED) else reason
