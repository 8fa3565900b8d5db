"""The slots of a consumer: what it holds of each partition, what it delivers and fetches next."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping

from faust.types import TP

from connectors.records import Record

PENDING_BYTES = 4 * 1024 * 1024
SAMPLES = 16
TOTAL_BYTES = 64 * 1024 * 1024
BATCH_RECORDS = 10_000
SLOW_SECONDS = 0.25
WORK_SECONDS = 0.1
LINGER_BYTES = 128 * 1024
"""With so much that waits, a batch is large enough."""

Records = list[Record]


class Slot:
    """What the consumer holds of one owned partition: a batch in flight, and fetched records
    that wait their turn; `has_work` says that the owner has more to do than those. `steps` counts
    what became durable. What it says of its log, from behind: everything below `position` is
    durable, below `reached` too (a part of what is in flight, or commit markers), and the next
    fetch begins at `fetched_to`; `first_end` is where the log ended when the partition was opened.
    Bytes are those of keys and values, as a sample of each fetch has them: to touch every record
    here would cost a tenth of what it costs to fold it."""

    def __init__(
        self, position: int, first_end: int | None = None, linger_seconds: float = 0.0
    ) -> None:
        self.first_end = position if first_end is None else first_end
        self.position = position
        self.reached = position
        self.fetched_to = position
        self.in_flight = False
        self.has_work = False
        self.steps = 0
        self.taken_at = 0.0
        self._linger_seconds = linger_seconds
        self._fetches: deque[tuple[float, int, Records]] = deque()
        self._waiting_bytes = 0
        self._flying_bytes = 0

    @property
    def has_caught_up(self) -> bool:
        """Whether all is durable that the log held when the partition was opened."""
        return max(self.position, self.reached) >= self.first_end

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing."""
        return not (self.in_flight or self._fetches)

    @property
    def is_idle(self) -> bool:
        """Whether it holds nothing, and its owner has nothing else to do."""
        return self.is_empty and not self.has_work

    @property
    def waits_since(self) -> float | None:
        """When the oldest came of what may be taken (monotonic seconds), None if nothing may. Work
        without records waits from `WORK_SECONDS` after its last turn, so records come first."""
        if self.in_flight:
            return None
        if self._fetches:
            return self._fetches[0][0]
        return self.taken_at + WORK_SECONDS if self.has_work else None

    def lingers(self, now: float) -> bool:
        """Whether the next batch is to grow for a while: one was taken not long ago, and little
        waits."""
        return now < self.taken_at + self._linger_seconds and self._waiting_bytes < LINGER_BYTES

    @property
    def has_records(self) -> bool:
        """Whether fetched records wait."""
        return bool(self._fetches)

    @property
    def is_full(self) -> bool:
        """Whether enough waits."""
        return self._waiting_bytes >= PENDING_BYTES

    @property
    def held_bytes(self) -> int:
        """What waits and what is in flight."""
        return self._waiting_bytes + self._flying_bytes

    def add(self, records: Records) -> None:
        """Hold what one fetch brought."""
        size = _size_of(records)
        self._fetches.append((time.monotonic(), size, records))
        self._waiting_bytes += size

    def take(self) -> Records:
        """The next batch, in flight from now on: whole fetches, up to `BATCH_RECORDS` unless the
        first has more. None for work alone."""
        taken: Records = []
        while self._fetches and (
            not taken or len(taken) + len(self._fetches[0][2]) <= BATCH_RECORDS
        ):
            _, size, records = self._fetches.popleft()
            self._waiting_bytes -= size
            self._flying_bytes += size
            taken.extend(records)
        self.in_flight = True
        self.taken_at = time.monotonic()
        return taken

    def move(self, position: int) -> None:
        """A part of what is in flight is durable."""
        self.reached = position
        self.steps += 1

    def land(self, position: int | None) -> None:
        """Nothing is in flight any more; where the partition stands now, None if where before."""
        self.in_flight = False
        self._flying_bytes = 0
        if position is not None:
            self.position = position
            self.steps += 1

    def clear(self) -> None:
        """Drop what waits."""
        self._fetches.clear()
        self._waiting_bytes = 0


def due(slots: Mapping[TP, Slot], in_flight: int, *, rests: bool) -> TP | None:
    """The partition whose next batch is to be delivered, if any: the one that has waited longest.
    Work alone is none while it `rests`.

    No more than `in_flight` batches are in flight beside each other. More would share the same
    processor, and each would take longer in proportion; what comes meanwhile waits in larger
    batches instead, which cost less a record. A batch that has taken `SLOW_SECONDS` waits for
    something else, a store or a broker, and does not count: it holds nobody up.
    """
    now = time.monotonic()
    busy_since = now - SLOW_SECONDS
    busy = sum(slot.in_flight and slot.taken_at > busy_since for slot in slots.values())
    if busy >= in_flight:
        return None
    waiting = [
        (since, tp)
        for tp, slot in slots.items()
        if (since := slot.waits_since) is not None
        and (slot.has_records or not rests)
        and not slot.lingers(now)
    ]
    return min(waiting)[1] if waiting else None


def wanted(slots: Mapping[TP, Slot]) -> set[TP]:
    """The partitions to fetch: those whose slot is not full. While all slots together hold
    `TOTAL_BYTES`, only those that hold nothing: so none starves because of others."""
    if sum(slot.held_bytes for slot in slots.values()) >= TOTAL_BYTES:
        return {tp for tp, slot in slots.items() if slot.is_empty}
    return {tp for tp, slot in slots.items() if not slot.is_full}


def _size_of(records: Records) -> int:
    step = max(1, len(records) // SAMPLES)
    sample = records[::step]
    size = sum(len(record.value or b"") + len(record.key or b"") for record in sample)
    return size * len(records) // max(1, len(sample))
