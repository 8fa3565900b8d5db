"""Rows in memory and on disk do the same: both are compared with plain dicts."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import Struct

from streams.engine.disk import DiskStore
from streams.engine.rows import MemoryStore, RowStore
from streams.engine.state import State


class Row(Struct, frozen=True, array_like=True):
    """A row of these tests."""

    n: int


entities = st.sampled_from(["", "a", "a!", "ab", "u:a", "日本", "日本語"])
subs = st.sampled_from(["", "s", "view\0a", "view\0", "日本"])
rows = st.builds(Row, st.integers(0, 3))
Batch = dict[tuple[str, str] | str, Row | None]


class RowsMachine(RuleBasedStateMachine):
    """A state in memory: what it holds, and what it should."""

    def __init__(self) -> None:
        super().__init__()
        self.committed: dict[tuple[str, str] | str, Row] = {}
        self.batch: Batch = {}
        self.position: int | None = None
        self.offset = 0

    def make_store(self) -> RowStore:
        """Open the rows."""
        return MemoryStore()

    @initialize()
    def open(self) -> None:
        """A state with both kinds of tables."""
        self.state = State(self.make_store())
        self.table = self.state.table("one", Row)
        self.group = self.state.group_table("on", Row)
        self.other = self.state.group_table("one!", Row)

    def seen(self) -> dict[tuple[str, str] | str, Row]:
        """What the batch should see."""
        both = {**self.committed, **self.batch}
        return {key: row for key, row in both.items() if row is not None}

    @rule(entity=entities, row=rows)
    def put(self, entity: str, row: Row) -> None:
        """Set a row."""
        self.table.put(entity, row)
        self.batch[entity] = row

    @rule(entity=entities)
    def delete(self, entity: str) -> None:
        """Remove a row, or none."""
        self.table.delete(entity)
        self.batch[entity] = None

    @rule(entity=entities, sub=subs, row=rows)
    def put_in_group(self, entity: str, sub: str, row: Row) -> None:
        """Set a row of a group, and one with the same ids in another table."""
        self.group.put(entity, sub, row)
        self.other.put(entity, sub, Row(9))
        self.batch[entity, sub] = row

    @rule(entity=entities, sub=subs)
    def delete_from_group(self, entity: str, sub: str) -> None:
        """Remove a row of a group, or none."""
        self.group.delete(entity, sub)
        self.batch[entity, sub] = None

    @rule(entity=entities)
    def get(self, entity: str) -> None:
        """A row is what it should be."""
        assert self.table.get(entity) == self.seen().get(entity)

    @rule(entity=entities, sub=subs)
    def get_from_group(self, entity: str, sub: str) -> None:
        """A row of a group is what it should be."""
        assert self.group.get(entity, sub) == self.seen().get((entity, sub))

    @rule(entity=entities)
    def scan(self, entity: str) -> None:
        """A group has the rows that it should have, each once."""
        found = sorted(self.group.scan(entity))
        assert found == sorted(
            (key[1], r) for key, r in self.seen().items() if key[0:1] == (entity,)
        )

    @rule(entity=entities, after=subs, limit=st.integers(1, 3))
    def page(self, entity: str, after: str, limit: int) -> None:
        """The first rows behind one, in order."""
        rows = sorted((key[1], r) for key, r in self.seen().items() if key[0:1] == (entity,))
        behind = [each for each in rows if not after or each[0] > after]
        assert self.group.page(entity, after, limit) == behind[:limit]

    @rule()
    def commit(self) -> None:
        """The batch becomes the state."""
        self.position, self.offset = (self.position or 0) + 1, self.offset + 2
        self.state.commit(self.position, self.offset)
        self.committed = self.seen()
        self.batch = {}

    @rule()
    def roll_back(self) -> None:
        """The batch is forgotten."""
        self.state.rollback()
        self.batch = {}

    @rule()
    def restore(self) -> None:
        """The batch comes from the changelog, as another process wrote it."""
        changes = dict(self.state.changes())
        self.state.rollback()
        self.position, self.offset = (self.position or 0) + 1, self.offset + 2
        key, value = State.position_change(self.position)
        changes[key] = value
        self.state.restore(changes, self.offset, time.time_ns() // 1_000_000)
        self.committed = self.seen()
        self.batch = {}

    @rule()
    def discard(self) -> None:
        """Everything is forgotten."""
        self.state.rollback()
        self.state.discard("a test")
        self.committed, self.batch = {}, {}
        self.position, self.offset = None, 0

    @invariant()
    def stands_where_it_should(self) -> None:
        """The position, the changelog offset and the counts are right."""
        assert self.state.position == self.position
        assert (self.state.snapshot.changelog_offset if self.state.snapshot else 0) == self.offset
        counts = self.state.sizes()
        singles = sum(isinstance(key, str) for key in self.committed)
        assert (counts["one"], counts["on"]) == (singles, len(self.committed) - singles)


class DiskMachine(RowsMachine):
    """A state on disk, which is closed and opened again."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()

    def make_store(self) -> RowStore:
        return DiskStore(Path(self.directory.name) / "rows", "log", "topic", 3)

    @rule()
    def reopen(self) -> None:
        """The process ends and another goes on: the batch is gone, and nothing else."""
        self.state.close()
        self.open()
        self.batch = {}

    def teardown(self) -> None:
        self.state.close()
        self.directory.cleanup()


TestMemory = RowsMachine.TestCase
TestMemory.settings = settings(max_examples=100, stateful_step_count=40)
TestDisk = DiskMachine.TestCase
TestDisk.settings = settings(max_examples=50, stateful_step_count=40)
