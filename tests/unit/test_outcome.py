"""What chaos, soak and campaign judge in one way, and what each prints last."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from headrace.campaign.run import CampaignOutcome
from headrace.chaos.outcome import Outcome
from headrace.chaos.outputs import Outputs
from headrace.chaos.run import ChaosOutcome
from headrace.chaos.verdict import Once
from headrace.commands import campaign, chaos, soak
from headrace.soak.behind import Behind
from headrace.soak.run import Restart, SoakOutcome
from headrace.verify.report import Compared, Report

OF_A_RUN: dict[type[Outcome], dict[str, Any]] = {
    ChaosOutcome: {},
    SoakOutcome: {
        "restarts": [Restart("app", 1.0, 1.0, 0, 2.0)],
        "probes": 1,
        "behind": {"headrace-app": Behind(10, 1.0, 0.1)},
    },
    CampaignOutcome: {},
}
COMMANDS: dict[type[Outcome], Any] = {
    ChaosOutcome: chaos,
    SoakOutcome: soak,
    CampaignOutcome: campaign,
}


def outcome(kind: type[Outcome], **changes: Any) -> Outcome:
    """One with nothing wrong, but for the changes."""
    right = {
        "views": Report(rows=[Compared("posts", "redis", 10, 0)]),
        "once": Once(5, 5, 0, 0, 1, 0),
        "outputs": Outputs(9, 0, 0),
    }
    return kind(seed=1, **{**right, **OF_A_RUN[kind], **changes})


def printed(found: Outcome) -> str:
    """The last line that the command prints."""
    out = StringIO()
    COMMANDS[type(found)]._show(found, Console(file=out, width=300))
    return out.getvalue().splitlines()[-1]


@pytest.mark.parametrize("kind", OF_A_RUN)
def test_the_last_line_is_the_verdict(kind: type[Outcome]) -> None:
    assert printed(outcome(kind)).endswith("all 10 rows are as the events imply")
    wrong = outcome(kind, failure="it stopped", outputs=Outputs(9, 1, 0))
    assert printed(wrong) == "NOT RIGHT: it stopped; 1 outputs missing"


@pytest.mark.parametrize("kind", OF_A_RUN)
def test_no_worker_takes_more_than_it_may(kind: type[Outcome]) -> None:
    wrong = outcome(kind, memory_peak={"app": 768, "views": 513}).wrong
    assert wrong == ["views took 513 MB, and may take 512"]


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (ChaosOutcome, []),
        (SoakOutcome, ["a worker ended: app, code 1"]),
        (CampaignOutcome, ["a worker ended: app, code 1"]),
    ],
)
def test_workers_end_by_faults_alone(kind: type[Outcome], wrong: list[str]) -> None:
    assert outcome(kind, ends=["app, code 1"]).wrong == wrong


def test_letters_with_a_wrong_reason_stand_before_what_is_lost() -> None:
    found = outcome(
        CampaignOutcome, misjudged=1, examples=["posts/0/1"], once=Once(5, 4, 1, 0, 1, 0)
    )
    assert found.wrong == ["1 dead letters are wrong: posts/0/1", "1 records lost"]
