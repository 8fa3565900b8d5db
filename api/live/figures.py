"""Figures of streams, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class Figures:
    """How many streams there are, and what they were told."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.streams = Gauge("headrace_streams", "Streams that are open.", registry=registry)
        self.messages = Counter(
            "headrace_stream_messages", "Messages by type.", ["type"], registry=registry
        )
        self.ends = Counter(
            "headrace_stream_ends", "Ends of streams by reason.", ["reason"], registry=registry
        )
