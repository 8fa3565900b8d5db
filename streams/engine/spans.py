"""The spans of what is done with records that are part of a trace.

A record is part of one when its headers say so (`connectors.tracing`). Its span begins when it is
folded, or handed to a store, and ends when that is durable; what never was durable leaves no span.
Records put together from several traces get a span in each, which link to each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    set_span_in_context,
)

from connectors.batch import Batch
from connectors.records import Record
from connectors.tracing import Tracing, contexts_of, headers_of
from streams.engine.outbox import Outbox

OLDEST_MS = 3_600_000
"""An older record is no part of a trace any more: a store that is filled again gets old ones."""

Apply = Callable[[Record], None]


class Spans:
    """Makes the spans of a topic's records; `attributes` stand in each."""

    def __init__(self, tracing: Tracing, name: str, kind: SpanKind, **attributes: str) -> None:
        self.name = name
        self.kind = kind
        self.attributes = attributes
        self._tracing = tracing

    def of(self, batch: Batch) -> BatchSpans | None:
        """Those of a batch; None when no record of it is part of a trace."""
        tracer = self._tracing.tracer
        if tracer is None:
            return None
        since = time.time_ns() // 1_000_000 - OLDEST_MS
        found = {
            record.offset: contexts
            for record in batch.records
            if record.headers
            and record.timestamp > since
            and (contexts := contexts_of(record.headers))
        }
        return BatchSpans(self, tracer, batch.tp.partition, found) if found else None


class BatchSpans:
    """The spans of one batch: `contexts` has the traces of its records, by their offsets."""

    def __init__(
        self,
        spans: Spans,
        tracer: Tracer,
        partition: int,
        contexts: dict[int, list[SpanContext]],
    ) -> None:
        self._spans = spans
        self._tracer = tracer
        self._partition = partition
        self._contexts = contexts
        self._open: dict[int, list[Span]] = {}

    def applying(self, apply: Apply, outbox: Outbox) -> Apply:
        """Folds a record as `apply` does, and has what comes of it carry its span on."""

        def applied(record: Record) -> None:
            if record.offset not in self._contexts:
                apply(record)
                return
            spans = self._begin(record.offset)
            headers = tuple(header for span in spans for header in headers_of(span))
            try:
                with outbox.traced(headers, record.key):
                    apply(record)
            except Exception as error:
                reason = str(getattr(error, "code", type(error).__name__))
                for span in spans:
                    span.set_status(Status(StatusCode.ERROR, reason))
                raise

        return applied

    def begin(self) -> None:
        """All records are handed to a store."""
        for offset in self._contexts:
            self._begin(offset)

    def durable(self, position: int) -> None:
        """What is below a position is durable."""
        for offset in [offset for offset in self._open if offset < position]:
            for span in self._open.pop(offset):
                span.end()

    def _begin(self, offset: int) -> list[Span]:
        contexts = self._contexts[offset]
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.destination.partition.id": str(self._partition),
            "messaging.kafka.offset": offset,
            **self._spans.attributes,
        }
        spans = [
            self._tracer.start_span(
                self._spans.name,
                set_span_in_context(NonRecordingSpan(context), Context()),
                self._spans.kind,
                attributes,
                [Link(other) for other in contexts if other is not context],
            )
            for context in contexts
        ]
        self._open[offset] = spans
        return spans
