"""What a post is ranked by: one row for each, computed here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from msgspec import Struct

from api.memo import PostMemo
from schemas.views import CountersView, PostView

HOUR_MS = 3_600_000
CAP = 100.0
"""No affinity, interest or aversion counts for more (003, "Affinity Scoring System")."""
MAX_TOPICS = 8
MAX_KINDS = 4
TEXT = "text"


class Features(Struct, frozen=True, gc=False):
    """A post, toward one reader, as of one moment.

    `at` (ms) is where it stands on the timeline, `age_hours` is since it was made. `views` and
    `hides` are distinct users. `affinity`, `likes_*` and `aversion` are the reader's scores of now,
    0 to 100: of several topics or kinds of media the greatest, and of aversions the greatest of all
    subjects, the author among them. `kind` is that of the first medium, `text` without any.
    """

    post_id: str
    author_id: str
    at: int
    age_hours: float
    likes: int = 0
    comments: int = 0
    shares: int = 0
    views: int = 0
    hides: int = 0
    affinity: float = 0.0
    kind: str = TEXT
    likes_kind: float = 0.0
    likes_topic: float = 0.0
    likes_language: float = 0.0
    aversion: float = 0.0
    is_seen: bool = False
    is_viral: bool = False


class Tastes(Struct, frozen=True):
    """What a reader likes and not: subject (`u:`, `t:`, `l:`, `m:`) to the score of now."""

    likes: Mapping[str, float]
    aversions: Mapping[str, float]


class Subjects(Struct, frozen=True, gc=False):
    """What a post is about, as subjects of likes and aversions: its author, the kinds of its media,
    its topics, its language; and the kind of its first medium."""

    author: str
    kinds: tuple[str, ...]
    topics: tuple[str, ...]
    languages: tuple[str, ...]
    kind: str


def topics_of(post: PostView) -> list[str]:
    """The topics that a post is about, as sources."""
    return [f"t:{tag}" for tag in post.hashtags[:MAX_TOPICS]]


def _subjects_of(post: PostView) -> Subjects:
    return Subjects(
        f"u:{post.author_id}",
        tuple(f"m:{medium.kind}" for medium in post.media[:MAX_KINDS]),
        tuple(topics_of(post)),
        (f"l:{post.language.casefold()}",) if post.language else (),
        post.media[0].kind if post.media else TEXT,
    )


_subjects = PostMemo(_subjects_of)


def features_of(
    post: PostView,
    counters: CountersView,
    tastes: Tastes,
    *,
    at: int,
    now: int,
    is_seen: bool = False,
    is_viral: bool = False,
) -> Features:
    """The row of a post; times in ms since 1970 UTC. A reaction of any kind is a like, as in
    affinity; a post ahead of the clock is of now."""
    likes, aversions, about = tastes.likes, tastes.aversions, _subjects.of(post)
    age, affinity = now - post.at, likes.get(about.author, 0.0)
    aversion = 0.0
    if aversions:
        named = (about.author, *about.kinds, *about.topics, *about.languages)
        aversion = _greatest(aversions, named)
    # By place, as far as the names stay within 15: of more, Python makes a dict for each call.
    return Features(
        post.post_id,
        post.author_id,
        at,
        age / HOUR_MS if age > 0 else 0.0,
        likes=sum(counters.reactions.values()),
        comments=counters.comments,
        shares=counters.shares,
        views=counters.views,
        hides=counters.hides,
        affinity=affinity if affinity < CAP else CAP,
        kind=about.kind,
        likes_kind=_greatest(likes, about.kinds) if about.kinds else 0.0,
        likes_topic=_greatest(likes, about.topics) if about.topics else 0.0,
        likes_language=_greatest(likes, about.languages) if about.languages else 0.0,
        aversion=aversion,
        is_seen=is_seen,
        is_viral=is_viral,
    )


def _greatest(scores: Mapping[str, float], subjects: Iterable[str]) -> float:
    """The greatest score of some subjects."""
    greatest = 0.0
    for subject in subjects:
        if subject in scores and scores[subject] > greatest:
            greatest = scores[subject]
    return greatest if greatest < CAP else CAP


def in_order_of_time(rows: Iterable[Features]) -> Sequence[Features]:
    """Rows as `latest` has them: newest first, of one time those with the greater ids."""
    return sorted(rows, key=_AT_AND_ID, reverse=True)


_AT_AND_ID = attrgetter("at", "post_id")
