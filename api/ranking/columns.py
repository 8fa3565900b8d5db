"""The numbers that a learned model sees of a post: one column for each, always in this order."""

from __future__ import annotations

from api.ranking.features import TEXT, Features

VERSION = 1
"""To be raised when a column comes, goes, or means something else."""
KINDS = (TEXT, "image", "video", "link")
COLUMNS = (
    "age_hours",
    "likes",
    "comments",
    "shares",
    "views",
    "hides",
    "affinity",
    "likes_kind",
    "likes_topic",
    "likes_language",
    "aversion",
    "is_seen",
    "is_viral",
    *(f"kind_{kind}" for kind in KINDS),
)


def columns_of(row: Features) -> list[float]:
    """The columns of a row; those of the kind are 1 for the row's own and 0 for others."""
    return [
        row.age_hours,
        float(row.likes),
        float(row.comments),
        float(row.shares),
        float(row.views),
        float(row.hides),
        row.affinity,
        row.likes_kind,
        row.likes_topic,
        row.likes_language,
        row.aversion,
        float(row.is_seen),
        float(row.is_viral),
        *(float(row.kind == kind) for kind in KINDS),
    ]
