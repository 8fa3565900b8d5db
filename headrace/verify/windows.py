"""Ends the windows of what is trending, so that the lists hold all that was published."""

from __future__ import annotations

import time

from connectors.settings import settings
from schemas.topics import Topic
from streams.clock import Clock

TICKS = 25
"""A tick looks at a part of a partition's acts; so many look at a million."""

_LISTED = {"posts": Topic.BY_POST, "topics": Topic.BY_SOURCE}


def end_windows(brokers: str) -> dict[tuple[str, int], int]:
    """Write the time into the logs whose folds list what is trending, once nothing waits there; the
    time, by kind and partition."""
    partitions = range(settings().partitions)
    at = int(time.time() * 1000)
    clock = Clock(brokers)
    for _ in range(TICKS):
        clock.tick((topic, p) for topic in _LISTED.values() for p in partitions)
        time.sleep(0.002)  # a tick that is not newer is none
    return {(kind, p): at for kind in _LISTED for p in partitions}
