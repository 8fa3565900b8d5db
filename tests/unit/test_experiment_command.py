"""`headrace experiment` as it is called."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connectors import merged_log
from connectors.merged_log import MergedLogError
from connectors.settings import Settings
from headrace.commands.erase import _logs
from headrace.commands.experiment import experiment
from schemas.exposures import Exposure
from tests.unit.kafka_fakes import Log, act

START = 1_349_000_000


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    return Log(monkeypatch)


def test_erasing_says_until_when_exposures_may_be_read() -> None:
    logs = _logs(datetime(2026, 1, 1, tzinfo=UTC))
    assert logs["exposures"] == "which experiments the user was in, until 2026-04-01"


WEIGHTS = """
[[experiments]]
name = "x"
variants = [
    {name = "control", share = 0.5}, {name = "time", share = 0.5, ranker = "chronological"},
]
"""


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.toml"
    path.write_text(WEIGHTS)
    monkeypatch.setenv("HEADRACE_RANKING", str(path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("connectors.settings.settings", Settings)


@pytest.mark.usefixtures("weights")
def test_an_experiment_is_reported(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    now = START * 1000 + 86_400_000
    monkeypatch.setattr("time.time_ns", lambda: now * 1_000_000)
    for n in range(400):
        user, variant, at = f"u{n}", ("control", "time")[n % 2], now - 3_600_000 + n
        log.events.append(
            Exposure(event_id=f"e{n}", user_id=user, experiment="x", variant=variant, at=at)
        )
        log.events.append(act(user, "view", 1, at + 1))
        if n % 4 == 1 or n % 20 == 0:
            log.events.append(act(user, "like", 1, at + 2))
    shown = CliRunner().invoke(experiment, ["report", "x"])
    assert shown.exit_code == 0, shown.output
    assert "0.5000" in shown.stdout
    assert "+0.4000" in shown.stdout
    assert "warning" not in shown.stdout
    found = CliRunner().invoke(experiment, ["report", "x", "--json", "-"])
    report = json.loads(found.stdout)
    control, time = report["variants"]
    assert (control["users"], time["users"], report["mismatch"]) == (200, 200, 1.0)
    difference = time["engaged_users"]["difference"]
    # sqrt(0.5 * 0.5 / 199 + 0.1 * 0.9 / 199) = 0.0413, t = 1.967 of 326 degrees of freedom
    assert difference["value"] == pytest.approx(0.4)
    assert difference["high"] - 0.4 == pytest.approx(0.0813, abs=2e-4)
    gone = {f"u{n}" for n in range(1, 160, 2)}
    log.events[:] = [event for event in log.events if event.user_id not in gone]
    warned = CliRunner().invoke(experiment, ["report", "x"])
    assert "sample ratio mismatch" in warned.stdout


@pytest.mark.usefixtures("weights")
def test_an_experiment_that_is_none_is_told(log: Log) -> None:
    found = CliRunner().invoke(experiment, ["report", "y"])
    assert found.exit_code == 2
    assert "it has x" in found.output
    assert log.events == []


@pytest.mark.usefixtures("weights")
def test_a_kafka_that_is_away_is_told(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise MergedLogError("Kafka at kafka:1 cannot be read")

    monkeypatch.setattr(merged_log, "read_merged", fail)
    found = CliRunner().invoke(experiment, ["report", "x"])
    assert (found.exit_code, "kafka:1 cannot be read" in found.output) == (1, True)
    assert log.events == []
