"""Reads every view in Cassandra by scans of whole tables, several token ranges at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import msgspec
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Session
from cassandra.query import SimpleStatement, tuple_factory

from connectors.cassandra import connect
from headrace.verify import rows
from schemas.events import Media
from schemas.views import CountersView, MineView, PostView, UserView

PAGE_ROWS = 5_000
RANGES = 8
TIMEOUT_S = 120.0
_LEAST_TOKEN, _TOKENS = -(2**63), 2**64

_decode_media = msgspec.json.Decoder(tuple[Media, ...]).decode

Decayed = Callable[[float, int], float]
"""Given a score and its time (ms): what it is at the time of the comparison."""


class CassandraViews:
    """The views in one keyspace; close it when done."""

    def __init__(self, hosts: str, keyspace: str) -> None:
        self._cluster, self._session = connect(hosts, keyspace)
        profile = self._session.execution_profile_clone_update(
            EXEC_PROFILE_DEFAULT, row_factory=tuple_factory, request_timeout=TIMEOUT_S
        )
        self._profile = profile

    def close(self) -> None:
        """Close the connections."""
        self._cluster.shutdown()

    def _scan(self, table: str, key: str, columns: str) -> Iterator[tuple[Any, ...]]:
        """Every row, by token ranges; the next page is asked for while one is worked on."""
        for number in range(RANGES):
            low = _LEAST_TOKEN + _TOKENS * number // RANGES
            high = _LEAST_TOKEN + _TOKENS * (number + 1) // RANGES - 1
            yield from self._pages(
                f"SELECT {columns} FROM {table} WHERE token({key}) >= {low} "
                f"AND token({key}) <= {high}"
            )

    def _pages(self, query: str) -> Iterator[tuple[Any, ...]]:
        statement = SimpleStatement(query, fetch_size=PAGE_ROWS)
        session: Session = self._session
        paging_state = None
        pending = session.execute_async(statement, execution_profile=self._profile)
        while True:
            found = pending.result()
            page, paging_state = found.current_rows, found.paging_state
            if paging_state is not None:
                pending = session.execute_async(
                    statement, execution_profile=self._profile, paging_state=paging_state
                )
            yield from page
            if paging_state is None:
                return

    def posts(self) -> dict[str, rows.Row]:
        """Post id to its row."""
        columns = (
            "post_id, author_id, at, content, media, visibility, audience, reply_to, quote_of, "
            "language, location, hashtags, mentions, edited_at, is_deleted, hidden_by"
        )
        return rows.present(
            (row[0], rows.post_row(_post(row))) for row in self._scan("posts", "post_id", columns)
        )

    def posts_by_author(self) -> dict[tuple[str, int, str], bool]:
        """(author, time, post id)."""
        columns = "author_id, at, post_id"
        return dict.fromkeys(self._scan("posts_by_author", "author_id", columns), True)

    def counters(self) -> dict[str, rows.Row]:
        """Post id to its counts."""
        columns = "post_id, reactions, comments, shares, views, clicks, hides, reports"
        return rows.present(
            (
                row[0],
                rows.counters_row(
                    CountersView(row[0], dict(row[1] or {}), *(n or 0 for n in row[2:]))
                ),
            )
            for row in self._scan("counters", "post_id", columns)
        )

    def comments(self) -> dict[tuple[str, str], rows.Row]:
        """(post, comment id) to the comment."""
        columns = "post_id, comment_id, user_id, at, text, parent"
        return {
            (post_id, comment_id): {
                "user_id": user_id,
                "at": at,
                "text": text or "",
                "parent": parent,
            }
            for post_id, comment_id, user_id, at, text, parent in self._scan(
                "comments", "post_id", columns
            )
        }

    def comment_counts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(post, comment id) to its likes and the answers to it."""
        columns = "post_id, comment_id, likes, replies"
        found = self._scan("comment_counts", "post_id", columns)
        return {
            (post_id, comment_id): (likes, replies) for post_id, comment_id, likes, replies in found
        }

    def comments_by_time(self) -> dict[tuple[str, int, str], bool]:
        """(post, time, comment id)."""
        columns = "post_id, at, comment_id"
        return dict.fromkeys(self._scan("comments_by_time", "post_id", columns), True)

    def mine(self) -> dict[tuple[str, str], rows.Row]:
        """(user, post) to what the user did with it."""
        columns = "user_id, post_id, reaction, reacted_at, is_shared, shared_at, hidden_at"
        return rows.present(
            (
                (row[0], row[1]),
                rows.mine_row(
                    MineView(row[0], row[1], row[2], row[3] or 0, bool(row[4]), row[5] or 0, row[6])
                ),
            )
            for row in self._scan("mine", "user_id", columns)
        )

    def reactions_by_time(self) -> dict[tuple[str, int, str], str]:
        """(user, time, post) to the kind of reaction."""
        found = self._scan("reactions_by_time", "user_id", "user_id, at, post_id, reaction")
        return {(user_id, at, post_id): kind for user_id, at, post_id, kind in found}

    def users(self) -> dict[str, rows.Row]:
        """User id to the profile."""
        profile = "username, display_name, bio, avatar, is_verified, following, status"
        columns = f"user_id, {profile}, is_dormant, silenced"
        found = self._scan("users", "user_id", columns)
        return rows.present((row[0], rows.user_row(_user(row))) for row in found)

    def names(self) -> dict[str, str]:
        """User name to whose it is."""
        return dict(self._scan("names", "name", "name, user_id"))

    def sources(self) -> dict[str, tuple[int, int]]:
        """Source to its followers and live posts, where there are some."""
        found = self._scan("sources", "source", "source, followers, posts")
        return {row[0]: (row[1] or 0, row[2] or 0) for row in found if row[1] or row[2]}

    def recents(self) -> dict[tuple[str, str, str], int]:
        """(source, post, reason) to the time of what a heavy source holds."""
        found = self._scan("recents", "source", "source, post_id, reason, at")
        return {(source, post_id, reason): at for source, post_id, reason, at in found}

    def heavy(self) -> dict[str, bool]:
        """The heavy sources."""
        return {source: True for (source,) in self._scan("heavy", "source", "source")}

    def following(self) -> dict[tuple[str, str], int]:
        """(user, source) to the time of the follow."""
        found = self._scan("following", "user_id", "user_id, target, followed_at")
        return {(user_id, target): at for user_id, target, at in found}

    def favourites(self) -> dict[tuple[str, str], bool]:
        """(user, source) where the user is told of what the source posts."""
        found = self._scan("following", "user_id", "user_id, target, is_favourite")
        return {(user_id, target): True for user_id, target, is_wanted in found if is_wanted}

    def followers(self) -> dict[tuple[str, str], int]:
        """(user, source) to the time of the follow, from the sources' side."""
        found = self._scan("followers", "source", "source, user_id, followed_at")
        return {(user_id, source): at for source, user_id, at in found}

    def muted(self) -> dict[tuple[str, str], bool]:
        """(user, source) where the user mutes the source."""
        return dict.fromkeys(self._scan("muted", "user_id", "user_id, target"), True)

    def blocked(self) -> dict[tuple[str, str], bool]:
        """(user, source) where the user blocks the source."""
        return dict.fromkeys(self._scan("blocked", "user_id", "user_id, target"), True)

    def affinity(self, decayed: Decayed) -> dict[tuple[str, str], float]:
        """(user, the other) to the score at a time."""
        found = self._scan("affinity", "user_id", "user_id, target_id, score, at")
        return {(row[0], row[1]): decayed(row[2] or 0.0, row[3] or 0) for row in found}

    def interests(self, decayed: Decayed) -> dict[tuple[str, str], float]:
        """(user, subject) to the score at a time."""
        found = self._scan("interests", "user_id", "user_id, subject, score, at")
        return {(row[0], row[1]): decayed(row[2] or 0.0, row[3] or 0) for row in found}

    def aversions(self, decayed: Decayed) -> dict[tuple[str, str], float]:
        """(user, subject) to the aversion at a time; also to users, as `u:`."""
        columns = "aversion, averse_at"
        of_users = self._scan("affinity", "user_id", f"user_id, target_id, {columns}")
        of_others = self._scan("interests", "user_id", f"user_id, subject, {columns}")
        return {
            (user_id, f"{prefix}{subject}"): decayed(aversion, at)
            for prefix, found in (("u:", of_users), ("", of_others))
            for user_id, subject, aversion, at in found
            if aversion
        }

    def timelines(self) -> Iterator[tuple[str, int, list[tuple[str, float]]]]:
        """Each (owner, month) with its entries, newest first."""
        found = self._scan("timeline", "owner, bucket", "owner, bucket, at, post_id, reason")
        for (owner, bucket), entries in groupby(found, key=lambda row: (row[0], row[1])):
            yield owner, bucket, [(f"{row[3]}\0{row[4]}", row[2]) for row in entries]


def _user(row: tuple[Any, ...]) -> UserView:
    return UserView(
        user_id=row[0],
        username=row[1],
        display_name=row[2],
        bio=row[3],
        avatar=row[4],
        is_verified=bool(row[5]),
        following=row[6] or 0,
        status=row[7] or "active",
        is_dormant=bool(row[8]),
        silenced=tuple(row[9] or ()),
    )


def _post(row: tuple[Any, ...]) -> PostView:
    return PostView(
        post_id=row[0],
        author_id=row[1] or "",
        at=row[2] or 0,
        content=row[3] or "",
        media=_decode_media(row[4]) if row[4] else (),
        visibility=row[5] or "private",
        audience=tuple(row[6] or ()),
        reply_to=row[7],
        quote_of=row[8],
        language=row[9],
        location=row[10],
        hashtags=tuple(row[11] or ()),
        mentions=tuple(row[12] or ()),
        edited_at=row[13],
        is_deleted=bool(row[14]),
        hidden_by=row[15],
    )
