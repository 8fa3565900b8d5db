"""The ids that a registry has for our schemas, and what producers do without them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from api import writes
from api.stores import StoreDownError
from api.writes import KafkaWriter
from connectors.publisher import Publisher, PublishError
from connectors.registry import Registry, RegistryDownError
from connectors.settings import settings
from connectors.subjects import NotRegisteredError, RegisteredIds, encoder, register
from connectors.translations import TranslationCache
from headrace.commands.schemas import schemas
from schemas.codec import SUBJECTS, decode, encode, versions
from schemas.exposures import Exposure
from schemas.translation import headers_in
from tests.registry import FIRST_ID
from tests.registry import Registry as Server
from tests.unit.folds import created, engaged, followed, judged, said, user

POST = created()
EVENTS = [POST, engaged("like"), followed("follow"), user("active"), judged("hidden")]
EVENTS.append(said("interested", "t:x"))
EXPOSURE = Exposure(event_id="e", user_id="u", experiment="x", variant="v", at=1)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("ann", "secret") as server:
        yield server


@pytest.fixture
def registry(server: Server) -> Iterator[Registry]:
    registry = Registry(server.url)
    yield registry
    registry.close()


def test_every_version_is_registered_once_under_its_topic(registry: Registry) -> None:
    found = register(registry)
    assert [each.own for each in found] == list(range(1, 11))
    assert [each.id for each in found] == list(range(FIRST_ID, FIRST_ID + 10))
    assert {each.subject for each in found} == {
        "posts-value",
        "follows-value",
        "engagements-value",
        "users-value",
        "moderations-value",
        "feedback-value",
        "exposures-value",
    }
    assert len(found) == len(versions())
    assert register(registry) == found


def test_an_empty_registry_gives_them_the_ids_of_the_lock() -> None:
    """So that what was published before it was there is still read."""
    with Server(first_id=1) as server:
        registry = Registry(server.url)
        assert all(each.id == each.own for each in register(registry))
        registry.close()


def test_events_are_written_with_its_ids_and_read_by_them(
    server: Server, registry: Registry
) -> None:
    register(registry)
    encoded = encoder(server.url)
    cache = TranslationCache(registry)
    for event in EVENTS:
        raw = encoded(event)
        assert raw[5:] == encode(event)[5:]
        assert int.from_bytes(raw[1:5], "big") >= FIRST_ID
        assert decode(cache.translated(raw), type(event)) == event
    assert len(cache.of(headers_in(map(encoded, EVENTS)))) == len(SUBJECTS)
    assert encoded(EXPOSURE) == encode(EXPOSURE)


def test_without_a_registry_ids_are_those_of_the_lock() -> None:
    assert encoder("") is encode


def test_a_schema_that_is_not_registered_is_told(server: Server) -> None:
    with pytest.raises(NotRegisteredError, match=r"no version 1 of posts-value; .*register"):
        encoder(server.url)


def test_an_event_is_not_written_before_its_id_is_known(server: Server, registry: Registry) -> None:
    ids = RegisteredIds(registry)
    with pytest.raises(RegistryDownError, match="not said yet"):
        ids.encode(POST)
    assert ids.encode(EXPOSURE) == encode(EXPOSURE)
    register(registry)
    assert not ids.is_known
    ids.ask()
    assert ids.is_known
    asked = len(server.asked)
    ids.ask()
    assert len(server.asked) == asked
    assert ids.encode(POST)[5:] == encode(POST)[5:]


class Producer:
    """Takes everything, and never tells."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.taken: list[bytes] = []

    def produce(
        self, _topic: str, value: bytes, _key: bytes, *, on_delivery: Any, headers: Any
    ) -> None:
        assert headers == []
        self.taken.append(value)
        on_delivery(None, None)

    def poll(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.01))

    def flush(self, _seconds: float) -> int:
        return 0

    def list_topics(self, timeout: float) -> None:
        pass


def test_a_publisher_says_why_it_cannot_begin(server: Server) -> None:
    with pytest.raises(PublishError, match=r"posts-value; `headrace schemas register`"):
        Publisher("127.0.0.1:1", registry_url=server.url)
    server.stop()
    with pytest.raises(PublishError) as refused:
        Publisher("127.0.0.1:1", registry_url=server.url)
    assert f"http://127.0.0.1:{server.port} " in str(refused.value)
    assert "secret" not in str(refused.value)
    server.start()


def test_the_api_writes_once_the_ids_are_known(
    server: Server, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And serves until then: only writes fail, and it says why it is degraded."""
    monkeypatch.setattr(writes, "Producer", Producer)
    monkeypatch.setattr(writes, "REGISTRY_SECONDS", 0.01)
    server.stop()

    async def scene() -> None:
        writer = KafkaWriter("127.0.0.1:1", server.url)
        with pytest.raises(StoreDownError, match="registry: the registry has not said yet"):
            await writer.publish([POST])
        await writer.publish([EXPOSURE])
        await refused(writer, "ConnectError")
        server.start()
        await refused(writer, "headrace schemas register")
        register(registry)
        for _ in range(500):
            try:
                await writer.ping()
                break
            except StoreDownError:
                await asyncio.sleep(0.01)
        await writer.publish([POST])
        await writer.close()
        ours, theirs = writer._producer.taken  # type: ignore[attr-defined]
        assert ours == encode(EXPOSURE)
        assert theirs == encoder(server.url)(POST)

    async def refused(writer: KafkaWriter, why: str) -> None:
        for _ in range(500):
            with pytest.raises(StoreDownError) as error:
                await writer.ping()
            assert "secret" not in str(error.value)
            if why in error.value.reason:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(str(error.value))

    asyncio.run(scene())


def run(monkeypatch: pytest.MonkeyPatch, url: str) -> Any:
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", url)
    monkeypatch.setenv("COLUMNS", "100")
    settings.cache_clear()
    try:
        return CliRunner().invoke(schemas, ["register"])
    finally:
        settings.cache_clear()


def test_the_command_registers_and_shows_the_ids(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(monkeypatch, server.url)
    assert done.exit_code == 0, done.output
    row = next(line for line in done.output.splitlines() if "posts-value" in line)
    assert row.split("│")[1:-1] == [
        " posts-value       ",
        " 1       ",
        " 1               ",
        f" {FIRST_ID}                ",
    ]


def test_the_command_explains_what_it_cannot(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "hint: set it to" in run(monkeypatch, "").output
    server.stop()
    done = run(monkeypatch, server.url)
    assert done.exit_code == 1
    assert f"http://127.0.0.1:{server.port} ConnectError" in done.output
    assert "secret" not in done.output
    server.start()


@pytest.mark.parametrize(
    "url", ["registry:8081", "ftp://r", "http://", "http://r/?x=secret", "http:// r"]
)
def test_what_is_no_address_is_refused_without_telling_it(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    done = run(monkeypatch, url)
    assert "SCHEMA_REGISTRY_URL must be http(s)://" in str(done.exception)
    assert "secret" not in str(done.exception)
