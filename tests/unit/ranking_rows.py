"""Rows of features for the tests of ranking."""

from __future__ import annotations

from typing import Any

from api.ranking.features import Features

NOW = 1_767_268_800_000  # 2026-01-01T12:00:00Z
HOUR = 3_600_000


def row(post_id: str = "p", author_id: str = "bob", age: float = 1.0, **fields: Any) -> Features:
    """A post made `age` hours ago."""
    given = {"at": NOW - int(age * HOUR), **fields}
    return Features(post_id=post_id, author_id=author_id, age_hours=age, **given)
