"""Records as they are fetched: what aiokafka's decoder in C makes of them, and nothing more.

aiokafka copies each into a `ConsumerRecord` that also names its topic and partition, in Python,
which cost more than folding it. Who gets a `Batch` knows both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from aiokafka.consumer import fetcher


class Record(Protocol):
    """One record of a partition; `timestamp` is in ms, of the broker's clock where it counts."""

    @property
    def offset(self) -> int: ...

    @property
    def timestamp(self) -> int: ...

    @property
    def timestamp_type(self) -> int: ...

    @property
    def key(self) -> bytes | None: ...

    @property
    def value(self) -> bytes | None: ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class _AsDecoded(fetcher.PartitionRecords):  # type: ignore[misc]
    """Gives out the records that it decodes."""

    def __iter__(self) -> Iterator[Any]:
        records: Iterator[Any] = self._records_iterator
        return records

    def _consumer_record(self, _tp: Any, record: Any) -> Any:
        return record


def hand_over_as_decoded() -> None:
    """From now on every consumer of this process gives out `Record`s."""
    fetcher.PartitionRecords = _AsDecoded
