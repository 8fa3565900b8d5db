"""How what stands in one partition is dealt out to those that it becomes.

A partition is murmur2 modulo their number, so of a multiple of it each entity of a partition goes
to one of those that have the same rest: partitions are split, and never merged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import PushEntry, RemoveEntry, TimelineOp, TrendingView, decode_view
from streams.engine.owners import Owner
from streams.engine.rows import SEPARATOR
from streams.engine.state import State, StateFormatError, position_in
from streams.names import entity_of
from streams.trend_rows import ListSize
from streams.trends import LISTS, STANDING, list_of

_encode = msgspec.msgpack.Encoder().encode
_size = msgspec.msgpack.Decoder(ListSize).decode


class Copy(NamedTuple):
    """A record for a partition of the new generation."""

    partition: int
    key: bytes | None
    value: bytes | None


class MisplacedError(Exception):
    """Something stands in a partition that is not its entity's."""


class Split(Struct, frozen=True):
    """A partition of `before` becomes those of `after` that have the same rest."""

    partition: int
    before: int
    after: int

    @property
    def parts(self) -> range:
        """The partitions that it becomes."""
        return range(self.partition, self.after, self.before)

    def part_of(self, entity: str) -> int:
        """The one in which an entity is.

        Raises:
            MisplacedError: it is in none of them.
        """
        part = partition_of(entity, self.after)
        if part % self.before != self.partition:
            raise MisplacedError(
                f"{entity!r} stands in partition {self.partition} of {self.before}, and belongs "
                f"into {part % self.before}: is HEADRACE_PARTITIONS as it is for the workers?"
            )
        return part


class Splitter(Protocol):
    """Deals out the records of one partition, in their order."""

    def copies(self, key: bytes | None, value: bytes | None) -> Iterable[Copy]:
        """What becomes of a record."""

    def rest(self) -> Iterable[Copy]:
        """What is to be written behind the last record."""


class LogSplitter:
    """Records of an internal log, by the entity that is their key. What has none is the clock's,
    and for each part. What something else has put there stays in the part of the same number: it
    becomes a dead letter, as it would have."""

    def __init__(self, split: Split) -> None:
        self._split = split

    def copies(self, key: bytes | None, value: bytes | None) -> Iterable[Copy]:
        if key is None:
            return [Copy(part, key, value) for part in self._split.parts]
        return [Copy(self._part_of(key), key, value)]

    def rest(self) -> Iterable[Copy]:
        return ()

    def _part_of(self, key: bytes) -> int:
        try:
            return self._split.part_of(self._entity_in(key.decode()))
        except (UnicodeDecodeError, MisplacedError):
            return self._split.partition

    def _entity_in(self, key: str) -> str:
        return key


class ViewSplitter(LogSplitter):
    """Values of a view, by the first id in their keys."""

    def _entity_in(self, key: str) -> str:
        return key.partition(SEPARATOR)[0]


class NameSplitter(LogSplitter):
    """Values of `view.names`: a name's entity is not the name itself."""

    def _entity_in(self, key: str) -> str:
        return entity_of(key)


class TrendingSplitter(LogSplitter):
    """Lists of what is trending: each part has those of its entries. The first of all lists are
    the first of all parts of them."""

    def copies(self, key: bytes | None, value: bytes | None) -> Iterable[Copy]:
        try:
            view: TrendingView | None = decode_view(Topic.VIEW_TRENDING, value or b"")
        except msgspec.DecodeError:
            view = None
        for part in self._split.parts:
            yield Copy(part, key, value if view is None else self._of_part(view, part))

    def _of_part(self, view: TrendingView, part: int) -> bytes:
        entries = [each for each in view.entries if self._part_of(each.key.encode()) == part]
        return _encode(replace(view, partition=part, entries=tuple(entries)))


class WritesSplitter(LogSplitter):
    """Operations on timelines, by their owners, in their order."""

    def copies(self, key: bytes | None, value: bytes | None) -> Iterable[Copy]:
        try:
            operations: list[TimelineOp] = decode_view(Topic.TIMELINE_WRITES, value or b"")
        except msgspec.DecodeError:
            return [Copy(self._split.partition, key, value)]
        parts: defaultdict[int, list[TimelineOp]] = defaultdict(list)
        for operation in operations:
            for part, its in self._dealt(operation):
                parts[part].append(its)
        return [Copy(part, key, _encode(some)) for part, some in parts.items()]

    def _dealt(self, operation: TimelineOp) -> Iterator[tuple[int, TimelineOp]]:
        if not isinstance(operation, PushEntry | RemoveEntry):
            yield self._part_of(operation.owner.encode()), operation
            return
        owners: defaultdict[int, list[str]] = defaultdict(list)
        for owner in operation.owners:
            owners[self._part_of(owner.encode())].append(owner)
        for part, some in owners.items():
            yield part, replace(operation, owners=some)


class RowSplitter:
    """Rows of a fold's state, by whose they are. Behind them come the sizes of the lists of what is
    trending, counted anew from the keys that stand in each part's, and the position in the new log,
    which begins there: so a copy that was not finished has none.

    `position` is the one that was found in the old log.

    Raises:
        StateFormatError: the rows are of another version of Headrace.
        MisplacedError: a row is not where its fold would look for it.
    """

    def __init__(self, split: Split, owners: Mapping[str, Owner]) -> None:
        self.position: int | None = None
        self._split = split
        self._owners = owners
        self._sizes: dict[str, ListSize] = {}
        self._standing: defaultdict[tuple[int, str], set[bytes]] = defaultdict(set)

    def copies(self, key: bytes | None, value: bytes | None) -> Iterable[Copy]:
        assert key is not None
        if key == State.POSITION_KEY:
            self.position = position_in(value)
            return ()
        table, _, rest = key.decode().partition(SEPARATOR)
        entity, _, sub = rest.partition(SEPARATOR)
        if table == LISTS:
            self._sizes[sub] = ListSize() if value is None else _size(value)
            return ()
        try:
            owner = self._owners[table](entity, sub)
        except KeyError:
            raise StateFormatError(f"it has a table {table!r}") from None
        if owner is None:
            return [Copy(part, key, value) for part in self._split.parts]
        part = self._split.part_of(owner)
        if table == STANDING:
            self._note(part, list_of(entity), key, is_there=value is not None)
        return [Copy(part, key, value)]

    def rest(self) -> Iterable[Copy]:
        position_key, position = State.position_change(0)
        for part in self._split.parts:
            for name, size in self._sizes.items():
                keys = len(self._standing[part, name])
                if keys:
                    key = f"{LISTS}{SEPARATOR}{SEPARATOR}{name}".encode()
                    yield Copy(part, key, _encode(ListSize(keys, size.is_shown)))
            yield Copy(part, position_key, position)

    def _note(self, part: int, name: str, key: bytes, *, is_there: bool) -> None:
        if is_there:
            self._standing[part, name].add(key)
        else:
            self._standing[part, name].discard(key)


_SPLITTERS: dict[Topic, type[LogSplitter]] = {
    Topic.VIEW_NAMES: NameSplitter,
    Topic.VIEW_TRENDING: TrendingSplitter,
    Topic.TIMELINE_WRITES: WritesSplitter,
}


def splitter_of(topic: Topic, split: Split) -> LogSplitter:
    """Deals out a partition of a view, or of `timeline-writes`."""
    return _SPLITTERS.get(topic, ViewSplitter)(split)
