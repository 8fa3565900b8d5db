"""The alerts: what they name is exported and scraped, and what they tell of is explained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
import yaml
from faust.types import TP
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from api.circuit import Breaker
from api.ledger import FAILURES
from api.stores import REDIS
from connectors.settings import Settings
from connectors.stack.addresses import Addresses
from connectors.transport import Consumer, Progress
from schemas.topics import EXTERNAL, INTERNAL, VIEWS, Topic
from streams.engine.app import App
from streams.engine.monitor import Figures
from streams.engine.sink import Reach
from streams.engine.stage import Stage
from streams.engine.standby import Following
from streams.engine.state import State
from streams.sources import SourceFold
from tests.unit.api_fakes import World

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
SCRAPED = {"job", "instance"}
"""The labels that Prometheus gives to all that it scrapes."""
WORDS = {
    *("and", "or", "by", "sum", "max", "scalar"),
    *("rate", "increase", "resets", "histogram_quantile"),
}
_GROUPED = re.compile(r"\bby \(([\w, ]+)\)")
_SELECTOR = re.compile(r"\{([^{}]*)\}")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
_RANGE = re.compile(r"\[\d+[smhd]\]")
_NAME = re.compile(r"[a-zA-Z_:][\w:]*")
_SELECTED = re.compile(r"([a-zA-Z_:][\w:]*)\{([^{}]*)\}")


class Rule(NamedTuple):
    """An alert."""

    name: str
    expression: str
    severity: str
    texts: dict[str, str]


def _read(name: str) -> Any:
    return yaml.safe_load((PROMETHEUS / name).read_text())


def _rules() -> list[Rule]:
    return [
        Rule(each["alert"], each["expr"], each["labels"]["severity"], each["annotations"])
        for group in _read("alerts.yml")["groups"]
        for each in group["rules"]
    ]


RULES = _rules()


def metrics_of(expression: str) -> set[str]:
    """The metrics that an expression names: whatever is no word of the language."""
    bare = _RANGE.sub("", _SELECTOR.sub("", _GROUPED.sub("", expression)))
    return set(_NAME.findall(bare)) - WORDS


def labels_of(expression: str) -> set[str]:
    """The labels by which it groups."""
    return {label for group in _GROUPED.findall(expression) for label in group.split(", ")}


def matchers_of(expression: str) -> Iterator[tuple[str, str, str, str]]:
    """Metric, label, operator and value of each matcher."""
    for metric, selector in _SELECTED.findall(expression):
        found = _MATCHER.findall(selector)
        assert ",".join(f'{label}{how}"{value}"' for label, how, value in found) == selector
        for matcher in found:
            yield (metric, *matcher)


Samples = dict[str, list[dict[str, str]]]
"""By the name of a metric: the labels of each of its samples."""


def _samples(registry: CollectorRegistry) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(dict(sample.labels))
    return found


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """What workers and the API export when everything has happened once."""
    settings = Settings(HEADRACE_DATA_DIR=str(tmp_path_factory.mktemp("data")))
    state = State()
    SourceFold(state, mock.Mock(), heavy_followers=1)
    with mock.patch("streams.engine.app.gc"):
        app = App("test", Addresses("", "", ""), settings, 1)
    for topic in (*EXTERNAL, *INTERNAL):
        app.stage(topic, mock.Mock())
    app.sinks((Topic.TIMELINE_WRITES, *VIEWS), Reach(REDIS, mock.Mock(), bool))
    consumer = mock.Mock(spec=Consumer)
    consumer.progress.return_value = {TP("by-post", 1): Progress(7, True, lag=9)}
    with (
        mock.patch.object(app.follower, "progress", return_value={}),
        mock.patch.object(Stage, "followed", {3: Following(20, 5)}),
        mock.patch.object(Stage, "rows", return_value=dict.fromkeys(state.described(), 1)),
        mock.patch.object(App, "consumer", consumer),
    ):
        worker = CollectorRegistry()
        worker.register(Figures(app))
        found = _samples(worker)
    app.pool.shutdown()

    world = World(is_shared=False)
    Breaker(REDIS, mock.Mock())
    FAILURES.labels("claim").inc(0)
    world.feed("ann")
    world.cache.is_down = world.archive.is_down = True
    assert world.ask("GET", "/api/v1/feed", "ann").status_code == 503
    return found | _samples(world.app.state.registry) | {"up": [{}]}


def _matches(how: str, value: str, label: str) -> bool:
    is_same = re.fullmatch(value, label) is not None if "~" in how else value == label
    return is_same != how.startswith("!")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_what_an_alert_names_is_exported(rule: Rule, exported: Samples) -> None:
    metrics = metrics_of(rule.expression)
    assert metrics
    assert metrics - exported.keys() == set()
    known = {label for metric in metrics for each in exported[metric] for label in each}
    assert labels_of(rule.expression) - known - SCRAPED == set()
    for metric, label, how, value in matchers_of(rule.expression):
        if label in SCRAPED:
            continue
        values = {each[label] for each in exported[metric]}
        chosen = {each for each in values if _matches(how, value, each)}
        assert chosen, f"no {metric} has {label}{how}{value!r}"
        assert chosen != values or len(values) == 1, f"{label}{how}{value!r} chooses nothing"
    shown = {
        label for text in rule.texts.values() for label in re.findall(r"\$labels\.(\w+)", text)
    }
    assert shown - labels_of(rule.expression) - (SCRAPED if metrics == {"up"} else set()) == set()


def test_topics_of_our_own_are_told_from_those_of_producers() -> None:
    """Of the one a single letter is a defect, of the other one in a hundred is odd."""
    ours = {
        value
        for rule in RULES
        if rule.name == "HeadraceDefect"
        for _, label, how, value in matchers_of(rule.expression)
        if label == "topic"
    }
    theirs = {
        value
        for rule in RULES
        if rule.name == "HeadraceEventsRefused"
        for _, label, how, value in matchers_of(rule.expression)
        if label == "topic"
    }
    assert ours == theirs
    (value,) = ours
    assert {topic for topic in Topic if re.fullmatch(value, topic)} == {
        *INTERNAL,
        *VIEWS,
        Topic.TIMELINE_WRITES,
    }


@pytest.mark.parametrize(
    ("expression", "metrics", "labels", "matchers"),
    [
        ("up == 0", {"up"}, set(), []),
        (
            'sum by (job, topic) (rate(a_total{topic=~"x|y",code!="z"}[5m])) > 2 * max(b)',
            {"a_total", "b"},
            {"job", "topic"},
            [("a_total", "topic", "=~", "x|y"), ("a_total", "code", "!=", "z")],
        ),
        ("summ(a_bucket)", {"summ", "a_bucket"}, set(), []),
    ],
)
def test_expressions_are_taken_apart(
    expression: str, metrics: set[str], labels: set[str], matchers: list[Any]
) -> None:
    assert metrics_of(expression) == metrics
    assert labels_of(expression) == labels
    assert list(matchers_of(expression)) == matchers


def test_every_alert_is_explained() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES) > 5
    anchors = {}
    for line in (ROOT / "docs" / "operating.md").read_text().splitlines():
        if line.startswith("#"):
            title = line.lstrip("#").strip()
            anchors[re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")] = title
    for rule in RULES:
        page, _, anchor = rule.texts["runbook"].partition("#")
        assert page == "docs/operating.md"
        assert anchors.get(anchor) == rule.name
        assert rule.severity in ("page", "ticket")
        assert rule.texts["summary"]
    explained = {title for title in anchors.values() if re.fullmatch(r"Headrace[A-Z]\w+", title)}
    assert explained == {rule.name for rule in RULES}, "an alert that is no more"


def test_every_process_is_scraped_where_it_listens() -> None:
    config = _read("prometheus.yml")
    assert config["rule_files"] == ["alerts.yml"]
    scraped = {
        job["job_name"]: (target.rpartition(":")[2], job["metrics_path"])
        for job in config["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    }
    fields = Settings.model_fields
    monitor, api = fields["monitor_port"].default, fields["api_port"].default
    assert scraped == {
        "headrace-app": (str(monitor), "/metrics/"),
        "headrace-views": (str(monitor + 1), "/metrics/"),
        "headrace-archive": (str(monitor + 2), "/metrics/"),
        "headrace-api": (str(api), "/metrics"),
    }
    (down,) = [rule.expression for rule in RULES if rule.name == "HeadraceProcessDown"]
    ((_, label, how, jobs),) = matchers_of(down)
    assert (label, how) == ("job", "=~")
    assert all(re.fullmatch(jobs, job) for job in scraped)
