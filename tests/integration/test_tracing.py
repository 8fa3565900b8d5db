"""A trace of one write: from the API through the stages to the stores, as a collector sees it."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.stack.local import LocalStack
from headrace.supervisor import Supervisor
from tests.collector import Collected, Collector

SECONDS = 60.0
CLIENT = "00000000000000aa"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def workers(
    own_stack: LocalStack, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Supervisor]:
    """All workers and the API, which send their spans quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        logs: Path = tmp_path_factory.mktemp("logs")
        apps = ("app", "views", "archive", "api")
        with Supervisor(own_stack.addresses, apps, log_dir=logs) as supervisor:
            yield supervisor


def write(workers: Supervisor, path: str, body: object, **headers: str) -> str:
    """Ask the API to write something, and wait until its view is there; the trace of that."""
    trace = f"{time.time_ns():032x}"
    request = urllib.request.Request(
        f"{workers.api_url}{path}?wait=view",
        json.dumps(body).encode(),
        {
            "Authorization": f"Bearer {workers.token('ann')}",
            "Content-Type": "application/json",
            "traceparent": f"00-{trace}-{CLIENT}-{headers.get('flags', '01')}",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202
        assert json.load(answer)["is_visible"]
    return trace


def spans_of(collector: Collector, trace: str, names: set[str]) -> dict[str, Collected]:
    """The spans of a trace, once these are there, by names."""
    until = time.monotonic() + SECONDS
    while True:
        found = {each.name: each for each in collector.spans if each.trace == trace}
        if names <= found.keys():
            return found
        assert time.monotonic() < until, f"missing: {names - found.keys()}"
        time.sleep(0.1)


def parents(collector: Collector, trace: str, name: str) -> list[str]:
    """A span and those above it, by names, up to the client's, once they are there; spans of other
    logs may have the same names."""
    until = time.monotonic() + SECONDS
    while True:
        by_id = {each.span: each for each in collector.spans if each.trace == trace}
        chain = [next(each for each in by_id.values() if each.name == name)]
        while chain[-1].parent in by_id:
            chain.append(by_id[chain[-1].parent])
        if chain[-1].parent == CLIENT:
            return [each.name for each in chain]
        assert time.monotonic() < until, [each.name for each in chain]
        time.sleep(0.1)


def test_a_post_is_one_trace_from_the_api_to_the_stores(
    workers: Supervisor, collector: Collector
) -> None:
    trace = write(workers, "/api/v1/posts", {"content": "Hello #traces"})
    server = "POST /api/v1/posts"
    through = ["process by-post", "process posts", "send posts", server]
    names = {server, "send posts", "process posts", "process by-post", "process by-source"}
    names |= {"write view.posts", "write timeline-writes"}
    found = spans_of(collector, trace, names)
    assert parents(collector, trace, "write view.posts") == ["write view.posts", *through]
    assert parents(collector, trace, "write timeline-writes") == [
        *("write timeline-writes", "process by-source"),
        *through,
    ]
    assert found[server].attributes["http.response.status_code"] == 202
    assert found["process by-post"].attributes["messaging.destination.name"] == "by-post"
    services = {each.name: each.service for each in found.values()}
    assert services[server] == services["send posts"] == "headrace-api"
    assert services["process posts"] == services["process by-source"] == "headrace-app"

    def stores() -> set[tuple[str, object]]:
        return {
            (each.service, each.attributes["db.system.name"])
            for each in collector.spans
            if each.trace == trace and each.name == "write view.posts"
        }

    until = time.monotonic() + SECONDS
    while len(stores()) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert stores() == {("headrace-views", "redis"), ("headrace-archive", "cassandra")}
    assert all(each.nanoseconds > 0 for each in found.values())
    assert "Hello" not in repr(collector.spans)


def test_what_is_not_sampled_leaves_nothing(workers: Supervisor, collector: Collector) -> None:
    unsampled = write(workers, "/api/v1/posts", {"content": "Not this"}, flags="00")
    sampled = write(workers, "/api/v1/posts", {"content": "But this"})
    spans_of(collector, sampled, {"write view.posts"})
    assert not [each for each in collector.spans if each.trace == unsampled]
