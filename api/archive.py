"""Reads of the views in Cassandra, off the event loop by the driver's own futures."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

import structlog
from cassandra.cluster import Cluster, Session

from api import archived_circle, archived_interests, archived_likes
from api.archived_views import (
    comment_counts_of,
    comment_of,
    counters_of,
    post_of,
    source_of,
    user_of,
)
from api.circle import Circle, Follows
from api.circuit import Breaker
from api.deadline import time_left
from api.held import TimelineRow
from api.reacted import Reacted
from api.stores import (
    CASSANDRA,
    MANY_HEAVY,
    USER,
    Found,
    Inclinations,
    Placed,
    StoreDownError,
    Wanted,
)
from connectors.cassandra import connect, is_passing
from connectors.cassandra_tables import month_of
from connectors.security import RefusedError
from schemas.views import (
    CommentCountsView,
    CommentView,
)

AFTER_USERS = "u;"  # the first text behind all that begin with u:
TIMEOUT_SECONDS = 2.0
RETRY_SECONDS = (0.5, 1, 2, 5)
"""Pauses between attempts to connect; the last one repeats."""

MAX_FOLLOWED = 5_000
AUTHORS_A_QUERY = IDS_A_QUERY = 100
FIRST_POSTS = 2
"""Of each author, as most have no more among the newest."""

log = structlog.get_logger(__name__)


_QUERIES = {
    "timeline": "SELECT at, post_id, reason FROM {k}.timeline WHERE owner = ? AND bucket = ? "
    "AND (at, post_id, reason) < (?, ?, ?) AND (at) >= (?) LIMIT ?",
    "heavy": "SELECT source FROM {k}.heavy",
    "recents": "SELECT at, post_id, reason FROM {k}.recents WHERE source IN ?",
    "posts": "SELECT * FROM {k}.posts WHERE post_id IN ?",
    "counters": "SELECT * FROM {k}.counters WHERE post_id IN ?",
    "users": "SELECT * FROM {k}.users WHERE user_id IN ?",
    "sources": "SELECT * FROM {k}.sources WHERE source IN ?",
    "mine": "SELECT * FROM {k}.mine WHERE user_id = ? AND post_id IN ?",
    "following": "SELECT target, is_favourite FROM {k}.following WHERE user_id = ? AND target IN ?",
    "comments": "SELECT * FROM {k}.comments WHERE post_id = ? AND comment_id IN ?",
    "comment_counts": "SELECT * FROM {k}.comment_counts WHERE post_id = ? AND comment_id IN ?",
    "comment_places": "SELECT at, comment_id FROM {k}.comments_by_time WHERE post_id = ? "
    "AND (at, comment_id) < (?, ?) LIMIT ?",
    "followed": "SELECT target FROM {k}.following WHERE user_id = ? LIMIT ?",
    "followers": "SELECT user_id FROM {k}.followers WHERE source = ? AND user_id > ? LIMIT ?",
    "followers_among": "SELECT user_id FROM {k}.followers WHERE source = ? AND user_id IN ?",
    "followed_users": "SELECT target FROM {k}.following WHERE user_id = ? AND target > ? "
    "AND target < ? LIMIT ?",
    "muted": "SELECT target FROM {k}.muted WHERE user_id = ? AND target > ? LIMIT ?",
    "blocked_users": "SELECT target FROM {k}.blocked WHERE user_id = ? AND target > ? "
    "AND target < ? LIMIT ?",
    "authored": "SELECT author_id, at, post_id FROM {k}.posts_by_author WHERE author_id IN ? "
    "AND (at, post_id) < (?, ?) AND (at) >= (?) PER PARTITION LIMIT ?",
    "author": "SELECT post_id FROM {k}.posts_by_author WHERE author_id = ? LIMIT 1",
    "holder": "SELECT user_id FROM {k}.names WHERE name = ?",
    "ping": "SELECT key FROM system.local",
    **archived_circle.QUERIES,
    **archived_interests.QUERIES,
    **archived_likes.QUERIES,
}


class CassandraArchive:
    """The views in one Cassandra cluster; connects in the background, for as long as it takes."""

    def __init__(self, hosts: str, keyspace: str) -> None:
        self._hosts = hosts
        self._keyspace = keyspace
        self._cluster: Cluster | None = None
        self._session: Session | None = None
        self._prepared: dict[str, Any] = {}
        self._connecting: asyncio.Task[None] | None = None
        self._reason = "not connected yet"
        self._circuit = Breaker(CASSANDRA, self._ping)

    def start(self) -> None:
        """Begin to connect."""
        self._connecting = asyncio.create_task(self._keep_connecting())

    async def connected(self, timeout_seconds: float) -> None:
        """Wait until the connection is there, at most for some time."""
        if self._connecting is not None:
            await asyncio.wait([self._connecting], timeout=timeout_seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._circuit.close()
        if self._connecting is not None:
            self._connecting.cancel()
            with suppress(asyncio.CancelledError):
                await self._connecting
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.shutdown)

    async def _keep_connecting(self) -> None:
        attempt = 0
        while True:
            try:
                self._cluster, self._session = await asyncio.to_thread(self._open)
            except Exception as error:  # noqa: BLE001  (the driver raises of every kind)
                self._reason = f"cannot connect ({type(error).__name__})"
                why = {"detail": str(error)} if isinstance(error, RefusedError) else {}
                log.warning("cassandra not connected", error=type(error).__name__, **why)
                await asyncio.sleep(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
                attempt += 1
            else:
                log.info("cassandra connected")
                return

    def _open(self) -> tuple[Cluster, Session]:
        cluster, session = connect(self._hosts)
        try:
            self._prepared = {
                name: session.prepare(query.format(k=self._keyspace))
                for name, query in _QUERIES.items()
            }
        except BaseException:
            cluster.shutdown()
            raise
        return cluster, session

    async def _rows(self, query: str, *values: Any) -> list[Any]:
        """The rows that a prepared query answers with, of all pages."""
        return await self._circuit.run(lambda: self._read(query, *values))

    async def _read(self, query: str, *values: Any) -> list[Any]:
        """The same, whatever failed before."""
        if self._session is None:
            raise StoreDownError(CASSANDRA, self._reason)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Any]] = loop.create_future()
        found: list[Any] = []
        seconds = time_left(TIMEOUT_SECONDS)

        def resolve(settle: Callable[[Any], None], value: Any) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(lambda: None if done.done() else settle(value))

        try:
            bound = self._prepared[query].bind(values)
            pending = self._session.execute_async(bound, timeout=seconds)

            def take(page: list[Any]) -> None:
                found.extend(page)
                if pending.has_more_pages:
                    pending.start_fetching_next_page()
                else:
                    resolve(done.set_result, found)

            pending.add_callbacks(take, lambda error: resolve(done.set_exception, error))
            return await done
        except Exception as error:
            log.warning("cassandra read failed", query=query, error=type(error).__name__)
            is_outage = is_passing(error) and seconds == TIMEOUT_SECONDS
            raise StoreDownError(CASSANDRA, type(error).__name__, is_outage=is_outage) from error

    async def timeline(
        self, owner: str, below: tuple[int, str, str], oldest: int, limit: int
    ) -> list[TimelineRow]:
        """The newest rows below a place and not before `oldest` (ms), month by month."""
        rows: list[TimelineRow] = []
        for bucket in _months(below[0], oldest):
            missing = limit - len(rows)
            found = await self._rows("timeline", owner, bucket, *below, oldest, missing)
            rows += [TimelineRow(row.at, row.post_id, row.reason) for row in found]
            if len(rows) >= limit:
                break
        return rows

    async def pulled(self, user_id: str) -> list[TimelineRow]:
        """What is held by the heavy sources that a user follows, in no set order; where many are
        heavy, of 5,000 followed at most."""
        heavy = {row.source for row in await self._rows("heavy")}
        if not heavy:
            return []
        if len(heavy) <= MANY_HEAVY:
            rows = await self._rows("following", user_id, list(heavy))
        else:
            rows = await self._rows("followed", user_id, MAX_FOLLOWED)
        followed = [row.target for row in rows if row.target in heavy]
        found = await self._rows("recents", followed) if followed else []
        return [TimelineRow(row.at, row.post_id, row.reason) for row in found]

    async def authors(self, user_id: str) -> list[str]:
        """The user and the users that this one follows, 5,000 at most."""
        rows = await self._rows("followed", user_id, MAX_FOLLOWED)
        targets = [row.target for row in rows if row.target.startswith(USER)]
        return [user_id, *(target.removeprefix(USER) for target in targets)]

    async def authored(
        self, authors: list[str], below: tuple[int, str, str], oldest: int, limit: int
    ) -> list[TimelineRow]:
        """The newest posts of authors below a place and not before `oldest` (ms), as rows of a
        timeline. Reads some rows of each author, and at worst limit²/2 more.

        Some of each are read first. Only an author whose posts were all among the newest of these
        may have more that are.
        """
        some = min(limit, max(FIRST_POSTS, 2 * limit // len(authors)))
        found = await self._authored(authors, below, oldest, some)
        if some < limit:
            rows = sorted((row for each in found.values() for row in each), reverse=True)
            least = rows[limit - 1] if len(rows) >= limit else ()
            more = [name for name, each in found.items() if len(each) == some and each[-1] > least]
            found |= await self._authored(more, below, oldest, limit)
        places = (place for each in found.values() for place in each)
        return [TimelineRow(*place) for place in sorted(places, reverse=True)[:limit]]

    async def _authored(
        self, authors: list[str], below: tuple[int, str, str], oldest: int, limit: int
    ) -> dict[str, list[tuple[int, str, str]]]:
        """Author to places of at most `limit` posts each, newest first."""
        parts = [
            authors[first : first + AUTHORS_A_QUERY]
            for first in range(0, len(authors), AUTHORS_A_QUERY)
        ]
        answers = await asyncio.gather(
            *(self._rows("authored", part, *below[:2], oldest, limit) for part in parts)
        )
        found: defaultdict[str, list[tuple[int, str, str]]] = defaultdict(list)
        for row in chain.from_iterable(answers):
            found[row.author_id].append((row.at, row.post_id, f"{USER}{row.author_id}"))
        return found

    async def load(self, wanted: Wanted) -> Found:
        """What is there of `wanted`, all but the blocks, read concurrently."""
        found = Found()
        reads: list[Awaitable[None]] = []
        if wanted.posts:
            reads.append(self._into(found.posts, "posts", wanted.posts, post_of))
        if wanted.counters:
            reads.append(self._into(found.counters, "counters", wanted.counters, counters_of))
        if wanted.users:
            reads.append(self._into(found.users, "users", wanted.users, user_of))
        if wanted.sources:
            reads.append(self._into(found.sources, "sources", wanted.sources, source_of))
        if wanted.viewer and (mine := [*wanted.mine, *wanted.hidden]):
            reads.append(self._mine(found, wanted.viewer, mine))
        for user_id in {user_id for user_id, _ in wanted.follows}:
            targets = [target for user, target in wanted.follows if user == user_id]
            reads.append(self._follows(found, wanted.viewer, user_id, targets))
        await asyncio.gather(*reads)
        return found

    async def _into(
        self, into: dict[str, Any], query: str, ids: list[str], view: Callable[[Any], Any]
    ) -> None:
        parts = [ids[first : first + IDS_A_QUERY] for first in range(0, len(ids), IDS_A_QUERY)]
        for rows in await asyncio.gather(*(self._rows(query, part) for part in parts)):
            for row in rows:
                into[row[0]] = view(row)

    async def _mine(self, found: Found, viewer: str, post_ids: list[str]) -> None:
        for row in await self._rows("mine", viewer, post_ids):
            if row.reaction is not None:
                found.reactions[row.post_id] = row.reaction
            if row.is_shared:
                found.shared.add(row.post_id)
            if row.hidden_at:
                found.hidden.add(row.post_id)

    async def _follows(
        self, found: Found, viewer: str | None, user_id: str, targets: list[str]
    ) -> None:
        rows = await self._rows("following", user_id, targets)
        found.follows.update((user_id, row.target) for row in rows)
        if user_id == viewer:
            found.favourites.update(row.target for row in rows if row.is_favourite)

    async def comment(self, post_id: str, comment_id: str) -> CommentView | None:
        """A comment that was not deleted."""
        return (await self.comments_named(post_id, [comment_id])).get(comment_id)

    async def comments_named(self, post_id: str, comment_ids: list[str]) -> dict[str, CommentView]:
        """Those of some comments on a post that were not deleted, by id."""
        rows = await self._rows("comments", post_id, comment_ids)
        return {row.comment_id: comment_of(row) for row in rows}

    async def comments(self, post_id: str, below: tuple[int, str], limit: int) -> Placed:
        """The newest places of comments on a post below one (time in ms, id), with the comments;
        None for one that goes or moves just now."""
        rows = await self._rows("comment_places", post_id, *below, limit)
        places = [(row.at, row.comment_id) for row in rows]
        if not places:
            return []
        named = await self.comments_named(post_id, [name for _, name in places])
        found = {(comment.at, name): comment for name, comment in named.items()}
        return [(place, found.get(place)) for place in places]

    async def comment_counts(
        self, post_id: str, comment_ids: list[str]
    ) -> dict[str, CommentCountsView]:
        """Comment id to the counts, of those of some comments on a post that have any."""
        rows = await self._rows("comment_counts", post_id, comment_ids)
        return {row.comment_id: comment_counts_of(row) for row in rows}

    async def followers(self, source: str, after: str, limit: int) -> list[str]:
        """The users behind one who follow a source, in the order of their ids."""
        return [row.user_id for row in await self._rows("followers", source, after, limit)]

    async def followers_among(self, source: str, users: list[str]) -> list[str]:
        """Those of some users, at most a few hundred, who follow a source."""
        return [row.user_id for row in await self._rows("followers_among", source, users)]

    async def followed(self, user_id: str, after: str, limit: int) -> list[str]:
        """The users behind one whom a user follows, in the order of their ids."""
        bounds = (f"{USER}{after}", AFTER_USERS)
        rows = await self._rows("followed_users", user_id, *bounds, limit)
        return [row.target.removeprefix(USER) for row in rows]

    async def muted(self, user_id: str, after: str, limit: int) -> list[str]:
        """The sources behind one that a user mutes, in the order of their names."""
        return [row.target for row in await self._rows("muted", user_id, after, limit)]

    async def blocked(self, user_id: str, after: str, limit: int) -> list[str]:
        """The users behind one whom a user blocks, in the order of their ids."""
        bounds = (f"{USER}{after}", AFTER_USERS)
        rows = await self._rows("blocked_users", user_id, *bounds, limit)
        return [row.target.removeprefix(USER) for row in rows]

    async def holder(self, name: str) -> str | None:
        """Whose a user name is, in its common form."""
        found = await self._rows("holder", name)
        return found[0].user_id if found else None

    async def interests(self, user_id: str, limit: int, now: int) -> Inclinations:
        """What a user likes and not at a time (ms), of 5,000 subjects and 5,000 users."""
        return await archived_interests.read_interests(self._rows, user_id, limit, now)

    async def circle(self, user_id: str, now: int) -> Circle:
        """Follows of a user, newest first, and who is closest at a time (ms)."""
        return await archived_circle.read_circle(self._rows, user_id, now)

    async def follows_of(self, users: list[str]) -> dict[str, Follows]:
        """The first 100 sources that each of some users follows, in the order of their ids."""
        return await archived_circle.read_follows_of(self._rows, users)

    async def reacted(self, user_id: str, below: tuple[int, str], limit: int) -> list[Reacted]:
        """The newest reactions of a user below a place (time in ms, post id), at most so many."""
        return await archived_likes.read_reacted(self._rows, user_id, below, limit)

    async def has_posts(self, author_id: str) -> bool:
        """Whether there is any post of an author."""
        return bool(await self._rows("author", author_id))

    async def ping(self) -> None:
        """Return if Cassandra answers."""
        await self._ping()
        self._circuit.answered()

    async def _ping(self) -> None:
        await self._read("ping")


def _months(newest: int, oldest: int) -> Iterator[int]:
    """The buckets from the one of `newest` back to the one of `oldest` (ms)."""
    if newest < oldest:
        return
    bucket, last = month_of(newest), month_of(oldest)
    while bucket >= last:
        yield bucket
        bucket = bucket - 1 if bucket % 100 > 1 else bucket - 100 + 11
