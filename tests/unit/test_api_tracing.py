"""What the API sends carries on the trace of its request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import StatusCode

from api import writes
from api.app import _is_no_write
from api.stores import StoreDownError
from api.writes import KafkaWriter
from connectors.tracing import Tracing, contexts_of
from schemas.events import Follow

FOLLOW = Follow(event_id="e", action="follow", user_id="bob", target="u:al", at=1)


class Producer:
    """Has every record acknowledged, or none."""

    fault: Any = None

    def __init__(self, _config: Any) -> None:
        self.headers: list[Any] = []

    def produce(
        self, *_: Any, on_delivery: Callable[..., None], headers: list[tuple[str, bytes]]
    ) -> None:
        self.headers.append(headers)
        if isinstance(self.fault, BufferError):
            raise self.fault
        on_delivery(self.fault, None)

    def poll(self, _seconds: float) -> None:
        """Nothing comes."""

    def flush(self, _seconds: float) -> None:
        """Nothing waits."""


class Error:
    """As Kafka's."""

    def name(self) -> str:
        return "MSG_TIMED_OUT"


def published(
    monkeypatch: pytest.MonkeyPatch, sampler: Sampler | None, *, is_in_request: bool = True
) -> tuple[list[Any], InMemorySpanExporter]:
    """The headers of an event that is published, and the spans of that."""
    monkeypatch.setattr(writes, "Producer", Producer)
    exporter, tracing = InMemorySpanExporter(), Tracing()
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    tracing.tracer = None if sampler is None else tracer

    async def scene() -> list[Any]:
        writer = KafkaWriter("127.0.0.1:1", tracing=tracing)
        with suppress(StoreDownError):
            if is_in_request:
                with tracer.start_as_current_span("POST"):
                    await writer.publish([FOLLOW])
            else:
                await writer.publish([FOLLOW])
        await writer.close()
        (headers,) = writer._producer.headers  # type: ignore[attr-defined]
        return list(headers)

    return asyncio.run(scene()), exporter


def test_a_record_carries_on_the_trace_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    headers, exporter = published(monkeypatch, ALWAYS_ON)
    send, request = exporter.get_finished_spans()
    assert (send.name, request.name) == ("send follows", "POST")
    assert send.parent is not None
    assert send.parent.span_id == request.context.span_id
    assert [context.span_id for context in contexts_of(headers)] == [send.context.span_id]
    assert send.status.status_code == StatusCode.UNSET


def test_what_is_not_sampled_or_of_no_request_or_not_asked_for_carries_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers, exporter = published(monkeypatch, ALWAYS_OFF)
    assert (headers, exporter.get_finished_spans()) == ([], ())
    headers, exporter = published(monkeypatch, ALWAYS_ON, is_in_request=False)
    assert (headers, exporter.get_finished_spans()) == ([], ())
    assert published(monkeypatch, None)[0] == []


@pytest.mark.parametrize("fault", [Error(), BufferError()])
def test_a_record_that_is_not_acknowledged_leaves_a_span_with_an_error(
    monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    monkeypatch.setattr(Producer, "fault", fault)
    _, exporter = published(monkeypatch, ALWAYS_ON)
    send = next(span for span in exporter.get_finished_spans() if span.name == "send follows")
    assert send.status.status_code == StatusCode.ERROR
    assert "kafka" in (send.status.description or "")


@pytest.mark.parametrize(
    ("scope", "is_read"),
    [
        ({"method": "GET"}, True),
        ({"method": "HEAD"}, True),
        ({"method": "QUERY"}, True),
        ({"type": "websocket"}, True),
        ({"method": "POST"}, False),
        ({"method": "PATCH"}, False),
        ({"method": "DELETE"}, False),
    ],
)
def test_only_writes_begin_a_trace(scope: dict[str, str], is_read: bool) -> None:
    assert _is_no_write(scope) is is_read
