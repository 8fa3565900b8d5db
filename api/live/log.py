"""What streams need of Kafka; tests put another in its place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from api.live.changes import Found, Names
from api.live.places import Log


class Batch(NamedTuple):
    """Records that were read: what concerned somebody, and the offsets below which all was read;
    `lost` are logs that cannot be read on."""

    found: list[Found]
    reached: dict[Log, int]
    lost: frozenset[Log] = frozenset()


class Logs(Protocol):
    """Reads partitions from now on, as many as are wanted, and parts of them again.

    What is read is looked through for `names` under `lock`. Who changes `names` with the lock, and
    asks `position` meanwhile, misses nothing from that position on.
    """

    names: Names
    lock: threading.Lock

    def start(self, deliver: Callable[[Batch], None], heed: Callable[[], None]) -> None:
        """Begin; both are called in the running event loop, `heed` when `is_down` has changed."""

    @property
    def is_down(self) -> bool:
        """Whether Kafka does not answer."""

    async def follow(self, logs: Iterable[Log]) -> None:
        """Have logs read from their ends on, those that are not.

        Raises:
            StoreDownError: Kafka does not answer.
        """

    def leave(self, logs: Iterable[Log]) -> None:
        """Read logs no longer."""

    def position(self, log: Log) -> int:
        """The next offset of a log that is followed; to be asked with the lock."""

    async def oldest(self, log: Log) -> int:
        """The first offset that a log still has.

        Raises:
            StoreDownError: Kafka does not answer.
        """

    async def ends(self, logs: list[Log]) -> dict[Log, int]:
        """The offsets that come next, whether followed or not.

        Raises:
            StoreDownError: Kafka does not answer.
        """

    async def at(self, logs: list[Log], time_ms: int) -> dict[Log, int]:
        """The first offset of each log whose record is not older than a time.

        Raises:
            StoreDownError: Kafka does not answer.
        """

    async def read(self, log: Log, start: int, end: int, names: Iterable[str]) -> list[Found]:
        """What records from `start` up to before `end` say to names.

        Raises:
            StoreDownError: Kafka does not answer.
        """

    async def close(self) -> None:
        """Stop reading."""
