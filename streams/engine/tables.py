"""The tables of stages as Faust's command line and web monitor show them.

`faust tables`, `/table/` and `faust reset` know them; Faust neither restores them, nor starts
them, nor makes or reads their changelogs: stages do.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from faust.tables import TableManager


class ShownTable:
    """A table of a stage, to be listed; its rows are the stage's."""

    def __init__(self, name: str, text: str, local: Callable[[], Iterable[Path]]) -> None:
        self.name = name
        self.help = text
        self._local = local

    @property
    def changelog_topic(self) -> NoReturn:
        """What Faust's page of a key finds the key's worker by; so it answers 503."""
        raise KeyError(self.name)

    def reset_state(self) -> None:
        """Remove the local rows of the table's stage: they are restored from the changelog."""
        for path in self._local():
            shutil.rmtree(path, ignore_errors=True)

    async def maybe_start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def on_rebalance(self, *_: Any) -> None:
        """Nothing to move."""


class ShownTables(TableManager):  # type: ignore[misc]
    """Faust's table manager, with tables that it need not care for."""

    def show(self, table: ShownTable) -> None:
        """List a table, without a channel from its changelog."""
        self[table.name] = table
        self._channels[table] = None

    async def on_start(self) -> None:
        """Start at once: all tables are known, for which Faust waits a second."""
        await self._update_channels()
        await self.recovery.start()

    def __bool__(self) -> bool:
        """Whether Faust has tables to restore."""
        return False
