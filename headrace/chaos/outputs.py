"""What the folds must have put out: each record of an internal log folded once, in its order.

The oracle says what all events come to; here the engine is judged alone. The product's own folds
run over the internal logs as they are for who reads committed records, and each fact and each
timeline operation that comes out must stand in its log: as often, and no more. Only what was for a
follower who then left may be missing: when its fan-out waited, it passed them over. View topics are
left out, as they hold the last value of a batch only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from connectors.settings import settings
from schemas.codec import MAGIC, UndecodableError
from schemas.events import Post, Visibility
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
from streams.engine.outbox import Header, Outbox
from streams.engine.records import decode_record, tags_header
from streams.engine.replica import Fold, MakeFold
from streams.engine.state import State
from streams.facts import Handling, Tick, decode_fact
from streams.intake import extract
from streams.posts import PostFold
from streams.sources import SourceFold
from streams.users import UserFold
from tests.oracle.read_log import read_topics

FOLDS: dict[Topic, MakeFold] = {
    Topic.BY_POST: lambda state, outbox: PostFold(
        state, outbox, reports_to_hide=settings().reports_to_hide
    ),
    Topic.BY_USER: UserFold,
    Topic.BY_SOURCE: lambda state, outbox: SourceFold(
        state, outbox, heavy_followers=settings().heavy_followers
    ),
}

ALL_AT_ONCE = 1_000_000

_decode_operations = msgspec.msgpack.Decoder(list[TimelineOp]).decode


class Outputs(Struct, frozen=True):
    """Facts and single timeline operations."""

    implied: int
    """What the folds make of the committed logs."""
    missing: int
    """Those that no log has."""
    surplus: int
    """What stands in a log without a reason, or more often than it must."""

    @property
    def wrong(self) -> list[str]:
        """What is missing or too much."""
        counts = {"outputs missing": self.missing, "outputs too many": self.surplus}
        return [f"{count:,} {what}" for what, count in counts.items() if count]


def judge(brokers: str, partitions: int) -> Outputs:
    """Fold what the internal logs hold, and compare. O(records + operations)."""
    implied: Counter[int] = Counter()
    waived: Counter[int] = Counter()
    found: Counter[int] = Counter()
    for topic, make_fold in FOLDS.items():
        refolded = [_Refolded(make_fold, partitions) for _ in range(partitions)]
        for _, partition, offset, at, value in read_topics(brokers, (topic,)):
            record = _Record(offset, at, value, headers=_headers(value))
            implied.update(refolded[partition].fold(record))
            waived.update(refolded[partition].waived())
            if _is_put_out(value):
                found[hash((topic, partition, value))] += 1
    for _, partition, _, _, value in read_topics(brokers, (Topic.TIMELINE_WRITES,)):
        found.update(_operations(partition, value))
    return Outputs(
        implied=implied.total(),
        missing=(implied - found - waived).total(),
        surplus=(found - implied).total(),
    )


class _Record(NamedTuple):
    """A record without its key, on which facts and operations do not depend."""

    offset: int
    timestamp: int
    value: bytes | None
    timestamp_type: int = 1
    key: bytes | None = None
    headers: Sequence[Header] = ()


class _Told(Outbox):
    """Notes facts and single operations, each as the hash of what it is and where it belongs; and
    which of them were for a follower, until that one leaves: then they are waived."""

    def __init__(self, partitions: int) -> None:
        super().__init__(partitions)
        self.each: list[int] = []
        self.waived: list[int] = []
        self._brought: defaultdict[tuple[str, str], list[int]] = defaultdict(list)

    def route(
        self,
        topic: Topic,
        entity: str,
        value: bytes,
        _headers: tuple[Header, ...] = (),
    ) -> None:
        self.each.append(hash((topic, partition_of(entity, self._partitions), value)))

    def show(self, *_: Any) -> None:
        """Views are left out."""

    def show_table(self, *_: Any) -> None:
        """Views are left out."""

    def push(self, post_id: str, reason: str, at: int, owners: list[str]) -> None:
        self._note(PushEntry(post_id, reason, at, owners), reason)

    def remove(
        self,
        post_id: str,
        reason: str,
        at: int,
        owners: list[str],
        visibility: Visibility = "public",
    ) -> None:
        self._note(RemoveEntry(post_id, reason, at, owners, visibility), reason)

    def fill(self, owner: str, entries: list[tuple[str, str, int]]) -> None:
        self._note(FillTimeline(owner, entries))

    def remove_source(self, owner: str, reasons: list[str]) -> None:
        self._note(RemoveSource(owner, reasons))
        for reason in reasons:
            self.waived += self._brought.pop((owner, reason), ())

    def open_timeline(self, owner: str, epoch: str, answers: int) -> None:
        self._note(OpenTimeline(owner, epoch, answers))

    def refill(
        self, owner: str, epoch: str, floor: int, entries: list[tuple[str, str, int]]
    ) -> None:
        self._note(RefillTimeline(owner, epoch, floor, entries))

    def close_timeline(self, owner: str) -> None:
        self._note(CloseTimeline(owner))

    def _note(self, operation: TimelineOp, reason: str | None = None) -> None:
        for owner, what in _single(operation):
            found = hash((partition_of(owner, self._partitions), owner, what))
            self.each.append(found)
            if reason is not None:
                self._brought[owner, reason].append(found)


class _Refolded:
    """One partition of a log, folded record by record."""

    def __init__(self, make_fold: MakeFold, partitions: int) -> None:
        self._state = State()
        self._told = _Told(partitions)
        self._fold: Fold = make_fold(self._state, self._told)

    def fold(self, record: _Record) -> list[int]:
        """What one record gives rise to; nothing when its fold does not take it."""
        self._told.each, self._told.waived = [], []
        try:
            self._fold.apply(record)
        except Exception:  # noqa: BLE001  (as in a stage, whatever it is)
            self._state.rollback()
            self._told.waived = []
            return []
        self._state.commit(record.offset + 1, 0)
        while self._fold.backlog:
            self._fold.work(ALL_AT_ONCE)
            self._state.commit(record.offset + 1, 0)
        return self._told.each

    def waived(self) -> list[int]:
        """What of earlier records that record has made needless."""
        return self._told.waived


def _headers(value: bytes | None) -> Sequence[Header]:
    """The headers that intake gives an event: the tags of what a post says."""
    if not value or value[0] != MAGIC:
        return ()
    try:
        event = decode_record(value)
    except UndecodableError:
        return ()
    return (tags_header(extract(event.content)),) if isinstance(event, Post) else ()


def _is_put_out(value: bytes | None) -> bool:
    """Whether a record of an internal log is a fold's: no event, no tick, nothing that an operator
    said, and no poison."""
    if not value or value[0] == MAGIC:
        return False
    try:
        return not isinstance(decode_fact(value), Tick | Handling)
    except msgspec.DecodeError:
        return False


def _operations(partition: int, value: bytes | None) -> Iterator[int]:
    """The single operations of a record of `timeline-writes`; none of poison."""
    try:
        operations = _decode_operations(value or b"")
    except msgspec.DecodeError:
        return
    for operation in operations:
        for owner, what in _single(operation):
            yield hash((partition, owner, what))


def _single(operation: TimelineOp) -> Iterable[tuple[str, tuple[object, ...]]]:
    """(owner, what happens on the timeline) of each single operation."""
    match operation:
        case PushEntry(post_id, reason, at, owners):
            return ((owner, ("push", post_id, reason, at)) for owner in owners)
        case RemoveEntry(post_id, reason, at, owners, visibility):
            return ((owner, ("remove", post_id, reason, at, visibility)) for owner in owners)
        case FillTimeline(owner, entries):
            return ((owner, ("fill", *entry)) for entry in entries)
        case RemoveSource(owner, reasons):
            return [(owner, ("remove source", *reasons))]
        case OpenTimeline(owner, epoch, answers):
            return [(owner, ("open", epoch, answers))]
        case RefillTimeline(owner, epoch, floor, entries):
            return [(owner, ("refill", epoch, floor, *map(tuple, entries)))]
        case CloseTimeline(owner):
            return [(owner, ("close",))]
