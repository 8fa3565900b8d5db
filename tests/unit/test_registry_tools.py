"""Commands that read producers' records go by the registry's ids, where it gives them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click import ClickException
from click.testing import CliRunner, Result

from connectors.registry import Registry
from connectors.settings import settings
from connectors.subjects import encoder, register
from headrace.commands.check_event import check_event
from headrace.commands.experiment import _events
from headrace.commands.steps import need_oracle
from headrace.train.events import events_of_kafka
from schemas.codec import encode
from schemas.exposures import Exposure
from tests.registry import Registry as Server
from tests.unit.folds import created, engaged, said
from tests.unit.kafka_fakes import Log

POST, LIKE, WORD = created(), engaged("like"), said("interested", "t:x")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A registry with our schemas, which the settings name."""
    with Server(first_id=501) as server:
        registry = Registry(server.url)
        register(registry)
        registry.close()
        monkeypatch.setenv("SCHEMA_REGISTRY_URL", server.url)
        settings.cache_clear()
        yield server
    settings.cache_clear()


@pytest.fixture
def log(server: Server, monkeypatch: pytest.MonkeyPatch) -> Log:
    """Events in Kafka, as producers write them."""
    monkeypatch.setattr("tests.unit.kafka_fakes.encode", encoder(server.url))
    return Log(monkeypatch)


def checked(tmp_path: Path, raw: bytes) -> Result:
    (tmp_path / "event").write_bytes(raw)
    return CliRunner().invoke(check_event, [str(tmp_path / "event")])


def test_an_event_is_checked_by_its_id_there(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.translations.SECOND_LOOK_SECONDS", 0)
    done = checked(tmp_path, encoder(server.url)(POST))
    assert done.exit_code == 0, done.output
    assert "taken, topic posts" in done.output
    done = checked(tmp_path, encode(POST))
    assert done.exit_code == 1
    assert "refused, unknown_schema: the registry has no schema with id 1\n" in done.output


def test_a_registry_that_is_away_is_told(server: Server, tmp_path: Path) -> None:
    raw = encoder(server.url)(POST)
    server.stop()
    done = checked(tmp_path, raw)
    server.start()
    assert done.exit_code == 1
    assert "Error: the schema registry cannot be asked: http://127.0.0.1:" in done.output


def test_a_model_learns_from_them(log: Log) -> None:
    log.events += [POST, LIKE, WORD]
    assert sorted(events_of_kafka("kafka:1", None), key=repr) == sorted(log.events, key=repr)


def test_an_experiment_is_judged_by_them(log: Log) -> None:
    exposure = Exposure(event_id="e", user_id="u", experiment="x", variant="v", at=1)
    log.events += [exposure, LIKE, POST]
    assert sorted(_events("kafka:1", 0, 10**15), key=repr) == sorted([exposure, LIKE], key=repr)


def test_the_oracle_refuses_to_read_them(server: Server) -> None:
    assert server.url == settings().registry_address
    with pytest.raises(ClickException, match="hint: unset it"):
        need_oracle()
