"""What the benchmark's Kafka Streams is started with."""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path
from unittest import mock

import pytest

from bench import kafka_streams
from bench.engagements import engagements
from bench.workers import Workers
from connectors.stack import jars
from connectors.stack.errors import StackError
from schemas.codec import MAGIC, encode

PINS = jars.parse(kafka_streams.PINS.read_text(), kafka_streams.PART)


def test_every_pin_is_complete_and_once() -> None:
    assert len(PINS) > 15
    assert len({jar.filename for jar in PINS}) == len(PINS)
    assert all(jar.size > 0 and re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in PINS)


def test_kafka_streams_is_as_old_as_the_broker() -> None:
    found = {jar.version for jar in PINS if jar.group == "org.apache.kafka"}
    assert found == {jars.version("kafka")}


def test_a_jar_that_the_broker_has_too_is_the_same() -> None:
    brokers = {jar.filename: jar for jar in jars.parse(jars.PINS.read_text(), "kafka")}
    shared = [jar for jar in PINS if jar.filename in brokers]
    assert len(shared) > 5, "they lie in the same directory of the cache"
    assert shared == [brokers[jar.filename] for jar in shared]


def test_the_schemas_are_those_of_the_records() -> None:
    named = dict(named.split("=", 1) for named in kafka_streams.schemas())
    (event,) = list(engagements(8))[:1]
    header = encode(event)[:5]
    assert header[0] == MAGIC
    assert '"name": "Engagement"' in Path(named[str(int.from_bytes(header[1:], "big"))]).read_text()


@pytest.fixture
def workers(tmp_path: Path) -> mock.Mock:
    return mock.Mock(spec=Workers, directory=tmp_path, say=print)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    """Stands in for Java, jars that are there, and the compiler."""
    here = [Path("/jars/kafka-streams.jar"), Path("/jars/ecj.jar")]
    fetch = mock.Mock(return_value=here)
    monkeypatch.setattr(kafka_streams, "class_path", fetch)
    monkeypatch.setattr(kafka_streams, "java", lambda _: Path("/java/bin/java"))
    monkeypatch.setattr(kafka_streams, "shared_classes", lambda _: [])
    run = mock.Mock(return_value=subprocess.CompletedProcess([], 0, "", ""))
    monkeypatch.setattr(kafka_streams.subprocess, "run", run)
    run.fetch = fetch
    return run


def test_it_is_compiled_into_the_runs_directory(
    workers: mock.Mock, compiler: mock.Mock, tmp_path: Path
) -> None:
    command = kafka_streams.command(workers)
    compiler.fetch.assert_called_once_with("streams", workers.say, mock.ANY, kafka_streams.PINS)
    assert isinstance(compiler.fetch.call_args.args[2], threading.Event)
    (compiled,) = compiler.call_args.args
    classes = compiled[compiled.index("-d") + 1]
    assert Path(classes).is_relative_to(tmp_path)
    assert compiled[-1] == str(kafka_streams.SOURCE)
    path = command[command.index("-cp") + 1]
    assert path == f"{classes}:/jars/kafka-streams.jar:/jars/ecj.jar"
    assert command[command.index("-cp") + 2] == "Likes"


def test_a_source_that_does_not_compile_is_told(workers: mock.Mock, compiler: mock.Mock) -> None:
    compiler.return_value = subprocess.CompletedProcess([], 255, "", "1 error in Likes.java")
    with pytest.raises(StackError, match="does not compile") as caught:
        kafka_streams.command(workers)
    assert "1 error" in caught.value.detail
