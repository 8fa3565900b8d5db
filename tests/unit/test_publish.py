"""The client library: what is public, how it produces, and that no error is dropped."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException

import headrace.publish
from connectors import publisher as publisher_module
from connectors.settings import Settings
from headrace.publish import Publisher, PublishError, publish
from schemas.codec import decode
from schemas.events import EVENT_TYPES
from schemas.topics import EXTERNAL, Topic
from tests.unit.folds import created, followed

SETTINGS = {
    "bootstrap.servers": "kafka:1",
    "enable.idempotence": True,
    "acks": "all",
    "partitioner": "murmur2_random",
}


class Producer:
    """Kafka's producer in memory; what is in `errors` is said of the next events."""

    made: ClassVar[list[Producer]] = []
    errors: ClassVar[list[KafkaError]] = []
    topics: ClassVar[list[str]] = [str(topic) for topic in EXTERNAL]

    def __init__(self, config: dict[str, Any], on_delivery: Callable[..., None], **_: Any) -> None:
        self.config = config
        self.produced: list[tuple[str, bytes, bytes]] = []
        self._waiting: list[str] = []
        self._tell = on_delivery
        self.made.append(self)

    def __len__(self) -> int:
        return len(self._waiting)

    def produce(self, topic: str, value: bytes, key: bytes) -> None:
        self.produced.append((topic, value, key))
        self._waiting.append(topic)

    def poll(self, _seconds: float) -> None:
        for topic in self._waiting:
            if self.errors:
                self._tell(self.errors.pop(0), SimpleNamespace(topic=lambda topic=topic: topic))
        self._waiting.clear()

    def flush(self, seconds: float) -> int:
        self.poll(seconds)
        return 0

    def purge(self) -> None:
        self._waiting.clear()


@pytest.fixture(autouse=True)
def producers(monkeypatch: pytest.MonkeyPatch) -> list[Producer]:
    def metadata(brokers: str, seconds: float) -> Any:
        assert brokers == SETTINGS["bootstrap.servers"]
        assert seconds <= 10
        return SimpleNamespace(topics=dict.fromkeys(Producer.topics))

    monkeypatch.setattr(publisher_module, "Producer", Producer)
    monkeypatch.setattr(publisher_module, "metadata", metadata)
    monkeypatch.setattr(Producer, "made", [])
    monkeypatch.setattr(Producer, "errors", [])
    return Producer.made


def test_the_list_of_public_names_is_true() -> None:
    module = headrace.publish
    imported = {
        alias.name
        for node in ast.parse(Path(module.__file__).read_text()).body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    }
    assert sorted(module.__all__) == sorted(imported)
    assert {kind.__name__ for kind in EVENT_TYPES} < set(module.__all__)
    for name in module.__all__:
        if name != "Event":
            assert inspect.getdoc(getattr(module, name)), name


def test_it_is_idempotent_and_waits_for_all_replicas(producers: list[Producer]) -> None:
    with Publisher("kafka:1"):
        pass
    (producer,) = producers
    assert {name: producer.config[name] for name in SETTINGS} == SETTINGS
    assert "transactional.id" not in producer.config


def test_each_event_has_its_topic_its_key_and_its_bytes(producers: list[Producer]) -> None:
    follow, post = followed("follow", "bob"), created(post="p1")
    with Publisher("kafka:1") as publisher:
        publisher.publish(follow)
        publisher.publish(post, key="mine")
    (producer,) = producers
    (topic, value, key), (other_topic, other, other_key) = producer.produced
    assert (topic, decode(value), key) == (Topic.FOLLOWS, follow, b"bob")
    assert (other_topic, decode(other), other_key) == (Topic.POSTS, post, b"mine")
    assert publisher.acknowledged == 2


def refusal() -> KafkaError:
    return KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)


def publish_two(then: Exception | None = None) -> None:
    with Publisher("kafka:1") as publisher:
        publisher.publish(created())
        publisher.publish(followed("follow"))
        if then is not None:
            raise then


def test_an_error_is_raised_at_the_end_of_the_block() -> None:
    Producer.errors.append(refusal())
    with pytest.raises(PublishError, match=r"(?s)1 events; the first: topic posts: .*hint: "):
        publish_two()


def test_an_error_is_raised_by_the_next_poll_and_by_every_later_one() -> None:
    publisher = Publisher("kafka:1")
    Producer.errors.append(refusal())
    publisher.publish(created())
    for call in (publisher.poll, publisher.poll, publisher.flush):
        with pytest.raises(PublishError):
            call()


def test_an_error_of_the_block_itself_is_the_one_to_tell() -> None:
    Producer.errors.append(refusal())
    with pytest.raises(ZeroDivisionError):
        publish_two(ZeroDivisionError())


def test_what_kafka_does_not_take_at_all_is_raised_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def produce(*_: object) -> None:
        raise KafkaException(refusal())

    monkeypatch.setattr(Producer, "produce", produce)
    publisher = Publisher("kafka:1")
    with pytest.raises(PublishError, match="topic posts"):
        publisher.publish(created())


def test_a_value_that_the_schema_does_not_know_is_not_sent(producers: list[Producer]) -> None:
    publisher = Publisher("kafka:1")
    with pytest.raises(ValueError, match="does not fit the schema"):
        publisher.publish(followed("poke"))  # type: ignore[arg-type]
    assert producers[0].produced == []


def test_a_topic_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Producer, "topics", Producer.topics[1:])
    with pytest.raises(PublishError, match=r"(?s)no topic posts\..*hint: "):
        Publisher("kafka:1")


def test_all_of_a_stream_are_published_and_counted(producers: list[Producer]) -> None:
    told: list[int] = []
    report = publish("kafka:1", (created() for _ in range(3_000)), progress=told.append)
    assert (report.acknowledged, told[-1]) == (3_000, 3_000)
    assert report.seconds > 0 < report.events_per_s
    assert len(producers[0].produced) == 3_000


def test_it_needs_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library takes its addresses from who calls it."""
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1")
    assert Settings().registry_address == "http://127.0.0.1:1"
    with Publisher("kafka:1") as publisher:
        publisher.publish(created())
    assert publisher.acknowledged == 1
