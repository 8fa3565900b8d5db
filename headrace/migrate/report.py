"""What a migration has copied, as a table and as JSON."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field
from rich.console import Console
from rich.table import Table

from headrace.migrate.copying import Copied
from headrace.migrate.plan import Plan


class Row(Struct):
    """Of a topic: records read and written, and bytes of keys and values read."""

    read: int = 0
    written: int = 0
    bytes: int = 0


class Report(Struct):
    """What was found and copied. `offsets` are those of each topic: its records at most; `kept` are
    keys of the API."""

    plan: Plan
    offsets: dict[str, int] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)
    topics: dict[str, Row] = field(default_factory=dict)
    kept: int = 0
    seconds: float = 0.0

    def note(self, topic: str, copied: Copied) -> None:
        """A partition of a topic was copied."""
        row = self.topics.setdefault(topic, Row())
        row.read += copied.read
        row.written += copied.written.total()
        row.bytes += copied.bytes

    @property
    def records(self) -> int:
        """The records that were read."""
        return sum(row.read for row in self.topics.values())

    def json(self) -> bytes:
        """The whole as JSON."""
        return msgspec.json.format(msgspec.json.encode(self))

    def show(self, console: Console) -> None:
        """Print what was copied."""
        table = Table("topic", title="copied")
        for head in ("records read", "written", "MB read"):
            table.add_column(head, justify="right")
        for topic, row in self.topics.items():
            if row.read:
                size = f"{row.bytes / 1e6:,.1f}"
                table.add_row(topic, f"{row.read:,}", f"{row.written:,}", size)
        console.print(table)

    def show_offsets(self, console: Console) -> None:
        """Print what there is to be copied."""
        table = Table("topic", title="to be copied")
        table.add_column("records at most", justify="right")
        for topic, offsets in self.offsets.items():
            if offsets:
                table.add_row(topic, f"{offsets:,}")
        console.print(table)
