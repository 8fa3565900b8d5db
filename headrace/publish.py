"""The client library of producers: typed events, and a publisher that loses none in silence.

A `Publisher` is idempotent and waits for all replicas; an event that could not be delivered raises
`PublishError`, by the next call or at the end of the block. See docs/producing.md for an example,
for what events mean and for what they must hold.
"""

from __future__ import annotations

from connectors.publisher import Publisher, PublishError, PublishReport, key_of, publish
from schemas.events import (
    Engagement,
    Event,
    Feedback,
    Follow,
    Media,
    Moderation,
    Post,
    Surface,
    User,
)

__all__ = [
    "Engagement",
    "Event",
    "Feedback",
    "Follow",
    "Media",
    "Moderation",
    "Post",
    "PublishError",
    "PublishReport",
    "Publisher",
    "Surface",
    "User",
    "key_of",
    "publish",
]
