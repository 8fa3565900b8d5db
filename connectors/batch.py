"""A batch: what of a partition is processed together, and the Faust message that carries it."""

from __future__ import annotations

from typing import NamedTuple

from faust.types import TP
from faust.types.tuples import ConsumerMessage

from connectors.records import Record


class Batch(NamedTuple):
    """Records of one partition in offset order, none for work alone; `next_offset` is the position
    behind them."""

    tp: TP
    records: list[Record]
    next_offset: int


def message_of(batch: Batch, generation: int) -> ConsumerMessage:
    """The message whose value is a batch; it has the offset and time of the last record."""
    last = batch.records[-1] if batch.records else None
    return ConsumerMessage(
        batch.tp.topic,
        batch.tp.partition,
        batch.next_offset - 1,
        0.0 if last is None else last.timestamp / 1000,
        0 if last is None else last.timestamp_type,
        (),
        None,
        batch,
        None,
        0,
        0,
        batch.tp,
        generation_id=generation,
    )
