"""Two workers, each the other's standby: one is killed under load, and the other goes on from the
rows that it has."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from connectors.lag import wait_until_quiet
from connectors.publisher import publish
from connectors.stack.addresses import Addresses
from headrace.chaos.crew import Crew
from headrace.chaos.load import Load, now_ms
from headrace.chaos.verdict import compare
from headrace.verify.plan import Plan
from schemas.topics import EXTERNAL, INTERNAL, changelog_of
from tests.oracle.read_log import read_topics

STAGES = (*EXTERNAL, *INTERNAL)
PARTITIONS = set(range(8))
PATIENCE_S = 120.0
Place = tuple[str, int]
"""A stage's topic and a partition."""


def wait(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def standing(crew: Crew, kind: str) -> dict[Place, Any]:
    """What the app says of its partitions: `restores` of what it owns, `standbys`."""
    stages = crew.stages("app")
    return {
        (topic, int(partition)): told
        for topic, stage in stages.items()
        for partition, told in stage[kind].items()
    }


def owned(crew: Crew) -> set[Place]:
    """The partitions that the app owns."""
    return {
        (topic, number)
        for topic, stage in crew.stages("app").items()
        for number in stage["partitions"]
    }


def changelog_rows(brokers: str, places: set[Place]) -> int:
    """The records of the changelogs of partitions, as they are now."""
    changelogs = {changelog_of(topic): str(topic) for topic in STAGES}
    records = read_topics(brokers, changelogs)
    return sum((changelogs[topic], partition) in places for topic, partition, *_ in records)


EVERYTHING = {(str(topic), number) for topic in STAGES for number in PARTITIONS}


@pytest.mark.parametrize("state", ["memory", "rocksdb"])
def test_who_takes_over_restores_the_tail_only(
    own_addresses: Addresses, tmp_path: Path, state: str
) -> None:
    seed = 1 if state == "memory" else 2

    def crew(name: str, *apps: str) -> Crew:
        logs = tmp_path / name
        new = Crew(own_addresses, apps, name=name, state=state, log_dir=logs, peaks={}, say=print)
        return held.enter_context(new)

    with ExitStack() as held:
        first = crew("first", "app", "views", "archive", "api")
        publish(own_addresses.kafka, Plan(generate=6_000, users=400, seed=seed).events(now_ms()))
        wait_until_quiet(own_addresses.kafka, PATIENCE_S)
        second = crew("second", "app")
        assert len(owned(first)) == len(owned(second)) == len(EVERYTHING) / 2

        def follows(one: Crew, other: Crew) -> bool:
            standbys = standing(one, "standbys")
            return standbys.keys() == owned(other) and {0} == {
                standby["lag"] for standby in standbys.values()
            }

        wait("standbys", lambda: follows(first, second) and follows(second, first))
        lost = owned(first)
        to_restore = changelog_rows(own_addresses.kafka, lost)
        with Load(own_addresses.kafka, seed, rate=200, users=100), first.away("app"):
            wait("a takeover", lambda: owned(second) == EVERYTHING)
            wait("what was taken over", lambda: second.is_ready("app"))
            restores = standing(second, "restores")
            restored = sum(restores[place]["rows"] for place in lost)
            assert all(restores[place]["percent"] == 100 for place in lost)
            assert standing(second, "standbys") == {}, "there is no other worker to stand by"

        print(f"restored at the takeover: {restored} of {to_restore} changelog rows")
        assert to_restore > 5_000
        assert restored * 20 < to_restore
        wait("the first again", lambda: len(owned(first)) == len(EVERYTHING) / 2)
        wait_until_quiet(own_addresses.kafka, PATIENCE_S)
        wait("standbys again", lambda: follows(first, second) and follows(second, first))
        report, once, outputs = compare(
            own_addresses, {}, (first.api_url, first.token), seed, lambda line: print(line)
        )
        assert report.different == 0
        assert report.compared > 5_000
        assert once.is_right
        assert outputs.wrong == []
        assert [end for end in second.ends if "app" in end] == []
