"""What came of a rebuild: as a table, and as JSON."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from headrace.rebuild.compare import Difference

SHOWN = 20
KEPT = 1_000


class Named(Struct, frozen=True):
    """A row that is missing or extra in a store."""

    store: str
    owner: str
    what: str
    post_id: str = ""
    reason: str = ""
    at: int | None = None


class StoreReport(Struct, kw_only=True):
    """Counts of one store: users, entries, and swaps or corrections.

    `mended` are users, `retries` swaps that found that the sink had written meanwhile, `left` users
    whose rows differ still.
    """

    store: str
    users: int = 0
    different: int = 0
    missing: int = 0
    extra: int = 0
    mended: int = 0
    retries: int = 0
    left: list[str] = []
    rows: list[Named] = []

    def add(self, owner: str, found: Difference) -> None:
        """Take in what is wrong of an owner."""
        self.different += 1
        self.missing += len(found.missing)
        self.extra += len(found.extra)
        named = [Named(self.store, owner, "missing", *row) for row in found.missing]
        named += [Named(self.store, owner, "extra", *row) for row in found.extra]
        self.rows += named[: KEPT - len(self.rows)]


class Report(Struct, kw_only=True):
    """`at` is the moment as it was given; `reaches_back_to` is when the log begins (ms), None when
    it has every record ever."""

    is_dry_run: bool
    at: str | None = None
    reaches_back_to: int | None = None
    seconds: float = 0.0
    records: int = 0
    redis: StoreReport
    cassandra: StoreReport

    @property
    def different(self) -> int:
        """Timelines that differ, in either store."""
        return self.redis.different + self.cassandra.different

    @property
    def left(self) -> int:
        """Timelines that differ still."""
        if self.is_dry_run:
            return self.different
        return len(self.redis.left) + len(self.cassandra.left)

    def json(self) -> bytes:
        """The report."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    def show(self, console: Console) -> None:
        """Print the table, then the first rows that differ."""
        table = Table("store")
        for heading in ("users", "different", "missing", "extra", "mended", "retries"):
            table.add_column(heading, justify="right")
        for each in (self.redis, self.cassandra):
            counts = [each.users, each.different, each.missing, each.extra]
            counts += [each.mended, each.retries]
            table.add_row(each.store, *(f"{count:,}" for count in counts))
        console.print(table)
        rows = self.redis.rows + self.cassandra.rows
        for row in rows[:SHOWN]:
            what = " ".join(filter(None, (row.what, row.post_id, row.reason)))
            console.print(f"{row.store}: {row.owner}: {what}", markup=False, highlight=False)
        if len(rows) > SHOWN:
            console.print("... and more (--json lists the first 1,000 of each store)")
