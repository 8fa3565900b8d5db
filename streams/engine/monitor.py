"""What Headrace adds to Faust's web monitor: stages, metrics and readiness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from schemas.generation import base_of
from schemas.topics import Topic
from streams.engine.app import App
from streams.engine.drawing import graph_of, svg
from streams.engine.pages import Rates, stages_page
from streams.engine.sink import Sink
from streams.engine.wiring import wiring

_COUNTERS = {
    "records": "Records processed",
    "batches": "Batches processed",
    "outputs": "Records written to Kafka",
    "deliveries": "Timeline entries written or removed",
    "restored_rows": "Changelog records read at restores",
    "checkpoint_seconds": "Seconds spent in checkpoints",
}


class Figures(Collector):
    """The figures of an app's stages and sinks, labelled by the topic that they read, the same in
    all generations. Asks nobody: a scrape reads what the process knows."""

    def __init__(self, app: App) -> None:
        self._app = app

    def collect(self) -> Iterator[Metric]:
        yield from self._work()
        yield self._dead_letters()
        yield from self._partitions()
        yield self._rows()
        yield from self._standbys()
        yield self._outages()
        yield self._ages()

    def _work(self) -> Iterator[Metric]:
        for field, text in _COUNTERS.items():
            family = CounterMetricFamily(f"headrace_stage_{field}", text, labels=["topic"])
            for topic, processor in self._app.processors.items():
                family.add_metric([base_of(topic)], getattr(processor.stats, field))
            yield family

    def _dead_letters(self) -> Metric:
        family = CounterMetricFamily(
            "headrace_stage_dead_letters",
            "Records sent to the dead letters, by reason",
            labels=["topic", "code"],
        )
        for topic, processor in self._app.processors.items():
            for code, count in processor.stats.dead_letters.items():
                family.add_metric([base_of(topic), code], count)
        return family

    def _partitions(self) -> Iterator[Metric]:
        owned = GaugeMetricFamily("headrace_stage_partitions", "Partitions", labels=["topic"])
        lag = GaugeMetricFamily(
            "headrace_stage_lag",
            "Records that wait in the partitions that this process owns",
            labels=["topic"],
        )
        waiting = _waiting(self._app)
        for topic, processor in self._app.processors.items():
            owned.add_metric([base_of(topic)], len(processor.owned))
            lag.add_metric([base_of(topic)], sum(waiting.get(topic, {}).values()))
        yield owned
        yield lag

    def _rows(self) -> Metric:
        rows = GaugeMetricFamily("headrace_stage_rows", "Rows of state", labels=["topic", "table"])
        for topic, processor in self._app.processors.items():
            for table, size in processor.rows().items():
                rows.add_metric([base_of(topic), table], size)
        return rows

    def _standbys(self) -> Iterator[Metric]:
        rows = GaugeMetricFamily(
            "headrace_standby_rows", "Rows of followed partitions", labels=["topic", "partition"]
        )
        lag = GaugeMetricFamily(
            "headrace_standby_lag",
            "Offsets of the changelog that a standby is behind",
            labels=["topic", "partition"],
        )
        for topic, stage in self._app.stages.items():
            for partition, each in stage.followed.items():
                rows.add_metric([base_of(topic), str(partition)], each.rows)
                if each.lag is not None:
                    lag.add_metric([base_of(topic), str(partition)], each.lag)
        yield rows
        yield lag

    def _outages(self) -> Metric:
        outage = GaugeMetricFamily(
            "headrace_store_outage_seconds",
            "How long a store could not be reached until now, 0 when it can be",
            labels=["store"],
        )
        for store in self._app.outages:
            outage.add_metric([store.store], store.seconds)
        return outage

    def _ages(self) -> Metric:
        family = HistogramMetricFamily(
            "headrace_event_to_view_seconds",
            "From the time of an event until an entry that it made is on timelines in the store",
            labels=["topic"],
        )
        for topic, sink in self._app.processors.items():
            if topic == Topic.TIMELINE_WRITES and isinstance(sink, Sink):
                family.add_metric([base_of(topic)], sink.ages.buckets(), sink.ages.seconds)
        return family


def add_pages(app: App) -> None:
    """Serve `/stages/` (JSON, or a page for browsers), `/topology/`, `/metrics/` and `/readyz/`
    beside Faust's own pages."""
    registry = CollectorRegistry()
    registry.register(Figures(app))
    rates = Rates()

    @app.page("/stages/", name=f"{app.conf.id}.stages")  # type: ignore[untyped-decorator]
    async def stages(view: Any, request: Any) -> Any:
        said = {base_of(topic): _describe(app, topic) for topic in app.processors}
        now = rates.of({topic: each["records"] for topic, each in said.items()})
        is_page = "text/html" in request.headers.get("Accept", "")
        if not is_page or request.query.get("format") == "json":
            return view.json(said)
        page = stages_page(
            app.conf.id, said, now, not_ready=not_ready(app), degraded=_degraded(app)
        )
        return view.html(page)

    @app.page("/topology/", name=f"{app.conf.id}.topology")  # type: ignore[untyped-decorator]
    async def topology(view: Any, _request: Any) -> Any:
        picture = svg(graph_of(wiring([app])))
        return view.bytes(picture.encode(), content_type="image/svg+xml")

    @app.page("/metrics/", name=f"{app.conf.id}.metrics")  # type: ignore[untyped-decorator]
    async def metrics(view: Any, _request: Any) -> Any:
        return view.bytes(generate_latest(registry), content_type="text/plain; version=0.0.4")

    @app.page("/readyz/", name=f"{app.conf.id}.readyz")  # type: ignore[untyped-decorator]
    async def readyz(view: Any, _request: Any) -> Any:
        reason = not_ready(app)
        body = {"ready": reason is None, "reason": reason, "degraded": _degraded(app)}
        return view.json(body, status=200 if reason is None else 503)


def not_ready(app: App) -> str | None:
    """Why the app does not process now, None when it does."""
    for outage in app.outages:
        if outage.reason is not None:
            return outage.reason
    if not app.consumer.is_ready:
        return "partitions are not assigned or still being restored"
    return None


def _degraded(app: App) -> list[str]:
    """The stores that cannot be reached."""
    return [outage.store for outage in app.outages if outage.reason is not None]


def _waiting(app: App) -> dict[str, dict[int, int]]:
    """How many records wait in each open partition of each topic, as far as fetches have told."""
    found: dict[str, dict[int, int]] = {}
    for tp, progress in app.consumer.progress().items():
        found.setdefault(tp.topic, {})[tp.partition] = progress.lag
    return found


def _describe(app: App, topic: str) -> dict[str, Any]:
    processor = app.processors[topic]
    stats = processor.stats
    followed = app.stages[topic].followed if topic in app.stages else {}
    return {
        "partitions": processor.owned,
        "rows": processor.rows(),
        "positions": {
            tp.partition: progress.position
            for tp, progress in app.consumer.progress().items()
            if tp.topic == topic
        },
        "lag": _waiting(app).get(topic, {}),
        "restores": {
            partition: msgspec.structs.asdict(progress)
            for partition, progress in sorted(processor.restores.items())
        },
        "standbys": {
            partition: msgspec.structs.asdict(following)
            for partition, following in followed.items()
        },
        "hottest": {
            what: [msgspec.structs.asdict(each) for each in hot]
            for what, hot in processor.hottest.said().items()
        },
        **{field: getattr(stats, field) for field in stats.__struct_fields__},
    }
