"""The dashboards: every metric and label that they name is one that Headrace exports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry

from api.app import create_app
from connectors.settings import Settings
from connectors.stack.addresses import Addresses
from schemas.topics import Topic
from streams.engine import monitor
from streams.engine.app import App
from streams.engine.outbox import Outbox
from streams.engine.state import State
from streams.sources import SourceFold
from tests.unit import deployed
from tests.unit.api_fakes import KEY

SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
PROMETHEUS_OWN = {"instance", "job"}
"""Labels that Prometheus gives to whatever it scrapes."""


def expressions() -> Iterator[str]:
    """Every expression of every dashboard, with Grafana's variables as Grafana fills them in."""
    for dashboard in deployed.dashboards().values():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield target["expr"].replace("$__rate_interval", "1m")


def _names(family: Any, name: str) -> dict[str, set[str]]:
    """The samples of a family with their labels; of a client's metric or of a collected family."""
    kind = getattr(family, "type", getattr(family, "_type", None))
    labels = set(family._labelnames)
    found = {name + suffix: labels for suffix in SUFFIXES[kind]}
    return {each: labels | ({"le"} if each.endswith("_bucket") else set()) for each in found}


@pytest.fixture
def exported(tmp_path: Path) -> dict[str, set[str]]:
    """The labels of each metric that a worker or the API exports."""
    settings = Settings(HEADRACE_DATA_DIR=str(tmp_path), HEADRACE_JWT_SECRET=KEY)
    registries: list[CollectorRegistry] = []

    def make() -> CollectorRegistry:
        registries.append(CollectorRegistry())
        return registries[-1]

    with (
        mock.patch("streams.engine.app.gc"),
        mock.patch.object(monitor, "CollectorRegistry", make),
    ):
        worker = App("test", Addresses("", "", ""), settings, 1)
        monitor.add_pages(worker)
    worker.pool.shutdown()
    found: dict[str, set[str]] = {}
    with mock.patch.object(App, "consumer", mock.Mock(**{"progress.return_value": {}})):
        for family in registries[0].collect():
            found |= _names(family, family.name)
    api = create_app(settings)
    api.build_middleware_stack()
    for collector in api.state.registry._collector_to_names:
        (family,) = collector.describe()
        found |= _names(collector, family.name)
    return found


def _selectors(expression: Any) -> list[Any]:
    found: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(expression, visit)
    return found


def _grouped(expression: Any) -> Iterator[tuple[list[str], Any]]:
    """The labels of each aggregation, and what it aggregates."""
    found: list[tuple[list[str], Any]] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            found.append((node.modifier.labels, node.expr))

    promql_parser.walk(expression, visit)
    yield from found


def test_metrics_are_exported(exported: dict[str, set[str]]) -> None:
    assert {"headrace_stage_records_total", "headrace_api_request_seconds_bucket"} <= set(exported)
    named = set()
    for text in expressions():
        for selector in _selectors(promql_parser.parse(text)):
            assert selector.name in exported, text
            for matcher in selector.matchers.matchers:
                assert matcher.name in exported[selector.name], text
            named.add(selector.name)
    assert len(named) > 15


def test_autoscalers_go_by_what_is_exported(exported: dict[str, set[str]]) -> None:
    named = [
        metric["pods"]["metric"]["name"]
        for scaler in deployed.of_kind("HorizontalPodAutoscaler").values()
        for metric in scaler["spec"]["metrics"]
        if metric["type"] == "Pods"
    ]
    assert len(named) == 3
    assert set(named) <= set(exported)


def test_labels_are_exported(exported: dict[str, set[str]]) -> None:
    for text in expressions():
        for labels, aggregated in _grouped(promql_parser.parse(text)):
            for selector in _selectors(aggregated):
                assert set(labels) <= exported[selector.name] | PROMETHEUS_OWN, text


def test_legends_name_labels_of_their_expressions() -> None:
    for dashboard in deployed.dashboards().values():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
                kept = {
                    label
                    for labels, _ in _grouped(
                        promql_parser.parse(target["expr"].replace("$__rate_interval", "1m"))
                    )
                    for label in labels
                }
                assert named == kept - {"le"}, target["expr"]


def test_values_of_labels_are_real() -> None:
    state = State()
    SourceFold(state, Outbox(1), heavy_followers=1)
    values = {
        "topic": {str(topic) for topic in Topic},
        "table": set(state.described()),
        "route": deployed.api_paths(),
        "status": {str(code) for code in (200, 401, 403, 429, 500, 503)},
    }
    seen = set()
    for text in expressions():
        for selector in _selectors(promql_parser.parse(text)):
            for matcher in selector.matchers.matchers:
                for part in matcher.value.split("|"):
                    assert any(re.fullmatch(part, value) for value in values[matcher.name]), text
                seen.add(matcher.name)
    assert seen == set(values)


def test_dashboards_can_be_told_apart() -> None:
    found = deployed.dashboards()
    assert set(found) == {"api", "pipeline", "stores"}
    assert len({each["uid"] for each in found.values()}) == len(found)
    for dashboard in found.values():
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)
        titles = [panel["title"] for panel in dashboard["panels"]]
        assert len(set(titles)) == len(titles)
        cells = [
            (x, y)
            for panel in dashboard["panels"]
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(set(cells)) == len(cells), "panels overlap"
        assert max(x for x, _ in cells) < 24


def test_grafana_finds_dashboards_and_prometheus() -> None:
    """What the provisioning names is mounted there, and is another service of the compose file."""
    provisioning = deployed.ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    assert "127.0.0.1:9090:9090" in deployed.services()["prometheus"]["ports"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "headrace.yaml").read_text())[
        "providers"
    ]
    mounts = [volume.split(":") for volume in deployed.services()["grafana"]["volumes"]]
    mounted = {place: source for source, place, *_ in mounts}
    assert mounted[provider["options"]["path"]] == "./deploy/grafana"
    assert mounted["/etc/grafana/provisioning"] == "./deploy/grafana/provisioning"
