"""Stages' tables as Faust lists them; Faust itself has nothing to restore."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from faust.cli.reset import reset
from faust.cli.tables import tables
from faust.types import TP
from faust.web.exceptions import ServiceUnavailable
from msgspec import Struct

from connectors.records import Record
from connectors.settings import Settings
from connectors.stack.addresses import Addresses
from schemas.topics import Topic
from streams.engine.app import App
from streams.engine.outbox import Outbox
from streams.engine.replica import Fold
from streams.engine.state import State


class Word(Struct, frozen=True, array_like=True):
    """How often a word
    was seen.

    More about it.
    """


class Place(Struct, frozen=True, array_like=True):
    """Where it was seen."""


class WordFold(Fold):
    """A fold with two tables."""

    def __init__(self, state: State, _outbox: Outbox) -> None:
        state.table("word", Word)
        state.group_table("place", Place)

    def apply(self, record: Record) -> None:
        raise AssertionError(f"nothing is folded here, not {record}")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An app with a stage."""
    with mock.patch("streams.engine.app.gc"):
        app = App("test", Addresses("", "", ""), Settings(HEADRACE_DATA_DIR=str(tmp_path)), 1)
    app.stage(Topic.BY_POST, WordFold)
    yield app
    app.pool.shutdown()


LISTED = {
    "by-post.word": "How often a word was seen.",
    "by-post.place": "Where it was seen.",
}


def test_tables_are_listed(app: App) -> None:
    assert {name: table.help for name, table in app.tables.items()} == LISTED


def test_the_command_line_lists_them(app: App) -> None:
    command = mock.Mock(app=app, title="Tables", tabulate=lambda rows, **_: rows)
    asyncio.run(tables.run(command))
    command.say.assert_called_once_with(list(LISTED.items()))


def test_the_page_of_a_key_finds_no_worker(app: App) -> None:
    with pytest.raises(ServiceUnavailable):
        asyncio.run(app.router.route_req("by-post.word", "k", mock.Mock(), mock.Mock()))


def test_a_reset_removes_the_local_rows(app: App, tmp_path: Path) -> None:
    """Those of workers that ran beside each other too."""
    for name in ("test", "test-2"):
        kept, gone = (tmp_path / "state" / name / topic for topic in ("by-user", "by-post"))
        for directory in (kept, gone):
            (directory / "3").mkdir(parents=True)
    asyncio.run(reset.reset_tables(mock.Mock(app=app)))
    for name in ("test", "test-2"):
        kept, gone = (tmp_path / "state" / name / topic for topic in ("by-user", "by-post"))
        assert (kept.exists(), gone.exists()) == (True, False)


def test_faust_restores_nothing_and_reads_no_changelog(app: App) -> None:
    """Its recovery asks whether there are tables, and makes channels of their changelogs."""
    recovery = mock.AsyncMock()
    app.tables._recovery = recovery
    consumer = mock.Mock(assignment=lambda: {TP("by-post", 0)})
    with mock.patch.object(App, "consumer", consumer):
        asyncio.run(app.tables.on_rebalance({TP("by-post", 0)}, set(), set()))
    recovery.on_rebalance.assert_awaited_once()
    assert not app.tables
    assert app.tables.changelog_topics == set()
    assert list(app.topics) == []
    consumer.pause_partitions.assert_called_once_with(set())
