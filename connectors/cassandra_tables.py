"""The tables in Cassandra: each view that must outlive Redis."""

from __future__ import annotations

from datetime import UTC, datetime

TIMELINE_TTL_SECONDS = 30 * 24 * 60 * 60

TABLES = {
    "posts": """
        post_id text PRIMARY KEY, author_id text, at bigint, content text, media text,
        visibility text, audience frozen<list<text>>, reply_to text, quote_of text, language text,
        location text, hashtags frozen<list<text>>, mentions frozen<list<text>>, edited_at bigint,
        is_deleted boolean, hidden_by text""",
    "posts_by_author": """
        author_id text, at bigint, post_id text, PRIMARY KEY (author_id, at, post_id)
        ) WITH CLUSTERING ORDER BY (at DESC, post_id DESC""",
    "timeline": """
        owner text, bucket int, at bigint, post_id text, reason text,
        PRIMARY KEY ((owner, bucket), at, post_id, reason)
        ) WITH CLUSTERING ORDER BY (at DESC, post_id DESC, reason DESC""",
    "counters": """
        post_id text PRIMARY KEY, reactions frozen<map<text, int>>, comments int, shares int,
        views int, clicks int, hides int, reports int""",
    "comments": """
        post_id text, comment_id text, user_id text, at bigint, text text, parent text,
        PRIMARY KEY (post_id, comment_id)""",
    "comment_counts": """
        post_id text, comment_id text, likes int, replies int, PRIMARY KEY (post_id, comment_id)""",
    "comments_by_time": """
        post_id text, at bigint, comment_id text, PRIMARY KEY (post_id, at, comment_id)
        ) WITH CLUSTERING ORDER BY (at DESC, comment_id DESC""",
    "mine": """
        user_id text, post_id text, reaction text, reacted_at bigint, is_shared boolean,
        shared_at bigint, hidden_at bigint, PRIMARY KEY (user_id, post_id)""",
    "reactions_by_time": """
        user_id text, at bigint, post_id text, reaction text, PRIMARY KEY (user_id, at, post_id)
        ) WITH CLUSTERING ORDER BY (at DESC, post_id DESC""",
    "users": """
        user_id text PRIMARY KEY, username text, display_name text, bio text, avatar text,
        is_verified boolean, following int, status text, is_dormant boolean,
        silenced frozen<list<text>>""",
    "names": "name text PRIMARY KEY, user_id text",
    "sources": "source text PRIMARY KEY, followers int, posts int",
    "heavy": "source text PRIMARY KEY",
    "recents": """
        source text, post_id text, reason text, at bigint,
        PRIMARY KEY (source, post_id, reason)""",
    "following": """
        user_id text, target text, followed_at bigint, is_favourite boolean,
        PRIMARY KEY (user_id, target)""",
    "followers": """
        source text, user_id text, followed_at bigint, PRIMARY KEY (source, user_id)""",
    "muted": "user_id text, target text, PRIMARY KEY (user_id, target)",
    "blocked": "user_id text, target text, PRIMARY KEY (user_id, target)",
    "affinity": """
        user_id text, target_id text, score double, at bigint, aversion double, averse_at bigint,
        PRIMARY KEY (user_id, target_id)""",
    "interests": """
        user_id text, subject text, score double, at bigint, aversion double, averse_at bigint,
        PRIMARY KEY (user_id, subject)""",
    "positions": """
        topic text, partition int, log_id text, position bigint,
        PRIMARY KEY ((topic, partition))""",
}
"""Table name to its columns, key and order; `at` and other times are ms since 1970 UTC."""


def month_of(at: int) -> int:
    """The bucket of a timeline row: year times 100 plus month, in UTC, of a time in ms."""
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return moment.year * 100 + moment.month


def months_back(now: int, days: int) -> list[int]:
    """The buckets that hold the last `days` (at most 62) before `now` (ms), newest first."""
    day_ms = 86_400_000
    return list(dict.fromkeys(month_of(now - day * day_ms) for day in range(-1, days + 1)))


def statements(keyspace: str, replication: int) -> list[str]:
    """What creates the keyspace and its tables, each safe to repeat."""
    made = [
        f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = "
        f"{{'class': 'SimpleStrategy', 'replication_factor': {replication}}}"
    ]
    made += [
        f"CREATE TABLE IF NOT EXISTS {keyspace}.{table} ({columns})"
        for table, columns in TABLES.items()
    ]
    return made
