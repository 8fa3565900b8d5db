"""Notifications by a plain fold (docs/rules.md, "Notifications")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from schemas.events import Post
from streams.facts import Claim, Mentioned, Release
from tests.oracle.names import common
from tests.oracle.posts import PostState, Reactions, mentions
from tests.oracle.timelines import Key, SourceLog, Standing, may_see

HELD = 500
NAMED = 5
NAMED_POSTS = 20
OF_POSTS = ("reply", "favourite_post")

Act = tuple[int, str, str]
"""Time, who, and the comment or post that it consists of, or the name in a mention."""
Group = tuple[str, str, str]
"""Receiver, kind, and the post, or the author, that it is about."""
Shown = tuple[int, tuple[Act, ...]]
"""How many acts there are, and the newest, newest first."""
Mention = tuple[str, str]
"""Name and post."""


def acts(
    posts: dict[str, PostState], found: Reactions, following: Mapping[str, Mapping[str, int]]
) -> Iterator[tuple[Group, Act]]:
    """Everything in force that concerns somebody, but mentions."""
    done = [("like", p, u, e.at, "") for (p, u), e in found.reacted.items() if found.reaction_of(e)]
    done += [("share", p, u, e.at, "") for (p, u), e in found.shared.items() if e.action == "share"]
    for comment in found.comments_there():
        place = (str(comment.post_id), comment.user_id, comment.at, str(comment.comment_id))
        done.append(("comment", *place))
    for post_id, state in posts.items():
        newest = _live(state)
        if newest is not None and state.created is not None and newest.reply_to:
            author = str(state.created.author_id)
            done.append(("reply", newest.reply_to, author, state.created.at, post_id))
    for kind, post_id, user_id, at, item in done:
        about = posts.get(post_id)
        if about is not None and about.created is not None:
            author = str(about.created.author_id)
            if author != user_id:
                yield (author, kind, post_id), (at, user_id, item)
    yield from _answers_to_comments(posts, found)
    for user_id, sources in following.items():
        for source, at in sources.items():
            if source.startswith("u:"):
                yield (source[2:], "follow", ""), (at, user_id, "")


def _answers_to_comments(
    posts: dict[str, PostState], found: Reactions
) -> Iterator[tuple[Group, Act]]:
    """Comments there that answer one that is there, of another user, who is not the author of the
    post: that one is told of every comment."""
    there = {(str(c.post_id), str(c.comment_id)): c for c in found.comments_there()}
    for (post_id, comment_id), answer in there.items():
        answered = there.get((post_id, answer.parent or ""))
        about = posts.get(post_id)
        if answered is None or about is None or about.created is None:
            continue
        if answered.user_id not in (answer.user_id, about.created.author_id):
            group = (answered.user_id, "comment_reply", post_id)
            yield group, (answer.at, answer.user_id, comment_id)


def favourite_posts(
    implied: Mapping[str, Mapping[Key, Standing]], log: Mapping[str, SourceLog]
) -> Iterator[tuple[Group, Act]]:
    """The posts of favourites, as the logs of sources have it: what stands there, was added since
    the source is the user's favourite, answers nothing, and is for the user."""
    for source, standing in implied.items():
        found = log.get(source, SourceLog())
        for (reason, post_id), what in standing.items():
            added = found.activities.get((reason, post_id))
            if reason != source or added is None or what.is_reply:
                continue
            for user_id, place in found.favourers.items():
                if place < added.place and may_see(what, user_id):
                    group = (user_id, "favourite_post", source[2:])
                    yield group, (what.at, source[2:], post_id)


def _live(state: PostState) -> Post | None:
    newest = None if state.is_deleted else state.settle()
    return None if newest is None or newest.visibility == "private" else newest


def implied_mentions(posts: dict[str, PostState]) -> dict[Mention, tuple[str, int]]:
    """(name, post) to the author and the time of the post."""
    found = {}
    for post_id, state in posts.items():
        newest = _live(state)
        if newest is not None and state.created is not None:
            for name in mentions(newest.content):
                place = (str(state.created.author_id), state.created.at)
                found[common(name), post_id] = place
    return found


def told_mentions(
    log: Iterable[Claim | Release | Mentioned],
) -> tuple[dict[Mention, tuple[str, int]], list[tuple[Group, Act]]]:
    """What the logs of names come to: the mentions that stand there, and those told to users."""
    queues: dict[str, list[str]] = {}
    standing: dict[Mention, tuple[str, int]] = {}
    told: dict[Mention, tuple[Group, Act]] = {}
    for fact in log:
        queue = queues.setdefault(fact.name, [])
        if isinstance(fact, Mentioned):
            key = (fact.name, fact.post_id)
            if fact.change < 0:
                standing.pop(key, None)
                told.pop(key, None)
                continue
            standing[key] = (fact.author_id, fact.at)
            if queue and queue[0] != fact.author_id:
                told[key] = (
                    (queue[0], "mention", fact.post_id),
                    (fact.at, fact.author_id, fact.name),
                )
            continue
        if fact.user_id in queue:
            queue.remove(fact.user_id)
        if isinstance(fact, Claim):
            queue.append(fact.user_id)
    return standing, list(told.values())


def grouped(all_acts: Iterable[tuple[Group, Act]]) -> dict[Group, Shown]:
    """What each group of acts shows."""
    found: dict[Group, set[Act]] = {}
    for group, act in all_acts:
        found.setdefault(group, set()).add(act)
    return {
        (user_id, kind, subject): (
            len(acts),
            tuple(sorted(acts, reverse=True)[: NAMED_POSTS if kind in OF_POSTS else NAMED]),
        )
        for (user_id, kind, subject), acts in found.items()
    }


def demanded(groups: Mapping[Group, Shown], found: Iterable[Group]) -> dict[Group, Shown]:
    """The groups that must be there: the newest are held, so of who has more than 500 no more is
    known than that what is there is right."""
    sizes = Counter(user_id for user_id, *_ in groups)
    there = set(found)
    return {g: shown for g, shown in groups.items() if sizes[g[0]] <= HELD or g in there}
