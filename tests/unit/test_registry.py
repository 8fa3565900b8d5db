"""What the client of a registry makes of its answers, and what it never tells."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from connectors.registry import Registered, RegistrationError, Registry, RegistryDownError
from tests.registry import Answer, refusal
from tests.registry import Registry as Server

TEXT = '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]}'
OTHER = TEXT.replace("long", "string")
PASSWORD = "pass/w:rd"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def registry(server: Server) -> Iterator[Registry]:
    registry = Registry(f"{server.url}/", timeout_seconds=2)
    yield registry
    registry.close()


def test_a_schema_is_found_by_its_id_and_its_id_by_the_schema(registry: Registry) -> None:
    number = registry.register("found-value", TEXT)
    assert registry.register("found-value", TEXT) == number
    found = registry.schema(number)
    assert found == Registered(found.text if found else "")
    assert json.loads(found.text) == json.loads(TEXT)
    assert registry.id_of("found-value", TEXT) == number
    assert registry.id_of("found-value", OTHER) is None
    assert registry.id_of("another-value", TEXT) is None
    assert registry.schema(9_999) is None


def test_what_is_no_plain_avro_is_told(server: Server, registry: Registry) -> None:
    server.put(7, "{}", schemaType="JSON", references=[{"name": "x"}], guid="…", metadata=None)
    assert registry.schema(7) == Registered("{}", "JSON", [{"name": "x"}])


def test_names_of_subjects_are_quoted(server: Server, registry: Registry) -> None:
    assert registry.id_of("a/b ?-value", TEXT) is None
    assert server.asked[-1] == ("POST", "/subjects/a%2Fb%20%3F-value")


def test_why_it_does_not_take_a_schema_is_told(registry: Registry) -> None:
    registry.register("strict-value", TEXT)
    with pytest.raises(RegistrationError, match=r"strict-value: 409, .*R\.a: long cannot be read"):
        registry.register("strict-value", OTHER)
    with pytest.raises(RegistrationError, match="422, no Avro schema"):
        registry.register("strict-value", '{"type": "wreck", "name": "R"}')


Ask = Callable[[Registry], object]
REQUESTS: list[Ask] = [
    lambda registry: registry.schema(3),
    lambda registry: registry.id_of("s-value", TEXT),
    lambda registry: registry.register("s-value", TEXT),
]


@pytest.mark.parametrize("ask", REQUESTS)
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(Answer(404, b"<html>no such page</html>"), "answered 404, not as a registry"),
        pytest.param(Answer(200, b"<html>welcome</html>"), "does not answer as a registry does"),
        pytest.param(Answer(200, b"\xff"), "does not answer as a registry does"),
        pytest.param(Answer(200, {"name": "another service"}), "does not answer as a registry"),
        pytest.param(Answer(302, b""), "answered 302"),
        pytest.param(refusal(500, 50001, "store"), "answered 500"),
        pytest.param(refusal(503, 50003, "no leader"), "answered 503"),
    ],
)
def test_what_is_no_answer_of_a_registry_passes(
    server: Server, registry: Registry, ask: Ask, answer: Answer, said: str
) -> None:
    server.script.append(answer)
    with pytest.raises(RegistryDownError, match=said):
        ask(registry)


@pytest.mark.parametrize("ask", REQUESTS[:2])
@pytest.mark.parametrize(
    "answer", [refusal(401, 401, "no"), refusal(429, 429, "slow"), refusal(404, 404, "HTTP 404")]
)
def test_what_says_nothing_of_a_schema_passes(
    server: Server, registry: Registry, ask: Ask, answer: Answer
) -> None:
    server.script.append(answer)
    with pytest.raises(RegistryDownError, match=f"answered {answer.status}"):
        ask(registry)


def test_too_long_an_answer_is_cut(server: Server, registry: Registry) -> None:
    server.script.append(Answer(200, b'{"schema": "' + b"x" * (5 << 20) + b'"}'))
    with pytest.raises(RegistryDownError, match="too long an answer"):
        registry.schema(3)


def test_it_is_back_after_an_outage() -> None:
    with Server() as server:
        registry = Registry(server.url, timeout_seconds=1)
        number = server.add("s-value", TEXT)
        assert registry.schema(number)
        server.stop()
        for _ in range(2):
            with pytest.raises(RegistryDownError, match=r"^http://127\.0\.0\.1:\d+ "):
                registry.schema(number)
        server.start()
        assert registry.schema(number)
        registry.close()


def test_its_password_is_sent_and_never_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Server("ann", PASSWORD) as server:
        port = server.port
        registry = Registry(f"http://ann:pass%2Fw%3Ard@127.0.0.1:{port}/")
        assert registry.address == f"http://127.0.0.1:{port}"
        assert registry.schema(9_999) is None
        registry.close()
        wrong = Registry(f"http://ann:other@127.0.0.1:{port}")
        with pytest.raises(RegistryDownError) as refused:
            wrong.schema(9_999)
        assert str(refused.value) == f"http://127.0.0.1:{port} answered 401"
        wrong.close()
    told = caplog.text + repr(refused.value)
    assert not any(secret in told for secret in (PASSWORD, "pass%2F", "other", "Basic", "YW5u"))


def test_nobody_there_is_told_without_the_password() -> None:
    registry = Registry("http://ann:secret@127.0.0.1:1", timeout_seconds=1)
    with pytest.raises(RegistryDownError) as refused:
        registry.schema(3)
    assert str(refused.value) == "http://127.0.0.1:1 ConnectError"
    assert refused.value.__suppress_context__
