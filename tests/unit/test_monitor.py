"""What the monitor says of partitions and of standbys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry, generate_latest

from connectors.settings import Settings
from connectors.stack.addresses import Addresses
from connectors.transport import Consumer, Progress
from schemas.dead_letters import CODES
from schemas.topics import Topic
from streams.engine import monitor
from streams.engine.app import App
from streams.engine.sink import Reach
from streams.engine.standby import Following
from tests.unit.folds import record


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An app with a stage that follows two partitions, one of which was not read yet."""
    with mock.patch("streams.engine.app.gc"):
        app = App("test", Addresses("", "", ""), Settings(HEADRACE_DATA_DIR=str(tmp_path)), 1)
    app.stage(Topic.BY_POST, mock.Mock())
    app.stage(Topic.BY_USER, mock.Mock())
    followed = {TP("by-post", 3): Following(20, 5), TP("by-post", 4): Following(0, None)}
    consumer = mock.Mock(spec=Consumer)
    consumer.progress.return_value = {
        TP("by-post", 1): Progress(7, True, lag=30),
        TP("by-post", 2): Progress(9, True, lag=4),
        TP("by-user", 1): Progress(8, False),
    }
    with (
        mock.patch.object(app.follower, "progress", return_value=followed),
        mock.patch.object(App, "consumer", consumer),
    ):
        yield app
    app.pool.shutdown()


def _exported(app: App, name: str) -> list[str]:
    """The lines of the metrics whose names begin so."""
    registry = CollectorRegistry()
    registry.register(monitor.Figures(app))
    text = generate_latest(registry).decode()
    return [line for line in text.splitlines() if line.startswith(name)]


def test_metrics_of_standbys(app: App) -> None:
    assert _exported(app, "headrace_standby_") == [
        'headrace_standby_rows{partition="3",topic="by-post"} 20.0',
        'headrace_standby_rows{partition="4",topic="by-post"} 0.0',
        'headrace_standby_lag{partition="3",topic="by-post"} 5.0',
    ]


def test_the_lag_of_a_topic_is_that_of_its_open_partitions(app: App) -> None:
    assert _exported(app, "headrace_stage_lag{") == [
        'headrace_stage_lag{topic="by-post"} 34.0',
        'headrace_stage_lag{topic="by-user"} 0.0',
    ]


def test_dead_letters_are_counted_by_their_reason(app: App) -> None:
    """Each reason from the beginning on, or its first letter would be no increase."""
    app.stages["by-post"].stats.dead_letters["fold_failed"] += 2
    found = _exported(app, "headrace_stage_dead_letters_total{")
    assert len(found) == 2 * len(CODES)
    assert 'headrace_stage_dead_letters_total{code="fold_failed",topic="by-post"} 2.0' in found
    assert 'headrace_stage_dead_letters_total{code="fold_failed",topic="by-user"} 0.0' in found
    described = monitor._describe(app, "by-post")["dead_letters"]
    assert described == {**dict.fromkeys(CODES, 0), "fold_failed": 2}


def test_a_sink_counts_what_cannot_be_read(app: App) -> None:
    app.sinks([Topic.VIEW_POSTS], Reach("redis", mock.Mock(), bool))
    assert _exported(app, 'headrace_stage_dead_letters_total{code="not_decodable",topic="view') == [
        'headrace_stage_dead_letters_total{code="not_decodable",topic="view.posts"} 0.0'
    ]


def test_stages_say_where_their_partitions_stand(app: App) -> None:
    described = monitor._describe(app, "by-post")
    assert (described["positions"], described["lag"]) == ({1: 7, 2: 9}, {1: 30, 2: 4})
    assert monitor._describe(app, "by-user")["positions"] == {1: 8}


def test_stages_say_how_their_standbys_are(app: App) -> None:
    described: dict[str, Any] = monitor._describe(app, "by-post")
    assert described["standbys"] == {3: {"rows": 20, "lag": 5}, 4: {"rows": 0, "lag": None}}
    assert monitor._describe(app, "by-user")["standbys"] == {}


def test_stages_say_what_is_hot(app: App) -> None:
    app.stages["by-post"].hottest.note_records([record(b"", key=b"p1")], 0, 1)
    described = monitor._describe(app, "by-post")["hottest"]
    assert [(each["key"], each["share"]) for each in described["records"]] == [("p1", 1.0)]
    assert described["deliveries"] == []
    assert monitor._describe(app, "by-user")["hottest"] == {"records": [], "deliveries": []}
