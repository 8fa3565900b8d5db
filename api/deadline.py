"""How much of its time a request has left, known to what it calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

ANSWER_SECONDS = 0.1
"""Kept back, so that there is an answer of what is known."""

_patience: ContextVar[asyncio.Timeout | None] = ContextVar("patience", default=None)


@contextmanager
def bound_by(patience: asyncio.Timeout) -> Iterator[None]:
    """Bound what this task and those that it starts ask of the stores; no longer when the timeout
    is rescheduled to None, or has passed.

    Task, context and timeout would hold each other if the context kept it: Python's collector then
    stops all for 10 to 20 ms when it comes upon some thousand requests.
    """
    token = _patience.set(patience)
    try:
        yield
    finally:
        _patience.reset(token)


def time_left(most: float | None = None) -> float | None:
    """Seconds that a call may take: `most`, or what is left of the request if that is less, but
    for its last 0.1 s; None for as long as it takes."""
    patience = _patience.get()
    when = None if patience is None or patience.expired() else patience.when()
    if when is None:
        return most
    left = max(0.0, when - asyncio.get_running_loop().time() - ANSWER_SECONDS)
    return left if most is None else min(most, left)
