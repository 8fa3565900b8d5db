"""`headrace plan`: its formulas, and 002's worked numbers."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from headrace.commands.plan import plan
from headrace.plan.estimates import Plan, plan_for
from headrace.plan.figures import FIGURES
from headrace.plan.published import WORKLOAD, compare
from headrace.plan.workload import Hardware, Workload


def _plan(hardware: Hardware | None = None, **fields: float) -> Plan:
    given = {"users": 1_000_000, "dau": 86_400, "posts_per_day": 2.0, **fields}
    return plan_for(Workload(**given), hardware or Hardware())  # type: ignore[arg-type]


def test_rates_are_of_a_day_and_of_the_peak() -> None:
    found = _plan(follows=100.0, reads_per_day=5.0, peak=4.0)
    assert found.value("posts_per_s") == 2
    assert found.value("peak_posts_per_s") == 8
    assert found.value("peak_reads_per_s") == 20
    assert found.value("deliveries_per_s") == 200


def test_heavy_sources_save_deliveries() -> None:
    assert _plan(follows=100.0, heavy_share=0.25).value("deliveries_per_s") == 150


def test_who_is_not_active_has_follows_but_no_feed() -> None:
    few, many = _plan(users=100_000), _plan(users=1_000_000)
    different = {
        each.name for each in few.estimates if many.value(each.name) != pytest.approx(each.value)
    }
    assert {"cassandra_follows_gib", "redis_follows_gib", "workers_state_gib"} <= different
    assert many.value("redis_follows_gib") == pytest.approx(10 * few.value("redis_follows_gib"))
    assert not different & {"redis_feeds_gib", "deliveries_per_s", "api_cores"}


def test_what_takes_processors_grows_with_its_rate_alone() -> None:
    once, more_reads = _plan(reads_per_day=5.0), _plan(reads_per_day=50.0)
    assert more_reads.value("api_cores") == pytest.approx(10 * once.value("api_cores"))
    assert more_reads.value("fan_out_cores") == once.value("fan_out_cores")
    more_follows = _plan(follows=2_000.0)
    for name in ("fan_out_cores", "redis_sink_cores", "cassandra_sink_cores"):
        assert more_follows.value(name) == pytest.approx(10 * once.value(name))
    assert more_follows.value("engagement_cores") == once.value("engagement_cores")


def test_copies_are_of_logs_and_tables_but_not_of_redis() -> None:
    one, three = _plan(Hardware(replicas=1)), _plan(Hardware(replicas=3))
    for name in ("kafka_events_gib", "kafka_writes_gib", "cassandra_timelines_gib"):
        assert three.value(name) == pytest.approx(3 * one.value(name))
    assert three.value("redis_feeds_gib") == one.value("redis_feeds_gib")


def test_nodes_are_whole_and_enough() -> None:
    small = _plan(posts_per_day=0.01, follows=1.0)
    assert (small.value("workers"), small.value("partitions")) == (2, 32)
    assert (small.value("redis_nodes"), small.value("cassandra_nodes")) == (1, 3)
    large = plan_for(WORKLOAD, Hardware())
    for node, gib in (("redis", 64), ("cassandra", 2 * 1024)):
        held = sum(
            each.value
            for each in large.estimates
            if each.name.startswith(f"{node}_") and each.name.endswith("_gib")
        )
        nodes = large.value(f"{node}_nodes")
        assert held / nodes <= gib / 2 < held / (nodes - 1)


def test_half_used_nodes_are_twice_as_many() -> None:
    whole = plan_for(WORKLOAD, Hardware(utilization=1.0))
    half = plan_for(WORKLOAD, Hardware(utilization=0.5))
    for name in ("redis_nodes", "api_processes"):
        assert 2 * whole.value(name) - 1 <= half.value(name) <= 2 * whole.value(name)


def test_parts_are_of_all_that_is_listed() -> None:
    found = _plan()
    gib = sum(each.value for each in found.estimates if each.group == "bytes")
    assert sum(found.bytes.values()) / 1024**3 == pytest.approx(gib)
    cores = sum(each.value for each in found.estimates if each.name.endswith("_cores"))
    assert sum(found.cores.values()) == pytest.approx(cores)
    assert list(found.bytes.values()) == sorted(found.bytes.values(), reverse=True)


def test_002_prints_its_rates_right_and_its_storage_a_thousand_times_too_small() -> None:
    found = {each.label: each for each in compare(plan_for(WORKLOAD, Hardware()))}
    different = {label for label, each in found.items() if not each.agrees}
    assert different == {"Text Storage, TB", "Image Storage, TB", "Total Storage, TB"}
    # 18,250,000,000 posts of 1,024 bytes, by hand: 18.688e12 bytes
    assert found["Text Storage, TB"].computed == pytest.approx(18.688e12 / 1024**4, abs=0.01)


def test_a_check_that_fails_ends_with_1() -> None:
    found = CliRunner().invoke(plan, ["--check", "002"])
    assert found.exit_code == 1
    assert found.output.count("DIFFERS") == 3
    assert found.output.count("agrees") == 8


def test_the_command_prints_formulas_and_where_figures_come_from() -> None:
    found = CliRunner().invoke(plan, ["--dau", "1000"], env={"COLUMNS": "200"})
    assert found.exit_code == 0
    assert "dau * posts per day" in found.output
    for name, figure in FIGURES.items():
        assert name.lower() in found.output
        assert figure.source in found.output


def test_the_command_prints_json() -> None:
    found = CliRunner().invoke(plan, ["--dau", "1000", "--posts-per-day", "3", "--json"])
    estimates = {each["name"]: each for each in json.loads(found.output)["estimates"]}
    assert estimates["posts_per_day"]["value"] == 3_000


@pytest.mark.parametrize(
    "arguments",
    [
        ["--dau", "0"],
        ["--users", "10", "--dau", "11"],
        ["--heavy-share", "1.1"],
        ["--utilization", "0"],
        ["--peak", "0.5"],
        ["--posts-per-day", "-1"],
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(plan, arguments).exit_code == 2
