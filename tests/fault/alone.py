"""One fault a run: what scripts/mutants lets notice a defect, and what must be right without one.

Not collected with the other tests, which run every fault in one go (`test_chaos.py`): name the
file, or a case of it, as in `scripts/test 'tests/fault/alone.py::test_right_after[redis-kill]'`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from connectors.prepare import prepare
from connectors.stack.local import LocalStack
from headrace.chaos.run import Options, run
from headrace.chaos.schedule import UNFENCED, Fault
from tests.fault.test_chaos import Printed

SEED = 20_261_125
RATE = 150.0
USERS = 80
PAUSE_S = 6.0  # of load before the fault, so that there is state to be lost
PATIENCE_S = 90.0
QUIET_S = 60.0

CASES = {
    "kill-app-before-commit-of-engagements": Fault(
        kind="kill", target="app", point="before-commit", topic="engagements", passes=5
    ),
    "kill-app-after-changelog-of-engagements": Fault(
        kind="kill", target="app", point="after-changelog", topic="engagements", passes=5
    ),
    "kill-app-before-commit-of-by-post": Fault(
        kind="kill", target="app", point="before-commit", topic="by-post", passes=5
    ),
    "kill-views-mid-sink": Fault(kind="kill", target="views", point="mid-sink"),
    "kill-archive-mid-sink": Fault(kind="kill", target="archive", point="mid-sink", passes=20),
    "zombie-app-with-engagements": Fault(
        kind="zombie", target="app", point="before-outputs", topic="engagements", passes=5
    ),
    "zombie-archive": UNFENCED,
    "state-deleted": Fault(kind="state-deleted"),
    "redis-kill": Fault(kind="redis-kill", seconds=3.0),
    "poison": Fault(kind="poison"),
}


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[LocalStack]:
    """Parts for one case, which a defect may leave in any state."""
    with LocalStack(tmp_path / "stack", fresh=True) as stack:
        prepare(stack.addresses)
        yield stack


@pytest.mark.timeout(420)
@pytest.mark.parametrize("name", CASES)
def test_right_after(name: str, own_stack: LocalStack, tmp_path: Path) -> None:
    fault = CASES[name]
    options = Options(
        seed=SEED,
        faults=[replace(fault, pause_s=PAUSE_S)],
        rate=RATE,
        users=USERS,
        patience_s=PATIENCE_S,
        quiet_s=QUIET_S,
    )
    outcome = run(options, own_stack, tmp_path / "logs", Printed())
    print(outcome.json().decode())
    assert not outcome.wrong
    assert [landed.fault for landed in outcome.faults] == options.faults
