"""Kafka in memory, for commands that read its topics as one log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connectors import addresses, merged_log
from connectors.merged_log import Record
from connectors.subjects import TOPIC_OF
from schemas.codec import encode
from schemas.events import Engagement, Event


class Log:
    """Kafka, for what is read of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[Event] = []
        monkeypatch.setattr(addresses, "resolve_kafka", lambda: "kafka:1")
        monkeypatch.setattr(merged_log, "read_merged", self.read)
        monkeypatch.setattr("headrace.train.events.read_merged", self.read)

    def read(
        self,
        brokers: str,
        topics: list[str],
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Iterator[Record]:
        assert brokers == "kafka:1"
        for event in sorted(self.events, key=lambda event: event.at):
            topic = TOPIC_OF[type(event)]
            is_within = (since_ms or 0) <= event.at <= (until_ms or event.at)
            if topic in topics and is_within:
                yield Record(event.at, topic, encode(event))
        yield Record(until_ms or 0, topics[0], b"no event")


def act(user: str, action: Any, n: int, at: int) -> Engagement:
    return Engagement(
        event_id=f"{user} {action} {n}", action=action, user_id=user, post_id=f"p{n}", at=at
    )
