"""Soaking: what its outcome must say for all to be right."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from headrace.chaos.outputs import Outputs
from headrace.chaos.verdict import Once
from headrace.installation import THIS, Installation
from headrace.soak.behind import Behind, LagSample, most_behind
from headrace.soak.probe import Sample
from headrace.soak.run import Life, Restart, SoakOutcome, note_freshness, note_memory
from headrace.soak.steps import FIRST, ORDER, restarts, upgrades
from headrace.verify.report import Report
from tests.oracle.compare import Tally

RESTART = Restart("app", 60.0, 1.2, 0, 2.0)
OLD = Installation(Path("/old"), Path("/old/python"))


def right() -> SoakOutcome:
    """An outcome with nothing wrong."""
    views, tally = Report(), Tally("posts", "redis")
    tally.compared = 1
    views.add(tally)
    outcome = SoakOutcome(
        seed=1,
        restarts=[RESTART],
        views=views,
        once=Once(1, 1, 0, 0, 0, 0),
        outputs=Outputs(1, 0, 0),
        behind={"headrace-app": Behind(100, 61.0, 19.9)},
    )
    note_freshness(outcome, [Sample(1.0, 0.1)], 0)
    return outcome


def test_all_is_right() -> None:
    assert right().wrong == []


def test_an_outcome_of_nothing_is_not_right() -> None:
    wrong = SoakOutcome(seed=1).wrong
    assert len(wrong) == 6
    assert all(each.startswith("nothing was") for each in wrong)


@pytest.mark.parametrize(
    ("restart", "wrong"),
    [
        (Restart("app", 1.0, 10.4, 0, 2.0), ["app ended with 0 in 10.4 s"]),
        (Restart("views", 1.0, 0.4, 137, 2.0), ["views ended with 137 in 0.4 s"]),
        (Restart("views", 1.0, 9.9, 0, 70.0), []),
    ],
)
def test_workers_must_end_in_order_and_in_time(restart: Restart, wrong: list[str]) -> None:
    outcome = right()
    outcome.restarts = [restart]
    assert outcome.wrong == wrong


def test_freshness_is_judged_minute_by_minute() -> None:
    outcome = right()
    samples = [Sample(number / 4, 0.1) for number in range(4 * 600)]
    samples += [Sample(70.0 + number, 5.5) for number in range(3)]
    note_freshness(outcome, samples, 0)
    assert outcome.fresh_p99_s == 0.1
    assert len(outcome.windows_p99_s) == 10
    assert outcome.wrong == ["p99 was over 5 s in 1 minutes: 5.5 s"]


def test_none_may_be_lost() -> None:
    outcome = right()
    note_freshness(outcome, [Sample(1.0, 0.1)], 2)
    assert outcome.probes == 3
    assert outcome.wrong == ["2 posts did not come"]


@pytest.mark.parametrize(
    ("lives", "wrong"),
    [
        ([[100], [124]], []),
        ([[100], [125]], ["app grew from 100 to 125 MB"]),
        ([[400, 400], [300], [440, 440]], []),
        ([[400], [441]], ["app grew from 400 to 441 MB"]),
        ([[400], [900], [400]], []),
    ],
)
def test_memory_must_not_grow_from_life_to_life(lives: list[list[int]], wrong: list[str]) -> None:
    outcome = right()
    note_memory(outcome, [Life("app", pid, sizes) for pid, sizes in enumerate(lives)])
    assert outcome.wrong == wrong


def test_no_group_may_be_too_far_behind() -> None:
    outcome = right()
    outcome.behind["headrace-views"] = Behind(12_345, 70.0, 21.0)
    assert outcome.wrong == ["headrace-views was 12,345 offsets behind, 21 s of its input"]


def test_how_far_a_group_was_behind_in_seconds_of_its_input() -> None:
    samples = [LagSample(0.0, 5, 1_000), LagSample(4.0, 900, 1_900), LagSample(10.0, 0, 2_000)]
    assert most_behind(samples) == Behind(900, 4.0, 9.0)
    assert most_behind([LagSample(0.0, 3, 10), LagSample(1.0, 3, 10)]) == Behind(3, 0.0, 3.0)


def test_without_an_upgrade_each_worker_is_restarted_in_turn() -> None:
    steps = list(islice(restarts(), 5))
    assert [step.worker for step in steps] == ["app", "views", "archive", "api", "app"]
    assert {(step.crew, step.installation, step.may_end) for step in steps} == {(FIRST, THIS, True)}


def test_an_upgrade_replaces_all_rolls_back_and_replaces_again() -> None:
    versions = dict.fromkeys(ORDER, OLD)
    passes = []
    for step in islice(upgrades(OLD), 4 * len(ORDER)):
        is_new = set(versions.values()) == {THIS}
        assert step.may_end == is_new, "it ends with all of the new version, and only then"
        assert versions[step.crew, step.worker] != step.installation, "each step replaces a worker"
        versions[step.crew, step.worker] = step.installation
        if len(set(versions.values())) == 1:
            passes.append(step.installation)
    assert passes == [THIS, OLD, THIS, OLD]


def test_who_reads_is_replaced_before_who_writes() -> None:
    apps = [worker for _, worker in ORDER]
    assert list(dict.fromkeys(apps)) == ["archive", "views", "app", "api"]
    assert [apps.count(app) for app in dict.fromkeys(apps)] == [2, 2, 2, 1]
