"""Fetched records: the same as aiokafka's own, without the copy."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from connectors.records import _AsDecoded, hand_over_as_decoded

LZ4 = 3
READ_COMMITTED = 1
PLACE = TopicPartition("posts", 2)
STOCK = fetcher.PartitionRecords
SEEN = ("offset", "timestamp", "timestamp_type", "key", "value")


def _log(*, transactional: bool) -> bytes:
    """Two record batches of producers 7 and 8, at offsets 10 and 13."""
    raw = b""
    for producer, first, size in ((7, 10, 3), (8, 13, 2)):
        builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=LZ4,
            is_transactional=transactional,
            producer_id=producer,
            producer_epoch=0,
            base_sequence=0,
            batch_size=100_000,
        )
        for n in range(size):
            headers = [("tags", b"x%d" % n)] if n else []
            value = None if n == 2 else b"v%d" % (first + n)
            builder.append(n, 1_700_000_000_000 + n, b"k%d" % n, value, headers)
        raw += first.to_bytes(8, "big") + bytes(builder.build())[8:]
    return raw


def _read(kind: Any, start: int, aborted: list[tuple[int, int]]) -> tuple[list[Any], int]:
    """The records from `start` on as `getall` reads them, and where the next fetch begins."""
    records = kind(
        PLACE,
        MemoryRecords(_log(transactional=bool(aborted))),
        aborted,
        start,
        None,
        None,
        True,
        READ_COMMITTED,
    )
    return list(records), records.next_fetch_offset


@pytest.mark.parametrize("aborted", [[], [(7, 10)]], ids=["all", "one was aborted"])
@pytest.mark.parametrize("start", [10, 11, 12])
def test_records_are_those_of_the_library(start: int, aborted: list[tuple[int, int]]) -> None:
    found, next_offset = _read(_AsDecoded, start, aborted)
    expected, expected_offset = _read(STOCK, start, aborted)
    assert next_offset == expected_offset == 15
    assert [tuple(getattr(each, name) for name in SEEN) for each in found] == [
        tuple(getattr(each, name) for name in SEEN) for each in expected
    ]
    assert [tuple(each.headers) for each in found] == [each.headers for each in expected]
    assert len(found) == sum(offset >= start for offset in range(13 if aborted else 10, 15))


def test_consumers_give_out_records_as_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "PartitionRecords", STOCK)
    hand_over_as_decoded()
    assert fetcher.PartitionRecords is _AsDecoded
