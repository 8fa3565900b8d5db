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
from schemas.topics import Topic
from streams.engine import monitor
from streams.engine.app import App
from streams.engine.standby import Following


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
        TP("by-post", 1): Progress(7, True),
        TP("by-post", 2): Progress(9, False),
        TP("by-user", 1): Progress(8, False),
    }
    with (
        mock.patch.object(app.follower, "progress", return_value=followed),
        mock.patch.object(App, "consumer", consumer),
    ):
        yield app
    app.pool.shutdown()


def test_metrics_of_standbys(app: App) -> None:
    registry = CollectorRegistry()
    registry.register(monitor._Stages(app))
    text = generate_latest(registry).decode()
    found = [line for line in text.splitlines() if line.startswith("headrace_standby_")]
    assert found == [
        'headrace_standby_rows{partition="3",topic="by-post"} 20.0',
        'headrace_standby_rows{partition="4",topic="by-post"} 0.0',
        'headrace_standby_lag{partition="3",topic="by-post"} 5.0',
    ]


def test_stages_say_where_their_partitions_stand(app: App) -> None:
    assert monitor._describe(app, "by-post")["positions"] == {1: 7, 2: 9}
    assert monitor._describe(app, "by-user")["positions"] == {1: 8}


def test_stages_say_how_their_standbys_are(app: App) -> None:
    described: dict[str, Any] = monitor._describe(app, "by-post")
    assert described["standbys"] == {3: {"rows": 20, "lag": 5}, 4: {"rows": 0, "lag": None}}
    assert monitor._describe(app, "by-user")["standbys"] == {}
