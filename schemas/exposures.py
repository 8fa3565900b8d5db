"""Exposures to experiments: what the API publishes of the feeds that it ranks."""

from __future__ import annotations

from msgspec import Struct


class Exposure(Struct, frozen=True, kw_only=True, gc=False):
    """A user was shown the first page of a ranked feed as a variant of an experiment has it; `at`
    in ms since 1970 UTC. Without a `ranker` it had failed, and the order was that of time."""

    event_id: str
    user_id: str
    experiment: str
    variant: str
    at: int
    ranker: str | None = None
