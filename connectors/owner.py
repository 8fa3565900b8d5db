"""Who owns the partitions of a topic, as the transport sees it."""

from __future__ import annotations

from typing import Protocol


class PartitionOwner(Protocol):
    """Who processes a topic: told which partitions it gains and loses."""

    async def open(self, partition: int) -> int | None:
        """Take the partition over; the offset to read from, None for the oldest.

        Raises:
            LeavingError: it had to wait, and `Consumer.leaving` was set.
        """

    async def close(self, partition: int) -> None:
        """Let the partition go, owned or followed; nothing of it is in flight."""

    def has_work(self, partition: int) -> bool:
        """Whether there is more to do for an owned partition when it has no more records: then it
        is handed batches without any."""


class StatefulOwner(PartitionOwner, Protocol):
    """Who keeps a state for each partition, which may have standbys."""

    async def follow(self, partition: int) -> None:
        """Be the standby of a partition from now on, of which nothing is in flight."""


class LeavingError(Exception):
    """Given up, as the partition may be another's soon: whoever gets it does it again."""
