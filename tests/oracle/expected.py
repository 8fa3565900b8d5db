"""Everything that the oracle expects, computed once from the events and the log's order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass

from tests.oracle import (
    affinity,
    erasure,
    interests,
    moderation,
    names,
    notices,
    posts,
    relations,
    timelines,
    trending,
    users,
)
from tests.oracle.compare import Tally, compare_rows
from tests.oracle.events import Acknowledged, Place
from tests.oracle.read_log import Placed
from tests.oracle.relations import Relations
from tests.oracle.timelines import Timelines
from tests.oracle.trending import Trending

MINE_HELD = 10_000
BEST_COMMENTS = 2_000

Row = dict[str, object]


@dataclass
class Expected:
    """What each view must hold, in the normal form in which it is compared."""

    posts: dict[str, Row]
    counters: dict[str, Row]
    comments: dict[tuple[str, str], Row]
    comment_counts: dict[tuple[str, str], tuple[int, int]]
    """(post, comment id) to its likes and the answers to it."""
    mine: dict[tuple[str, str], Row]
    users: dict[str, Row]
    relations: Relations
    timelines: Timelines
    trending: Trending
    facts: list[affinity.Fact]
    rejected: dict[Place, str]
    reasons: dict[Place, set[str]]
    """All that is wrong with those of them with which there is more than one thing."""
    by_source_log: Tally
    name_claims: Tally
    mentions: Tally
    posts_of: dict[str, int]
    """Source to the number of public posts by it, or about it, where there is one."""
    likings: list[interests.Fact]
    averse: list[interests.Fact]
    notices: dict[notices.Group, notices.Shown]
    devices: dict[str, tuple[str, ...]]
    notices_seen: dict[str, int]
    """User to the time up to which the notifications have been seen."""
    names: dict[str, str]
    """User name, in its common form, to whose it is."""
    live_posts: dict[tuple[str, int, str], bool]
    """(author, time, post id) of the posts that are not deleted."""
    first_offsets: dict[tuple[str, int], int]
    readers: set[str]
    """Whose timelines Redis holds: who has read, and is not erased. (Nobody has been away for a day
    when it is looked at, so nobody is dormant.)"""

    def best_comments(self, found: Container[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """(post, comment id) to the likes. The 2,000 best are held, so of a post with more no more
        is known than that those that were `found` are right."""
        sizes = Counter(post_id for post_id, _ in self.comment_counts)
        return {
            key: likes
            for key, (likes, _) in self.comment_counts.items()
            if sizes[key[0]] <= BEST_COMMENTS or key in found
        }

    def comment_places(self) -> dict[tuple[str, int, str], bool]:
        """(post, time, comment id) of the comments that are there."""
        return {
            (post_id, int(str(row["at"])), comment_id): True
            for (post_id, comment_id), row in self.comments.items()
        }

    def reaction_places(self) -> dict[tuple[str, int, str], str]:
        """(user, time, post) to the kind of the reactions in force."""
        return {
            (user_id, _int(row["reacted_at"]), post_id): str(row["reaction"])
            for (user_id, post_id), row in self.mine.items()
            if row["reaction"] is not None
        }

    def is_hidden(self, user_id: str, post_id: str, reason: str) -> bool:
        """Whether the API leaves an entry out: the user hides the post, or it is hidden from all,
        or its author is gone, or either blocks the other, or it is for friends, or a reply between
        others that nobody shared, or the user mutes the author or who brought it."""
        if self.mine.get((user_id, post_id), posts.NOTHING_DONE)["hidden_at"]:
            return True
        author = str(self.posts[post_id]["author_id"])
        muted = self.relations.mutes.get(user_id, set())
        if (f"u:{reason[2:]}" if reason.startswith("s:") else reason) in muted:
            return True
        if self.users.get(author, users.NOBODY)["status"] != "active":
            return True
        if author == user_id:
            return False
        if self.posts[post_id].get("hidden_by") is not None:
            return True
        if f"u:{author}" in self.relations.blocks.get(user_id, ()):
            return True
        if f"u:{author}" in muted:
            return True
        if self.posts[post_id]["visibility"] == "friends" and not self._are_friends(
            user_id, author
        ):
            return True
        return not reason.startswith("s:") and self._is_between_others(user_id, post_id)

    def _are_friends(self, one: str, other: str) -> bool:
        """Whether two users follow each other."""
        following = self.relations.following
        return f"u:{other}" in following.get(one, {}) and f"u:{one}" in following.get(other, {})

    def _is_between_others(self, user_id: str, post_id: str) -> bool:
        """Whether a post is a reply, and the user neither takes part nor follows both ends."""
        row = self.posts[post_id]
        if row["reply_to"] is None:
            return False
        answered = self.posts.get(str(row["reply_to"]))
        if answered is None:
            return True
        if answered["author_id"] == user_id:
            return False
        following = self.relations.following.get(user_id, {})
        ends = (row["author_id"], answered["author_id"])
        return any(f"u:{end}" not in following for end in ends)

    def blocks(self) -> dict[tuple[str, str], bool]:
        """(user, source) where either blocks the other."""
        return {
            (user_id, source): True
            for user_id, sources in self.relations.blocks.items()
            for source in sources
        }

    def blocked(self) -> dict[tuple[str, str], bool]:
        """(user, source) where the user blocks the source."""
        return dict.fromkeys(self.relations.blocked, True)

    def mutes(self) -> dict[tuple[str, str], bool]:
        """(user, source) where the user mutes the source."""
        return {
            (user_id, source): True
            for user_id, sources in self.relations.mutes.items()
            for source in sources
        }

    def awaiting(self) -> dict[str, int]:
        """Post id to the time of the posts that reports hide, and no moderator has judged since."""
        return {
            post_id: _int(row["at"])
            for post_id, row in self.posts.items()
            if row.get("hidden_by") == "reports"
        }

    def audiences(self) -> dict[str, tuple[int, int]]:
        """Source to its followers and its public posts, where there are some."""
        followers, posts_of = self.relations.followers, self.posts_of
        return {
            source: (followers.get(source, 0), posts_of.get(source, 0))
            for source in followers.keys() | posts_of.keys()
        }

    def favourites(self) -> dict[tuple[str, str], bool]:
        """(user, source) where the user is told of what the source posts."""
        return {(user_id, source): True for source, user_id in self.relations.favourites}

    def heavy(self) -> dict[str, bool]:
        """The heavy sources."""
        return dict.fromkeys(self.timelines.pulled, True)

    def interests(self, now_ms: int) -> dict[tuple[str, str], float]:
        """(user, subject) to the score at a time."""
        return interests.sums(self.likings, now_ms)

    def aversions(self, now_ms: int) -> dict[tuple[str, str], float]:
        """(user, subject) to the aversion at a time; also to users, as `u:`."""
        return interests.sums(self.averse, now_ms, interests.AVERSION_PER_DAY)

    def affinity(self, now_ms: int) -> dict[tuple[str, str], float]:
        """(user, the other) to the score at a time."""
        return affinity.scores(self.facts, now_ms)

    def following(self) -> dict[tuple[str, str], int]:
        """(user, source) to the time of the follow."""
        return {
            (user_id, source): at
            for user_id, sources in self.relations.following.items()
            for source, at in sources.items()
        }

    def held_by_user(self) -> dict[tuple[str, str, str], tuple[int, str]]:
        """(`reacted`, `shared` or `hidden`, user, post) to the time and the kind of reaction: the
        newest 10,000 of each user."""
        held: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
        for (user_id, post_id), row in self.mine.items():
            if row["reaction"] is not None:
                reacted = (_int(row["reacted_at"]), post_id, str(row["reaction"]))
                held.setdefault(("reacted", user_id), []).append(reacted)
            if row["hidden_at"]:
                hidden = (_int(row["hidden_at"]), post_id, "")
                held.setdefault(("hidden", user_id), []).append(hidden)
            if row["is_shared"]:
                shared = (_int(row["shared_at"]), post_id, "")
                held.setdefault(("shared", user_id), []).append(shared)
        return {
            (what, user_id, post_id): (at, kind)
            for (what, user_id), rows in held.items()
            for at, post_id, kind in sorted(rows, reverse=True)[:MINE_HELD]
        }


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def expect(
    events: Acknowledged,
    log: Iterable[Placed],
    names_log: Iterable[names.OfName],
    heavy_followers: int = timelines.HEAVY_FOLLOWERS,
    reports_to_hide: int = moderation.REPORTS_TO_HIDE,
) -> Expected:
    """Compute every view from the events; only positions are taken from the log."""
    erased = erasure.erased_users(events.users)
    by_post = posts.fold_posts(events.posts)
    erasure.erase_posts(by_post, erased)
    engagements = list(erasure.engagements_left(events.engagements, erased))
    reactions = posts.fold_engagements(engagements)
    erasure.erase_comments(reactions, erased)
    related = relations.fold_follows(erasure.follows_left(events.follows, erased))
    implied = timelines.activities(by_post, reactions.shared)
    sources = timelines.fold_log(log, heavy_followers)
    tally = Tally("by_source_log", "kafka")
    tally.compared, differences = timelines.log_differences(implied, sources, related)
    for what, want, got in differences:
        tally.differ(what, want, got)
    hidden = moderation.hidden_posts(engagements, events.moderations, reports_to_hide)
    people = list(erasure.users_left(events.users, erased))
    log_of_names = list(names_log)
    queues = names.queues(log_of_names)
    mentions = Tally("mentions", "kafka")
    told, mentioned = notices.told_mentions(log_of_names)
    compare_rows(mentions, notices.implied_mentions(by_post), told)
    concerning = [
        *notices.acts(by_post, reactions, related.following),
        *notices.favourite_posts(implied, sources),
        *mentioned,
    ]
    claims = Tally("name_claims", "kafka")
    compare_rows(
        claims,
        names.wanted(people),
        names.claims(queues),
    )
    holders = names.holders(queues)
    shown = posts.post_views(by_post, hidden)
    return Expected(
        posts=shown,
        counters=posts.counters(reactions),
        comments=posts.comment_views(reactions),
        comment_counts=posts.comment_counts(reactions),
        mine=posts.mine(reactions),
        users=users.fold_users(people, related.following, holders),
        relations=related,
        timelines=Timelines(implied, sources, related),
        trending=trending.fold_acts(events.posts, events.engagements, by_post, hidden),
        facts=[
            fact
            for fact in affinity.facts(by_post, reactions, engagements)
            if fact[1] not in erased
        ],
        rejected=events.rejected,
        reasons=events.reasons,
        by_source_log=tally,
        name_claims=claims,
        mentions=mentions,
        posts_of={
            source: count
            for source, standing in implied.items()
            if (
                count := sum(
                    reason == source and what.visibility == "public"
                    for (reason, _), what in standing.items()
                )
            )
        },
        likings=list(interests.likings(by_post, reactions, erased)),
        averse=list(interests.aversions(by_post, reactions.hidden, events.feedback, erased)),
        notices=notices.grouped(each for each in concerning if each[0][0] not in erased),
        notices_seen=users.seen_to(people),
        devices=users.devices(people),
        names=holders,
        live_posts={
            (str(row["author_id"]), _int(row["at"]), post_id): True
            for post_id, row in shown.items()
            if not row["is_deleted"]
        },
        first_offsets=events.first_offsets,
        readers={e.user_id for e in events.users if e.action == "active"} - erased,
    )
