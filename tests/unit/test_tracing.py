"""Traces: which contexts count, what carries them on, and when spans end."""

from __future__ import annotations

import asyncio
import builtins
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import msgspec
import pytest
from faust.types import TP
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode

from connectors.batch import Batch
from connectors.records import Record
from connectors.settings import Settings
from connectors.tracing import (
    HEADER,
    MAX_TRACES,
    Tracing,
    TracingError,
    context_of,
    contexts_of,
    headers_of,
)
from schemas.codec import UndecodableError
from schemas.topics import Topic
from schemas.views import PushEntry, SourceView
from streams.engine import stage as stage_module
from streams.engine.outage import Outage
from streams.engine.outbox import Outbox
from streams.engine.replica import Fold
from streams.engine.sink import Sink
from streams.engine.spans import OLDEST_MS, Spans
from streams.engine.stage import Stage
from streams.engine.state import State
from tests.unit.folds import record
from tests.unit.test_stage import Producer, Row

VALID = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = b"00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b8-01"
UNSAMPLED = VALID[:-1] + b"0"


def header(value: bytes | None = VALID) -> tuple[str, Any]:
    return HEADER, value


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> Iterator[Tracing]:
    """Makes spans, which the exporter has when they have ended."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing()
    tracing.tracer = provider.get_tracer("test")
    yield tracing
    provider.shutdown()


def names(exporter: InMemorySpanExporter) -> list[str]:
    return [span.name for span in exporter.get_finished_spans()]


@pytest.mark.parametrize(
    "value",
    [
        *(UNSAMPLED, b"", b"\xff\xfe", b"00-0-0-01", VALID.upper() + b"x", VALID[:-3]),
        b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        b"ff" + VALID[2:],
    ],
)
def test_what_is_no_sampled_context_is_none(value: bytes) -> None:
    assert context_of(value) is None


def test_contexts_are_those_of_the_headers() -> None:
    found = contexts_of([("tags", b"x"), header(), header(None), header(UNSAMPLED), header(OTHER)])
    assert [context.trace_id & 0xFFFF for context in found] == [0x4736, 0x4737]
    assert found[0].span_id == 0x00F067AA0BA902B7
    assert len(contexts_of([header()] * 100)) == MAX_TRACES


def test_a_span_is_carried_on_if_it_is_sampled(tracing: Tracing) -> None:
    assert tracing.tracer is not None
    span = tracing.tracer.start_span("a")
    (carried,) = contexts_of(headers_of(span))
    assert carried.trace_id == span.get_span_context().trace_id
    assert carried.span_id == span.get_span_context().span_id
    assert headers_of(NonRecordingSpan(SpanContext(1, 2, is_remote=False))) == ()
    unsampled = TracerProvider(sampler=ALWAYS_OFF).get_tracer("test").start_span("b")
    assert headers_of(unsampled) == ()


def test_there_are_no_traces_unless_they_are_asked_for() -> None:
    tracing = Tracing()
    tracing.begin(Settings(OTEL_EXPORTER_OTLP_ENDPOINT=""), "test")
    assert tracing.tracer is None
    tracing.end()


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *arguments: Any) -> Any:
        if name.startswith("opentelemetry.exporter"):
            raise ModuleNotFoundError(name, name="opentelemetry.exporter")
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(TracingError, match=r"headrace\[tracing\]"):
        Tracing().begin(Settings(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318"), "test")


def test_an_outbox_says_which_of_its_records_are_part_of_a_trace() -> None:
    outbox, state = Outbox(1), State()
    table = state.table("source", Row)
    outbox.show_table(Topic.VIEW_SOURCES, table, lambda entity, row: SourceView(entity, row.n))
    one, two = header(VALID), header(OTHER)

    outbox.route(Topic.BY_USER, "ann", b"before", (("tags", b"t"),))
    outbox.push("p0", "u:ann", 1, ["bob"])
    outbox.show(Topic.VIEW_POSTS, "p0", "p0", SourceView("p0", 1))
    outbox.show(Topic.VIEW_POSTS, "p1", "p1", SourceView("p1", 1))
    with outbox.traced((one,), b"p1"):
        outbox.route(Topic.BY_USER, "ann", b"traced", (("tags", b"t"),))
        outbox.show(Topic.VIEW_POSTS, "p1", "p1", SourceView("p1", 2))
        outbox.push("p1", "u:ann", 1, ["bob"])
        table.put("p1", Row(1))
    with outbox.traced((two,), b"p2"):
        outbox.show(Topic.VIEW_POSTS, "p1", "p1", SourceView("p1", 3))
        outbox.push("p2", "u:ann", 1, ["bob"])
    table.put("p3", Row(1))
    outbox.route(Topic.BY_USER, "ann", b"after")

    found = list(outbox.outputs())
    by_value = {output.value: output.headers for output in found if output.topic == Topic.BY_USER}
    assert by_value == {
        b"before": (("tags", b"t"),),
        b"traced": (("tags", b"t"), one),
        b"after": (),
    }
    views = {(o.topic, o.key): o.headers for o in found if o.topic.startswith("view.")}
    assert views == {
        (Topic.VIEW_SOURCES, b"p1"): (one,),
        (Topic.VIEW_SOURCES, b"p3"): (),
        (Topic.VIEW_POSTS, b"p0"): (),
        (Topic.VIEW_POSTS, b"p1"): (one, two),
    }
    (writes,) = [output for output in found if output.topic == Topic.TIMELINE_WRITES]
    assert writes.headers == (one, two)
    assert [each[1] for each in msgspec.msgpack.decode(writes.value or b"")] == ["p0", "p1", "p2"]
    assert outbox.deliveries == 3
    posts = [o.value for o in found if (o.topic, o.key) == (Topic.VIEW_POSTS, b"p1")]
    assert posts == [msgspec.msgpack.encode(SourceView("p1", 3))]

    outbox.clear()
    outbox.push("p3", "u:ann", 1, ["bob"])
    outbox.show(Topic.VIEW_POSTS, "p1", "p1", SourceView("p1", 4))
    assert not any(output.headers for output in outbox.outputs())


def test_what_many_traces_are_in_has_a_bound() -> None:
    outbox = Outbox(1)
    for number in range(3 * MAX_TRACES):
        with outbox.traced(((HEADER, b"%d" % number),), b"p"):
            outbox.show(Topic.VIEW_POSTS, "p", "p", SourceView("p", number))
            outbox.push("p", "u:ann", 1, ["bob"])
    assert {len(output.headers) for output in outbox.outputs()} == {MAX_TRACES}


class Relay(Fold):
    """Puts a record out as it is; some do something else."""

    def __init__(self, _state: State, outbox: Outbox) -> None:
        self._outbox = outbox

    def apply(self, record: Record) -> None:
        if record.value == b"refused":
            raise UndecodableError("not_avro", "secret content")
        self._outbox.route(Topic.BY_POST, "p", record.value or b"")
        if record.value == b"broken":
            raise ZeroDivisionError


class Unread:
    """A record whose headers nobody may ask for."""

    offset, timestamp, key, value = 0, 0, b"k", b"a"


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tracing: Tracing) -> Stage:
    """A stage that owns partition 2."""
    monkeypatch.setattr(stage_module, "transactional_producer", lambda *_: Producer())
    monkeypatch.setattr(stage_module, "restore", lambda *_: None)
    monkeypatch.setattr(stage_module, "log", mock.Mock())
    pool = mock.create_autospec(ThreadPoolExecutor, instance=True)
    stage = Stage(
        Topic.POSTS,
        Relay,
        app_id="app",
        brokers="",
        partitions=1,
        pool=pool,
        tracing=tracing,
    )
    stage._owned[2] = stage_module._Owned(stage, 2)
    return stage


def process(stage: Stage, *values: tuple[bytes, tuple[Any, ...]], start: int = 0) -> None:
    records = [
        record(value, offset=start + n, timestamp=now_ms(), key=b"k", headers=headers)
        for n, (value, headers) in enumerate(values)
    ]
    stage._process(Batch(TP("posts", 2), records, start + len(records)))


def sent(stage: Stage) -> dict[bytes, list[Any]]:
    """The headers of what was committed to the log of posts, by value."""
    producer: Any = stage._owned[2].producer
    rows = [row for each in producer.committed for row in each if row[0] == Topic.BY_POST]
    return {row[1]: row[-1] for row in rows}


def of_name(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def test_a_stage_carries_on_the_span_of_a_record(
    stage: Stage, exporter: InMemorySpanExporter
) -> None:
    process(stage, (b"a", ()), (b"b", (header(),)), (b"c", (header(UNSAMPLED),)))
    (span,) = of_name(exporter, "process posts")
    assert span.parent is not None
    assert (span.parent.span_id, span.kind) == (0x00F067AA0BA902B7, SpanKind.CONSUMER)
    assert span.attributes is not None
    assert span.attributes["messaging.kafka.offset"] == 1
    assert span.attributes["messaging.destination.name"] == "posts"
    headers = sent(stage)
    (context,) = contexts_of(headers[b"b"])
    assert context.span_id == span.context.span_id
    assert context.trace_id == context_of(VALID).trace_id  # type: ignore[union-attr]
    assert headers[b"a"] == headers[b"c"] == []


def test_a_refused_record_leaves_a_span_with_its_code(
    stage: Stage, exporter: InMemorySpanExporter
) -> None:
    process(stage, (b"refused", (header(),)), (b"b", ()))
    (span,) = exporter.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "not_avro")
    assert "secret" not in span.to_json()


def test_what_is_folded_once_more_leaves_one_span(
    stage: Stage, exporter: InMemorySpanExporter
) -> None:
    process(stage, (b"a", (header(),)), (b"broken", (header(OTHER),)), (b"c", ()))
    first, second = exporter.get_finished_spans()
    assert {first.status.status_code, second.status.status_code} == {
        *(StatusCode.UNSET, StatusCode.ERROR),
    }
    headers = sent(stage)
    assert headers.keys() == {b"a", b"c"}
    assert contexts_of(headers[b"a"])[0].span_id == first.context.span_id
    assert headers[b"c"] == []


def test_what_is_not_durable_leaves_no_span(stage: Stage, exporter: InMemorySpanExporter) -> None:
    producer: Any = stage._owned[2].producer
    producer.faults.append(RuntimeError("fenced"))
    with pytest.raises(RuntimeError, match="fenced"):
        process(stage, (b"a", (header(),)))
    assert names(exporter) == []


def test_an_old_record_is_no_part_of_a_trace(tracing: Tracing) -> None:
    spans = Spans(tracing, "process", SpanKind.CONSUMER)
    found = [
        spans.of(Batch(TP("posts", 0), [record(b"", timestamp=timestamp, headers=(header(),))], 1))
        for timestamp in (now_ms(), now_ms() - OLDEST_MS - 1_000)
    ]
    assert found[0] is not None
    assert found[1] is None


def test_without_traces_no_header_is_read() -> None:
    unread: Any = Unread()
    assert Spans(Tracing(), "a", SpanKind.CLIENT).of(Batch(TP("p", 0), [unread], 1)) is None


class Store:
    """Keeps what is written once it may."""

    def __init__(self) -> None:
        self.may_write = threading.Event()
        self.may_write.set()
        self.fault: Exception | None = None

    def write(self, *_: Any) -> None:
        assert self.may_write.wait(5)
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def sink(tracing: Tracing) -> Iterator[Sink]:
    reach = mock.Mock(outage=Outage("redis"), is_passing=lambda _: False)
    reach.store.return_value = Store()
    with ThreadPoolExecutor(1) as pool:
        yield Sink(
            Topic.TIMELINE_WRITES,
            reach,
            app_id="views",
            mailer=mock.Mock(),
            pool=pool,
            leaving=asyncio.Event,
            moved=lambda *_: None,
            has_caught_up=lambda _: True,
            tracing=tracing,
        )


def pushed(*headers: Any) -> Batch:
    value = msgspec.msgpack.encode([PushEntry("p", "u:ann", 1, ["bob"])])
    written = record(value, offset=7, timestamp=now_ms(), headers=headers)
    return Batch(TP("timeline-writes", 0), [written], 8)


def test_a_sink_leaves_a_span_in_each_trace_of_a_record(
    sink: Sink, exporter: InMemorySpanExporter
) -> None:
    asyncio.run(sink.process(pushed(header(VALID), header(OTHER))))
    first, second = of_name(exporter, "write timeline-writes")
    assert [span.context.trace_id & 0xFFFF for span in (first, second)] == [0x4736, 0x4737]
    assert [link.context.trace_id & 0xFFFF for link in first.links] == [0x4737]
    assert [link.context.trace_id & 0xFFFF for link in second.links] == [0x4736]
    assert first.attributes is not None
    assert first.attributes["db.system.name"] == "redis"


def test_a_sink_that_has_not_written_leaves_no_span(
    sink: Sink, exporter: InMemorySpanExporter
) -> None:
    store: Any = sink._reach.store()
    store.fault = RuntimeError("stale")
    with pytest.raises(RuntimeError, match="stale"):
        asyncio.run(sink.process(pushed(header())))
    assert names(exporter) == []
