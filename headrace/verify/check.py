"""Compares every view, in every store, with what the oracle expects."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from random import Random

from connectors.settings import settings
from connectors.stack.addresses import Addresses
from headrace.verify.api_walk import suggestions_of_all, walk_all
from headrace.verify.cassandra_views import CassandraViews
from headrace.verify.redis_views import RedisViews
from tests.oracle import affinity, interests, notices, read_log, suggestions
from tests.oracle.compare import (
    Tally,
    TimelineCheck,
    compare_rows,
    compare_served,
    same_counts,
    same_score,
)
from tests.oracle.expected import Expected, expect
from tests.oracle.trending import compare_trending

LONGEST = 20
SUGGESTED = 50

Say = Callable[[str], None]


def compute(brokers: str) -> Expected:
    """What the events in Kafka imply.

    The cyclic garbage collector rests: there are millions of small objects and no cycles, and
    it would take most of the time.
    """
    gc.disable()
    try:
        return expect(
            read_log.read_events(brokers),
            read_log.read_log(brokers),
            read_log.read_names(brokers),
            settings().heavy_followers,
            settings().reports_to_hide,
        )
    finally:
        gc.freeze()
        gc.enable()


def compare_all(
    addresses: Addresses,
    expected: Expected,
    api: tuple[str, Callable[[str], str]] | None,
    api_users: int,
    seed: int,
    say: Say,
    ticks: Mapping[tuple[str, int], int] | None = None,
) -> Iterator[Tally]:
    """A tally for each kind of view and store; without `api` what it serves is left out, without
    `ticks` (see `end_windows`) what is trending."""
    now = int(time.time() * 1000)
    yield expected.by_source_log
    yield expected.name_claims
    yield expected.mentions
    yield _dead_letters(addresses.kafka, expected)
    yield from _redis(addresses.redis, expected, now, say)
    if ticks is not None:
        say("Redis: what is trending")
        yield _trending(addresses.redis, expected, ticks)
    yield from _cassandra(addresses.cassandra, expected, now, say)
    if api is not None:
        say("the API")
        with closing(RedisViews(addresses.redis, settings().partitions)) as views:
            yield _served(*api, expected, choose(expected, api_users, seed), now, views.floor)
        yield _suggested(*api, expected, api_users, seed)


def _dead_letters(brokers: str, expected: Expected) -> Tally:
    """Which records were turned away; those before the oldest record still there are not known."""
    first = expected.first_offsets
    found = {
        place: True
        for place in read_log.read_dead_letters(brokers)
        if place[2] >= first.get(place[:2], 0)
    }
    return compare_rows(
        Tally("dead_letters", "kafka"), dict.fromkeys(expected.rejected, True), found
    )


def _redis(url: str, expected: Expected, now: int, say: Say) -> Iterator[Tally]:
    views = RedisViews(url, settings().partitions)
    try:
        say("Redis: the keys")
        views.scan()
        say("Redis: timelines")
        tally = Tally("timeline", "redis")
        check = TimelineCheck(tally, expected.timelines, now, expected.readers)
        for user_id, found, floor in views.feeds():
            check.redis(user_id, found, floor)
        check.redis_rest()
        yield tally
        say("Redis: the other views")
        yield compare_rows(Tally("posts", "redis"), expected.posts, views.posts())
        yield compare_rows(
            Tally("counters", "redis"), expected.counters, views.counters(), same_counts
        )
        best = views.best_comments()
        yield compare_rows(Tally("best_comments", "redis"), expected.best_comments(best), best)
        yield compare_rows(Tally("mine", "redis"), expected.held_by_user(), views.mine())
        yield compare_rows(Tally("users", "redis"), expected.users, views.users())
        yield compare_rows(Tally("devices", "redis"), expected.devices, views.devices())
        yield compare_rows(Tally("names", "redis"), expected.names, views.names())
        yield compare_rows(Tally("sources", "redis"), expected.audiences(), views.sources())
        yield compare_rows(Tally("recents", "redis"), expected.timelines.recents(), views.recents())
        yield compare_rows(Tally("heavy", "redis"), expected.heavy(), views.heavy())
        yield compare_rows(Tally("awaiting", "redis"), expected.awaiting(), views.awaiting())
        yield compare_rows(Tally("following", "redis"), expected.following(), views.following())
        yield compare_rows(Tally("favourites", "redis"), expected.favourites(), views.favourites())
        yield compare_rows(Tally("blocks", "redis"), expected.blocks(), views.blocks())
        yield compare_rows(Tally("mutes", "redis"), expected.mutes(), views.mutes())
        yield compare_rows(
            Tally("affinity", "redis"), expected.affinity(now), views.affinity(now), same_score
        )
        yield compare_rows(
            Tally("interests", "redis"), expected.interests(now), views.interests(now), same_score
        )
        yield compare_rows(
            Tally("aversions", "redis"), expected.aversions(now), views.aversions(now), same_score
        )
        shown = views.notifications()
        yield compare_rows(
            Tally("notifications", "redis"),
            notices.demanded(expected.notices, shown),
            shown,
        )
        yield compare_rows(
            Tally("notices_seen", "redis"), expected.notices_seen, views.notices_seen()
        )
    finally:
        views.close()


def _trending(url: str, expected: Expected, ticks: Mapping[tuple[str, int], int]) -> Tally:
    tally, partitions = Tally("trending", "redis"), settings().partitions
    with closing(RedisViews(url, partitions)) as views:
        views.scan()
        return compare_trending(tally, expected.trending, views.trending(), partitions, ticks)


def _cassandra(hosts: str, expected: Expected, now: int, say: Say) -> Iterator[Tally]:
    views = CassandraViews(hosts, settings().cassandra_keyspace)
    store = "cassandra"
    try:
        say("Cassandra: timelines")
        tally = Tally("timeline", store)
        check = TimelineCheck(tally, expected.timelines, now)
        for owner, bucket, found in views.timelines():
            check.cassandra(owner, bucket, found)
        check.cassandra_rest()
        yield tally
        say("Cassandra: the other views")
        yield compare_rows(Tally("posts", store), expected.posts, views.posts())
        yield compare_rows(
            Tally("posts_by_author", store), expected.live_posts, views.posts_by_author()
        )
        yield compare_rows(
            Tally("counters", store), expected.counters, views.counters(), same_counts
        )
        yield compare_rows(Tally("comments", store), expected.comments, views.comments())
        yield compare_rows(
            Tally("comment_counts", store), expected.comment_counts, views.comment_counts()
        )
        yield compare_rows(
            Tally("comments_by_time", store), expected.comment_places(), views.comments_by_time()
        )
        yield compare_rows(Tally("mine", store), expected.mine, views.mine())
        yield compare_rows(
            Tally("reactions_by_time", store),
            expected.reaction_places(),
            views.reactions_by_time(),
        )
        yield compare_rows(Tally("users", store), expected.users, views.users())
        yield compare_rows(Tally("names", store), expected.names, views.names())
        yield compare_rows(Tally("sources", store), expected.audiences(), views.sources())
        yield compare_rows(Tally("recents", store), expected.timelines.recents(), views.recents())
        yield compare_rows(Tally("heavy", store), expected.heavy(), views.heavy())
        following = expected.following()
        yield compare_rows(Tally("following", store), following, views.following())
        yield compare_rows(Tally("favourites", store), expected.favourites(), views.favourites())
        yield compare_rows(Tally("follower_lists", store), following, views.followers())
        yield compare_rows(Tally("muted", store), expected.mutes(), views.muted())
        yield compare_rows(Tally("blocked", store), expected.blocked(), views.blocked())
        near = partial(affinity.decayed, now_ms=now)
        far = partial(near, per_day=interests.AVERSION_PER_DAY)
        for kind, want, got in (
            ("affinity", expected.affinity(now), views.affinity(near)),
            ("interests", expected.interests(now), views.interests(near)),
            ("aversions", expected.aversions(now), views.aversions(far)),
        ):
            yield compare_rows(Tally(kind, store), want, got, same_score)
    finally:
        views.close()


def choose(expected: Expected, count: int, seed: int) -> list[str]:
    """All readers with a timeline, or `count` by the seed and those with the longest. To read for
    anyone else would open the timeline, which is given what its sources hold."""
    rows = expected.timelines.rows
    users = sorted(expected.timelines.users() & expected.readers)
    if len(users) <= count:
        return users
    longest = sorted(users, key=lambda user_id: -len(rows.get(user_id, ())))[:LONGEST]
    return sorted({*Random(f"api:{seed}").sample(users, count), *longest})


def _served(
    url: str,
    token: Callable[[str], str],
    expected: Expected,
    users: list[str],
    now: int,
    floor_of: Callable[[str], int | None],
) -> Tally:
    """What pages say; the floor of a feed is that of afterwards."""
    tally = Tally("timeline", "api")
    for user_id, found in walk_all(url, token, users):
        compare_served(
            tally,
            user_id,
            expected.timelines,
            found,
            now,
            partial(expected.is_hidden, user_id),
            floor_of(user_id),
        )
    return tally


def _suggested(
    url: str, token: Callable[[str], str], expected: Expected, count: int, seed: int
) -> Tally:
    """Whom the API suggests to some of those who follow anyone."""
    tally = Tally("suggestions", "api")
    oracle = suggestions.Suggestions(expected.relations, expected.users, expected.facts)
    users = sorted(expected.relations.following)
    some = Random(f"suggestions:{seed}").sample(users, min(count, len(users)))
    for user_id, found in suggestions_of_all(url, token, some, SUGGESTED):
        suggestions.compare(tally, user_id, oracle, found, SUGGESTED)
    return tally
