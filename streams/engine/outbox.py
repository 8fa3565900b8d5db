"""What one batch sends: collected while folding, sent by the checkpoint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

import msgspec

from connectors.tracing import MAX_TRACES
from schemas.events import Visibility
from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import (
    CloseTimeline,
    FillTimeline,
    OpenTimeline,
    PushEntry,
    RefillTimeline,
    RemoveEntry,
    RemoveSource,
    TimelineOp,
)
from streams.engine.state import Table
from streams.facts import Fact, encode_fact

MAX_OPERATIONS_PER_RECORD = 10_000
MAX_RECORD_BYTES = 512 * 1024
MAX_OWNERS_PER_OPERATION = 1_900  # of ids of at most 256 bytes, so that one fits a record
_BYTES_PER_OPERATION = 48
_encode = msgspec.msgpack.Encoder().encode

Header = tuple[str, bytes]
Row = TypeVar("Row")


class Output(NamedTuple):
    """One record to be written; `partition` is explicit, never left to a producer."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()


class Outbox:
    """Collects the outputs of one batch, in order per topic.

    Records of view topics are absolute, so only the last of a batch per key is kept. Timeline
    operations are grouped into few large records per partition.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._outputs: list[Output] = []
        self._views: defaultdict[Topic, dict[str, tuple[str, msgspec.Struct]]] = defaultdict(dict)
        self._tables: list[tuple[Topic, Table[Any], Callable[[str, Any], msgspec.Struct]]] = []
        self._operations: dict[int, list[TimelineOp]] = {}
        self._traced_views: defaultdict[tuple[str, bytes | None], dict[Header, None]]
        self._traced_views = defaultdict(dict)
        self._traced_operations: dict[int, tuple[Header, ...]] = {}
        self.deliveries = 0

    def partition_of(self, entity: str) -> int:
        """The partition of an entity, in every topic."""
        return partition_of(entity, self._partitions)

    def add(self, output: Output) -> None:
        """Write a record as it is."""
        self._outputs.append(output)

    def route(
        self, topic: Topic, entity: str, value: bytes, headers: tuple[Header, ...] = ()
    ) -> None:
        """Put bytes into the log of an entity."""
        partition = partition_of(entity, self._partitions)
        self._outputs.append(Output(topic, partition, entity.encode(), value, headers))

    def tell(self, topic: Topic, entity: str, fact: Fact) -> None:
        """Put a fact into the log of an entity."""
        self.route(topic, entity, encode_fact(fact))

    def deliver(self, topic: Topic, entity: str, fact: Fact) -> None:
        """Put a fact into the log of an entity, one of many to which a source tells the same."""
        self.tell(topic, entity, fact)
        self.deliveries += 1

    def show(self, topic: Topic, owner: str, key: str, view: msgspec.Struct) -> None:
        """Set a view's value for `key`, in the partition of `owner`."""
        self._views[topic][key] = (owner, view)

    def show_table(
        self, topic: Topic, table: Table[Row], view: Callable[[str, Row], msgspec.Struct]
    ) -> None:
        """Declare the views of a table: from now on every row that a batch changed is shown, as
        `view(entity, row)`, in the partition of the entity."""
        self._tables.append((topic, table, view))

    def push(self, post_id: str, reason: str, at: int, owners: list[str]) -> None:
        """Put an entry onto the timelines of `owners`."""
        for partition, part in self._by_partition(owners):
            self._add(partition, PushEntry(post_id, reason, at, part), len(part))

    def remove(
        self,
        post_id: str,
        reason: str,
        at: int,
        owners: list[str],
        visibility: Visibility = "public",
    ) -> None:
        """Take an entry off the timelines of `owners`."""
        for partition, part in self._by_partition(owners):
            self._add(partition, RemoveEntry(post_id, reason, at, part, visibility), len(part))

    def fill(self, owner: str, entries: list[tuple[str, str, int]]) -> None:
        """Put entries (post id, reason, at) onto one timeline."""
        self._add_for(owner, FillTimeline(owner, entries), len(entries))

    def remove_source(self, owner: str, reasons: list[str]) -> None:
        """Take every entry with one of `reasons` off one timeline."""
        self._add_for(owner, RemoveSource(owner, reasons), 1)

    def open_timeline(self, owner: str, epoch: str, answers: int) -> None:
        """Have Redis keep a timeline from here on, once so many sources have answered."""
        self._add_for(owner, OpenTimeline(owner, epoch, answers), 1)

    def refill(
        self, owner: str, epoch: str, floor: int, entries: list[tuple[str, str, int]]
    ) -> None:
        """Answer for a source: put what it holds onto a timeline that was opened."""
        self._add_for(owner, RefillTimeline(owner, epoch, floor, entries), 1 + len(entries))

    def close_timeline(self, owner: str) -> None:
        """Have Redis keep a timeline no longer."""
        self._add_for(owner, CloseTimeline(owner), 1)

    @property
    def operations(self) -> Collection[list[TimelineOp]]:
        """The operations on timelines, by partition."""
        return self._operations.values()

    @contextmanager
    def traced(self, headers: tuple[Header, ...], key: bytes | None) -> Iterator[None]:
        """What is collected meanwhile, of a record with this key, carries headers on that say of
        which traces it is part. Of a row that is shown the record's key says whether it is."""
        outer = self._outputs, self._views, self._operations
        self._outputs, self._views, self._operations = [], defaultdict(dict), {}
        try:
            yield
        finally:
            inner = self._outputs, self._views, self._operations
            self._outputs, self._views, self._operations = outer
            self._take_in(*inner, headers, key)

    def _take_in(
        self,
        outputs: list[Output],
        views: dict[Topic, dict[str, tuple[str, msgspec.Struct]]],
        operations: dict[int, list[TimelineOp]],
        headers: tuple[Header, ...],
        key: bytes | None,
    ) -> None:
        for output in outputs:
            self._outputs.append(output._replace(headers=(*output.headers, *headers)))
        for topic, shown in views.items():
            self._views[topic].update(shown)
            for name in shown:
                self._traced_views[topic, name.encode()].update(dict.fromkeys(headers))
        for topic, _, _ in self._tables:
            self._traced_views[topic, key].update(dict.fromkeys(headers))
        for partition, some in operations.items():
            self._operations.setdefault(partition, []).extend(some)
            self._traced_operations.update((id(operation), headers) for operation in some)

    def outputs(self) -> Iterator[Output]:
        """Everything to write."""
        if not self._traced_views and not self._traced_operations:
            return self._untraced()
        return map(self._with_traces, self._untraced())

    def _with_traces(self, output: Output) -> Output:
        headers = self._traced_views.get((output.topic, output.key))
        return output if headers is None else output._replace(headers=_few(headers))

    def _traces_of(self, operations: list[TimelineOp]) -> tuple[Header, ...]:
        if not self._traced_operations:
            return ()
        found = (self._traced_operations.get(id(operation), ()) for operation in operations)
        return _few(dict.fromkeys(chain.from_iterable(found)))

    def _untraced(self) -> Iterator[Output]:
        yield from self._outputs
        for topic, table, view_of in self._tables:
            for entity, row in table.changed():
                partition = partition_of(entity, self._partitions)
                yield Output(topic, partition, entity.encode(), _encode(view_of(entity, row)))
        for topic, views in self._views.items():
            for key, (owner, view) in views.items():
                partition = partition_of(owner, self._partitions)
                yield Output(topic, partition, key.encode(), _encode(view))
        for partition, operations in self._operations.items():
            for record in _records(operations):
                traces = self._traces_of(record)
                yield Output(Topic.TIMELINE_WRITES, partition, None, _encode(record), traces)

    def clear(self) -> None:
        """Forget everything collected."""
        self._outputs.clear()
        self._views.clear()
        self._operations.clear()
        self._traced_views.clear()
        self._traced_operations.clear()
        self.deliveries = 0

    def _add_for(self, owner: str, operation: TimelineOp, weight: int) -> None:
        self._add(partition_of(owner, self._partitions), operation, weight)

    def _add(self, partition: int, operation: TimelineOp, weight: int) -> None:
        self._operations.setdefault(partition, []).append(operation)
        self.deliveries += weight

    def _by_partition(self, owners: list[str]) -> Iterator[tuple[int, list[str]]]:
        groups: dict[int, list[str]] = {}
        for owner in owners:
            groups.setdefault(partition_of(owner, self._partitions), []).append(owner)
        for partition, group in groups.items():
            for start in range(0, len(group), MAX_OWNERS_PER_OPERATION):
                yield partition, group[start : start + MAX_OWNERS_PER_OPERATION]


def _few(headers: Iterable[Header]) -> tuple[Header, ...]:
    return tuple(islice(headers, MAX_TRACES))


def _weight(operation: TimelineOp) -> tuple[int, int]:
    """How many single operations it stands for, and its bytes at most."""
    match operation:
        case PushEntry(post_id, reason, _, owners) | RemoveEntry(post_id, reason, _, owners):
            ids = sum(map(len, owners)) * 4 + 3 * len(owners)
            return len(owners), ids + 4 * (len(post_id) + len(reason)) + _BYTES_PER_OPERATION
        case FillTimeline(owner, entries):
            return len(entries), 4 * len(owner) + _bytes_of(entries)
        case RefillTimeline(owner, epoch, _, entries):
            return 1 + len(entries), 4 * (len(owner) + len(epoch)) + _bytes_of(entries)
        case RemoveSource(owner, reasons):
            return 1, 4 * (len(owner) + sum(map(len, reasons))) + _BYTES_PER_OPERATION
        case OpenTimeline(owner, epoch):
            return 1, 4 * (len(owner) + len(epoch)) + _BYTES_PER_OPERATION
        case CloseTimeline(owner):
            return 1, 4 * len(owner) + _BYTES_PER_OPERATION


def _bytes_of(entries: list[tuple[str, str, int]]) -> int:
    ids = sum(len(post_id) + len(reason) for post_id, reason, _ in entries) * 4
    return ids + _BYTES_PER_OPERATION * (len(entries) + 1)


def _records(operations: list[TimelineOp]) -> Iterator[list[TimelineOp]]:
    """Cut operations into records of at most 10,000 operations and 512 KiB."""
    record: list[TimelineOp] = []
    count = size = 0
    for operation in operations:
        more, bytes_more = _weight(operation)
        if record and (
            count + more > MAX_OPERATIONS_PER_RECORD or size + bytes_more > MAX_RECORD_BYTES
        ):
            yield record
            record, count, size = [], 0, 0
        record.append(operation)
        count += more
        size += bytes_more
    if record:
        yield record
