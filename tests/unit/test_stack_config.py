"""What the parts are told: loopback only, and what the design asks of each."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from unittest import mock

import pytest

from connectors.stack import jars
from connectors.stack.cassandra import yaml
from connectors.stack.errors import StackError
from connectors.stack.java import version
from connectors.stack.kafka import cluster_id, properties
from connectors.stack.process import hint
from connectors.stack.valkey import configuration

PINS = jars.PINS.read_text()


def test_kafka_listens_on_loopback_only() -> None:
    values = dict(line.split("=", 1) for line in properties(9092, 19093, Path("/d")).splitlines())
    assert values["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:19093"
    assert values["advertised.listeners"] == values["listeners"]
    assert values["auto.create.topics.enable"] == "false"
    assert values["broker.session.timeout.ms"] == "3000"
    assert values["log.dirs"] == "/d"


def test_no_cluster_id_looks_like_an_option() -> None:
    ids = {cluster_id() for _ in range(2_000)}
    assert len(ids) == 2_000
    assert not [made for made in ids if made.startswith("-")]


def test_cassandra_listens_on_loopback_only() -> None:
    values = json.loads(yaml(9042, 17000, Path("/d")))
    assert values["listen_address"] == values["rpc_address"] == "127.0.0.1"
    assert values["native_transport_port"] == 9042
    assert values["seed_provider"][0]["parameters"] == [{"seeds": "127.0.0.1:17000"}]
    assert values["auto_snapshot"] is False


def test_valkey_listens_on_loopback_and_keeps_its_data() -> None:
    lines = configuration(6379, Path("/a b")).splitlines()
    assert "bind 127.0.0.1" in lines
    assert 'dir "/a b"' in lines
    assert "appendonly yes" in lines


@pytest.mark.parametrize("part", ["kafka", "cassandra"])
def test_every_pin_is_complete_and_once(part: str) -> None:
    pins = jars.parse(PINS, part)
    assert len(pins) > 40
    assert len({jar.filename for jar in pins}) == len(pins)
    assert all(jar.size > 0 and re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in pins)


def test_the_versions_of_kafka_are_one() -> None:
    found = {jar.version for jar in jars.parse(PINS, "kafka") if jar.group == "org.apache.kafka"}
    assert found == {jars.version("kafka")}


def test_native_code_of_other_platforms_is_left_out() -> None:
    natives = [jar for jar in jars.parse(PINS, "cassandra") if "linux-" in jar.classifier]
    wanted = [jar for jar in natives if jars.is_wanted(jar, "Linux", "x86_64")]
    assert {jar.classifier for jar in wanted} == {"linux-x86_64"}
    assert not [jar for jar in natives if jars.is_wanted(jar, "Darwin", "arm64")]


def test_a_jar_cut_short_is_not_cached(tmp_path: Path) -> None:
    jar = jars.Jar("g", "a", "1", "", 5, "")
    (tmp_path / jar.filename).write_bytes(b"1234")
    assert not jars.is_cached(tmp_path, jar)
    (tmp_path / jar.filename).write_bytes(b"12345")
    assert jars.is_cached(tmp_path, jar)


@pytest.mark.parametrize(
    ("part", "way_out"),
    [("kafka", "or set KAFKA_BROKERS to a server of your own"), ("other", "from another machine")],
)
def test_a_jar_that_cannot_be_had_has_a_way_out(
    part: str, way_out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = tmp_path / "pins.txt"
    pins.write_text(f"{part} g:a:1 5 {'0' * 64}\n")
    maven = mock.MagicMock()
    artifact = maven.project().at_version().artifact()
    artifact.resolve.side_effect = ConnectionError("no network")
    monkeypatch.setattr(jars, "ATTEMPTS", 1)
    monkeypatch.setattr(jars, "_maven", lambda _: maven)
    monkeypatch.setattr(jars, "settings", lambda: mock.Mock(cache_dir=tmp_path))
    with pytest.raises(StackError, match=re.escape("a-1.jar")) as caught:
        jars.class_path(part, print, threading.Event(), pins)
    assert caught.value.hint.endswith(way_out)


@pytest.mark.parametrize(
    ("text", "expected"),
    [('JAVA_VERSION="17.0.9"\n', 17), ('JAVA_VERSION="1.8.0_392"\n', 8), ("", None)],
)
def test_java_version_of_a_release_file(tmp_path: Path, text: str, expected: int | None) -> None:
    (tmp_path / "release").write_text(text)
    assert version(tmp_path) == expected


@pytest.mark.parametrize(
    ("code", "tail", "expected"),
    [
        (1, "java.io.IOException: No space left on device", "disk"),
        (137, "", "memory"),
        (1, "java.net.BindException: Address already in use", "port"),
        (1, "boom", "part.log"),
    ],
)
def test_a_death_has_a_hint(code: int, tail: str, expected: str) -> None:
    assert expected in hint(code, tail, Path("part.log"))


def test_an_error_says_what_why_and_what_next() -> None:
    assert str(StackError("what", "why", "do this")) == "what\nwhy\nhint: do this"
