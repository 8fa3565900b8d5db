"""Traces: spans are sent by OTLP/HTTP, and carried on in records' headers, as W3C Trace Context has
it. Without `OTEL_EXPORTER_OTLP_ENDPOINT` there are none, and no header is read.

OpenTelemetry's own variables say the rest: what share is sampled (`OTEL_TRACES_SAMPLER`), with what
headers and certificates spans are sent, and how many at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from connectors.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

HEADER = "traceparent"
MAX_TRACES = 16
"""Of a record."""

FLUSH_MS = 2_000

_format = TraceContextTextMapPropagator()


class TracingError(Exception):
    """Traces are asked for, and cannot be made."""


class Tracing:
    """What makes the spans of a process, once it has begun; `tracer` is None while there are none
    to be made."""

    def __init__(self) -> None:
        self.tracer: Tracer | None = None
        self.provider: TracerProvider | None = None

    def begin(self, settings: Settings, service: str) -> None:
        """Make spans of a service from now on, if the settings say so.

        Raises:
            TracingError: OpenTelemetry's SDK is not installed.
        """
        if not settings.otlp_endpoint or self.provider is not None:
            return
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise TracingError(
                f"OTEL_EXPORTER_OTLP_ENDPOINT is set, and {error.name} is not installed.\n"
                "hint: pip install 'headrace[tracing]'"
            ) from error
        endpoint = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces"
        self.provider = TracerProvider(resource=Resource.create({"service.name": service}))
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
        self.tracer = self.provider.get_tracer("headrace")

    def end(self) -> None:
        """Send what was made; it takes some seconds at most."""
        self.tracer = None
        if self.provider is not None:
            self.provider.force_flush(FLUSH_MS)
            self.provider.shutdown()


def context_of(value: bytes) -> SpanContext | None:
    """The context in a header; None when it is none, or is not sampled."""
    carrier = {HEADER: value.decode("ascii", "replace")}
    context = get_current_span(_format.extract(carrier, context=Context())).get_span_context()
    return context if context.is_valid and context.trace_flags.sampled else None


def contexts_of(headers: Iterable[tuple[str, bytes | None]]) -> list[SpanContext]:
    """The sampled contexts in a record's headers: one, or several of what was put together."""
    values = (value for name, value in headers if name == HEADER and value is not None)
    found = map(context_of, islice(values, MAX_TRACES))
    return [context for context in found if context is not None]


def headers_of(span: Span) -> tuple[tuple[str, bytes], ...]:
    """The headers that carry a span on; none if it is not sampled."""
    context = span.get_span_context()
    if not (context.is_valid and context.trace_flags.sampled):
        return ()
    text = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return ((HEADER, text.encode()),)
