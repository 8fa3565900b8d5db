"""`headrace train` as it is called: from a file, and from Kafka."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from api.ranking.model import read_model
from headrace.commands.train import train
from schemas.events import Post, User
from tests.unit.kafka_fakes import Log, act

START = 1_349_000_000


@pytest.fixture
def activity(tmp_path: Path) -> Path:
    """Tweets, of which those of five people are retweeted most."""
    rng = Random(1)
    lines = []
    for n in range(4_000):
        at = START + 60 * n
        if n % 2:
            lines.append(f"{rng.randrange(100, 300)} {rng.randrange(5)} {at} RT")
        else:
            author = rng.randrange(5) if n % 8 == 0 else rng.randrange(5, 100)
            lines.append(f"{author} 1 {at} MT")
    path = tmp_path / "activity.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def trained(model: Path, *options: str) -> dict[str, Any]:
    found = CliRunner().invoke(train, [str(model), "--json", "-", "--rounds", "20", *options])
    assert found.exit_code == 0, found.output
    report: dict[str, Any] = json.loads(found.stdout)
    return report


def test_a_model_is_learned_from_a_file_and_the_same_again(tmp_path: Path, activity: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    report = trained(first, "--higgs", str(activity), "--negatives", "9")
    again = trained(second, "--higgs", str(activity), "--negatives", "9")
    assert first.read_bytes() == second.read_bytes()
    assert report["rankers"] == again["rankers"]
    assert read_model(str(first)).header.trained_to == report["cut"]
    assert set(report["rankers"]) == {"model", "heuristic", "weighted", "chronological"}
    qualities = report["rankers"]
    assert qualities["model"]["auc"] > qualities["chronological"]["auc"]
    assert report["train"]["examples"] > 8 * report["later"]["examples"]
    assert set(report["gains"]) == set(read_model(str(first)).header.columns)


def test_the_table_and_a_file_say_the_same(tmp_path: Path, activity: Path) -> None:
    report = tmp_path / "report.json"
    found = CliRunner().invoke(
        train,
        [str(tmp_path / "m"), "--higgs", str(activity), "--rounds", "5", "--json", str(report)],
    )
    assert found.exit_code == 0, found.output
    assert f"{json.loads(report.read_text())['rankers']['model']['auc']:.4f}" in found.stdout
    assert "examples to learn from" in found.stderr


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    return Log(monkeypatch)


def viewed(log: Log, users: list[str]) -> None:
    for n in range(300):
        at = START * 1000 + n * 600_000
        author = f"a{n % 3}"
        log.events.append(
            Post(event_id=f"p{n}", action="created", post_id=f"p{n}", author_id=author, at=at)
        )
        for place, user in enumerate(users):
            at += 1_000
            log.events.append(act(user, "view", n, at))
            if (n + place) % 3 == 0:
                log.events.append(act(user, "like", n, at + 1))


def test_views_in_kafka_are_learned_from_without_who_is_erased(tmp_path: Path, log: Log) -> None:
    viewed(log, ["u1", "u2", "u3"])
    report = trained(tmp_path / "m")
    assert (report["exposures"], report["train"]["examples"]) == ("views", 810)
    log.events.append(User(event_id="d", action="deleted", user_id="u2", at=START * 1000))
    less = trained(tmp_path / "m")
    assert less["train"]["examples"] == 540
    until = trained(tmp_path / "m", "--until", "2012-10-01")
    assert until["train"]["examples"] < 540


def test_a_place_for_the_model_must_be_there(tmp_path: Path, log: Log) -> None:
    found = CliRunner().invoke(train, [str(tmp_path / "none" / "m")])
    assert (found.exit_code, "there is no directory" in found.output) == (2, True)
    assert log.events == []


@pytest.mark.parametrize("options", [[], ["--until", "1999-01-01"]])
def test_too_little_is_told_and_nothing_written(
    tmp_path: Path, log: Log, options: list[str]
) -> None:
    found = CliRunner().invoke(train, [str(tmp_path / "m"), *options])
    assert found.exit_code == 1
    assert "there is no example" in found.output
    assert not (tmp_path / "m").exists()
    assert log.events == []
