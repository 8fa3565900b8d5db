"""What is not given back to a timeline, whatever the log says: what was deleted or erased since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from headrace.rebuild.compare import Row

CONCURRENCY = 32
DELETED = "deleted"
SHARE, TOPIC, USER = "s:", "t:", "u:"

_STATUS = "SELECT status FROM users WHERE user_id = ?"
_POST = "SELECT author_id, at, visibility, hashtags, is_deleted FROM posts WHERE post_id = ?"
_SHARE = "SELECT is_shared, shared_at FROM mine WHERE user_id = ? AND post_id = ?"


class PostNow(NamedTuple):
    """What makes a post's activities, as it is now."""

    author_id: str
    at: int
    visibility: str
    hashtags: frozenset[str]


class Now(NamedTuple):
    """What is there now: posts that are not deleted, shares in force with their times, and users
    who are deleted."""

    posts: dict[str, PostNow]
    shares: dict[tuple[str, str], int]
    deleted: set[str]

    def has(self, row: Row) -> bool:
        """Whether the activity that an entry stands for is still there, and as it was."""
        post_id, reason, at = row
        post = self.posts.get(post_id)
        if post is None or post.author_id in self.deleted:
            return False
        if reason.startswith(USER):
            return (reason, at) == (f"{USER}{post.author_id}", post.at)
        if post.visibility != "public":
            return False
        if reason.startswith(TOPIC):
            return at == post.at and reason.removeprefix(TOPIC) in post.hashtags
        sharer = reason.removeprefix(SHARE)
        return sharer not in self.deleted and self.shares.get((sharer, post_id)) == at


class Withheld:
    """Judges rows that a timeline would be given, by what Cassandra has.

    An owner who is deleted is given nothing. As of a moment, nobody is given what is there no
    longer; else the log itself has said so.
    """

    def __init__(self, session: Session, *, is_as_of: bool) -> None:
        self._session = session
        self._is_as_of = is_as_of
        self._status = session.prepare(_STATUS)
        self._post = session.prepare(_POST)
        self._share = session.prepare(_SHARE)

    def of(self, given: Mapping[str, Iterable[Row]]) -> dict[str, set[Row]]:
        """Owner to what is withheld of the rows that the owner would be given."""
        wanted = {owner: set(rows) for owner, rows in given.items()}
        wanted = {owner: rows for owner, rows in wanted.items() if rows}
        now = self._now(set().union(*wanted.values())) if self._is_as_of else None
        erased = self._deleted(wanted)
        return {
            owner: rows
            if owner in erased
            else {row for row in rows if now is not None and not now.has(row)}
            for owner, rows in wanted.items()
        }

    def _now(self, rows: set[Row]) -> Now:
        post_ids = {row[0] for row in rows}
        shares = {(row[1].removeprefix(SHARE), row[0]) for row in rows if row[1].startswith(SHARE)}
        posts = {
            post_id: PostNow(
                found.author_id or "",
                found.at or 0,
                found.visibility or "private",
                frozenset(found.hashtags or ()),
            )
            for (post_id,), found in self._ask(self._post, [(post_id,) for post_id in post_ids])
            if not found.is_deleted
        }
        shared = {
            (key[0], key[1]): found.shared_at or 0
            for key, found in self._ask(self._share, list(shares))
            if found.is_shared
        }
        people = {post.author_id for post in posts.values()} | {user_id for user_id, _ in shares}
        return Now(posts, shared, self._deleted(people))

    def _deleted(self, user_ids: Iterable[str]) -> set[str]:
        asked: list[tuple[str, ...]] = [(user_id,) for user_id in user_ids]
        return {key[0] for key, found in self._ask(self._status, asked) if found.status == DELETED}

    def _ask(
        self, statement: Any, keys: list[tuple[str, ...]]
    ) -> list[tuple[tuple[str, ...], Any]]:
        """Each key that has a row, with it."""
        answers = execute_concurrent_with_args(
            self._session, statement, keys, concurrency=CONCURRENCY
        )
        rows = zip(keys, (answer.result_or_exc.one() for answer in answers), strict=True)
        return [(key, row) for key, row in rows if row is not None]
