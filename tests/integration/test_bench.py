"""`headrace bench` on parts of its own: every process runs, and counts right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.systems import SYSTEMS
from bench.topic import STOCK_MIX_CHANGELOGS
from bench.workers import Workers
from connectors.stack.addresses import Addresses

NAMES = ["headrace", "at_least_once", "stock"]
LONGEST_S = 270.0
"""How long a smoke run may take; pytest, which ends a test later, would not show what it said."""


def bench(tmp_path: Path, *arguments: str) -> tuple[int, str, Any]:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "headrace", "bench", *arguments, "--json", str(report)]
    outside = ("KAFKA_BROKERS", "REDIS_URL", "CASSANDRA_HOSTS")
    with subprocess.Popen(
        command,
        env={name: value for name, value in os.environ.items() if name not in outside},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            output, _ = process.communicate()
            pytest.fail(f"it had not ended after {LONGEST_S:.0f} s, and said:\n{output}")
    assert report.exists(), output
    return process.returncode, output, json.loads(report.read_text())


def test_what_does_not_come_is_told_with_the_last_lines_of_the_log(tmp_path: Path) -> None:
    with (
        Workers(Addresses(kafka="", redis="", cassandra=""), tmp_path, print) as workers,
        pytest.raises(TimeoutError, match=r"stock: .* after 2 s\nstock said last:\nI wait"),
    ):
        workers.run_restoring("stock", ["sh", "-c", "echo I wait; exec sleep 60"], 2.0)


@pytest.mark.parametrize(
    ("module", "made"),
    [("stock", SYSTEMS["stock"].changelogs), ("stock_mix", STOCK_MIX_CHANGELOGS)],
)
def test_the_changelogs_of_stock_faust_are_made_before_it_starts(
    module: str, made: tuple[str, ...]
) -> None:
    asks = f"from bench.{module} import app; print(*app.tables.changelog_topics)"
    places = {"KAFKA_BROKERS": "127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1"}
    told = subprocess.check_output([sys.executable, "-c", asks], env=os.environ | places, text=True)
    assert set(told.split()) == set(made)


def test_core(tmp_path: Path) -> None:
    code, output, found = bench(tmp_path, "core", "--smoke", "--systems", ",".join(NAMES))
    assert code == 0, output
    assert list(found["systems"]) == NAMES
    for figures in found["systems"].values():
        assert figures["void"] is None, output
        assert figures["records_per_s"] > 0
        assert figures["records_per_cpu_s"] > 0
    assert len(found["systems"]["headrace"]["cpu_seconds_by_process"]) == 2
    assert found["ratio_to_stock"] > 0
    assert found["ratio_to_alo"] > 0
    assert found["ratio_to_quix"] is None


def test_restore(tmp_path: Path) -> None:
    code, output, found = bench(tmp_path, "restore", "--smoke")
    assert code == 0, output
    for figures in found["systems"].values():
        assert figures["void"] is None, output
        assert figures["rows"] > 0
        assert figures["rows_per_s"] > 0
    assert found["ratio_to_stock"] > 0


def test_latency(tmp_path: Path) -> None:
    code, output, found = bench(tmp_path, "latency", "--smoke")
    assert code == 0, output
    assert found["probes"] == 40
    assert 0 < found["idle_p50_ms"] <= found["idle_p99_ms"]
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"]


def test_fanout(tmp_path: Path) -> None:
    code, output, found = bench(tmp_path, "fanout", "--smoke")
    assert code == 0, output
    assert set(found["by_audience"]) == {"10", "200", "1000"}
    for figures in found["by_audience"].values():
        assert figures["void"] is None
        assert figures["deliveries"] == 1_000
        assert figures["deliveries_per_s"] > 0
    assert found["raw_deliveries_per_s"] > 0
    assert found["ratio_to_raw_200"] > 0
    assert found["archive"]["void"] is None
    assert found["archive"]["rows_per_s"] > 0


def test_first_page(tmp_path: Path) -> None:
    code, output, found = bench(tmp_path, "first-page", "--smoke")
    assert code == 0, output
    assert found["void"] is None
    assert found["readers"] == 10
    assert 0 < found["p50_ms"] <= found["p99_ms"]


def test_engagement(tmp_path: Path) -> None:
    code, output, found = bench(tmp_path, "engagement", "--smoke")
    assert code == 0, output
    for name in ("even", "hot", "stock"):
        assert found[name]["void"] is None, output
        assert found[name]["records_per_s"] > 0
    assert set(found["even"]["cpu_seconds_by_process"]) == {"app", "sink"}
    assert found["events_per_s"] > 0
    assert found["ratio_to_stock"] > 0
    assert found["ratio_hot_to_even"] > 0


def test_read(tmp_path: Path) -> None:
    code, output, found = bench(tmp_path, "read", "--smoke")
    assert code == 0, output
    assert found["void"] is None, output
    assert found["reads"] >= 95
    for kind in ("latest", "ranked_next", "ranked"):
        assert 0 < found[f"{kind}_p50_ms"] <= found[f"{kind}_p99_ms"]
    assert found["most_reads_per_s"] > 0
    assert found["bare_reads_per_s"] > 0
    assert found["ratio_to_bare"] > 0
    assert found["cpu_ms_per_read"] > 0
