"""What came of a verification: as a table, and as JSON."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from headrace.verify.damage import Damage

SHOWN = 20
LONGEST = 300


class Compared(Struct, frozen=True):
    """How many rows of a kind in a store were compared, and how many differ."""

    kind: str
    store: str
    compared: int
    different: int


class Difference(Struct, frozen=True):
    """A row that is not as expected; None stands for no row."""

    kind: str
    store: str
    what: str
    expected: Any
    found: Any


class Report(Struct, kw_only=True):
    """Figures in seconds and events per second; `seconds` until nothing waited any more."""

    events: int = 0
    seconds: float = 0.0
    events_per_s: float = 0.0
    published_in_s: float = 0.0
    oracle_s: float = 0.0
    compare_s: float = 0.0
    rows: list[Compared] = []
    differences: list[Difference] = []
    damage: Damage | None = None

    @property
    def compared(self) -> int:
        """All rows that were compared."""
        return sum(row.compared for row in self.rows)

    @property
    def different(self) -> int:
        """All rows that differ."""
        return sum(row.different for row in self.rows)

    def add(self, tally: Any) -> None:
        """Take over a tally of the comparison."""
        self.rows.append(Compared(tally.kind, tally.store, tally.compared, tally.different))
        self.differences += [
            Difference(tally.kind, tally.store, found.what, found.expected, found.found)
            for found in tally.differences
        ]

    def json(self) -> bytes:
        """The report with its sums."""
        values = msgspec.to_builtins(self, enc_hook=repr, str_keys=True)
        values |= {"compared": self.compared, "different": self.different}
        return msgspec.json.format(msgspec.json.encode(values), indent=1) + b"\n"

    def show(self, console: Console) -> None:
        """Print the table, then the first rows that differ."""
        table = Table("kind", "store")
        for heading in ("compared", "different"):
            table.add_column(heading, justify="right")
        for row in self.rows:
            style = "red" if row.different else None
            table.add_row(
                row.kind, row.store, f"{row.compared:,}", f"{row.different:,}", style=style
            )
        table.add_section()
        table.add_row("all", "", f"{self.compared:,}", f"{self.different:,}")
        console.print(table)
        for found in self.differences[:SHOWN]:
            console.print(f"{found.kind} in {found.store}: {found.what}", markup=False)
            console.print(f"    expected {_short(found.expected)}", markup=False, highlight=False)
            console.print(f"    found    {_short(found.found)}", markup=False, highlight=False)
        if self.different > SHOWN:
            console.print(f"... {self.different - SHOWN:,} more rows differ")


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
