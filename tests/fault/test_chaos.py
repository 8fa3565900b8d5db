"""Every fault once, under load, in the middle of work: the views equal the oracle's, and Kafka's
readers see every record once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from connectors.admin import create_topics
from connectors.settings import settings
from connectors.stack.addresses import Addresses
from connectors.stack.errors import PartDied
from connectors.stack.local import LocalStack
from headrace.chaos.run import Options, run
from headrace.chaos.schedule import brief
from headrace.supervisor import Supervisor
from headrace.verify.run import Progress

SEED = 20_261_121
RATE = 80.0
COMPARED = 20_000
EVENTS = 10_000
"""At the least: how many come depends on how soon all is mended."""


class Printed(Progress):
    """Says what happens, for who reads the output of a test that failed."""

    def step(self, text: str) -> None:
        print(f"== {text}", flush=True)

    def detail(self, text: str) -> None:
        print(text, flush=True)


@pytest.mark.timeout(1500)
def test_every_fault(own_stack: LocalStack, tmp_path: Path) -> None:
    print(f"seed {SEED}")
    faults = brief(SEED)
    options = Options(seed=SEED, faults=faults, are_beside=True, rate=RATE)
    outcome = run(options, own_stack, tmp_path / "logs", Printed())
    print(outcome.json().decode())
    assert outcome.wrong == []
    assert {str(landed.fault) for landed in outcome.faults} == set(map(str, faults))
    assert len(outcome.faults) == len(faults)
    assert outcome.events > EVENTS
    assert outcome.views.compared > COMPARED
    assert outcome.once is not None
    assert outcome.once.external >= outcome.events - outcome.once.dead_letters


def run_workers(supervisor: Supervisor) -> None:
    with supervisor:
        pass


def test_a_redis_and_a_cassandra_of_another_kafka_are_refused(
    own_addresses: Addresses, tmp_path: Path
) -> None:
    """Views of one log are never mixed with those of another: the sinks end and say why."""
    with LocalStack(tmp_path / "stack", fresh=True, parts=("kafka",)) as other:
        create_topics(other.addresses.kafka, settings())
        mixed = replace(own_addresses, kafka=other.addresses.kafka)
        for name in ("views", "archive"):
            with pytest.raises(PartDied, match="holds the views of another Kafka"):
                run_workers(Supervisor(mixed, (name,), log_dir=tmp_path / "logs"))
