"""Opens the hub of a process as its settings say."""

from __future__ import annotations

from api.live.figures import Figures
from api.live.hub import Hub, Room
from api.live.kafka_log import KafkaLog
from api.state import Services
from connectors.settings import Settings


def open_hub(settings: Settings, brokers: str, services: Services, figures: Figures) -> Hub:
    """A hub that reads a Kafka; to be opened in the event loop, and closed."""
    room = Room(
        streams=settings.streams,
        streams_per_user=settings.streams_per_user,
        replayed_records=settings.stream_replay_records,
    )
    hub = Hub(KafkaLog(brokers), services, settings.partitions, room, figures)
    hub.start()
    return hub
