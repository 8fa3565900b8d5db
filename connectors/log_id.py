"""The id of the log: stores keep it beside what they hold, so that no other log is mixed in."""

from __future__ import annotations

from connectors.kafka import metadata


class ForeignStoreError(Exception):
    """The store holds the views of another log."""

    def __init__(self, store: str, found: str, wanted: str) -> None:
        super().__init__(
            f"{store} holds the views of another Kafka (cluster {found}, this is {wanted}): "
            "empty it, or use another"
        )


def log_id_of(brokers: str) -> str:
    """The id that a Kafka cluster got when it was made."""
    return str(metadata(brokers).cluster_id)
