"""Two workers, each the other's standby: one is killed under load, and the other goes on from the
rows that it has."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

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


def follows(one: Crew, other: Crew) -> bool:
    """Whether one has all rows of what the other owns."""
    standbys = standing(one, "standbys")
    return standbys.keys() == owned(other) and {0} == {each["lag"] for each in standbys.values()}


def take_over(heir: Crew, leaver: Crew, brokers: str, seed: int) -> None:
    """Kill one under load, and see that the other restores next to nothing."""
    wait("standbys", lambda: follows(leaver, heir) and follows(heir, leaver))
    lost = owned(leaver)
    assert len(lost) == len(owned(heir)) == len(EVERYTHING) / 2
    to_restore = changelog_rows(brokers, lost)
    with Load(brokers, seed, rate=200, users=100), leaver.away("app"):
        wait("a takeover", lambda: owned(heir) == EVERYTHING)
        wait("what was taken over", lambda: heir.is_ready("app"))
        restores = standing(heir, "restores")
        restored = sum(restores[place]["rows"] for place in lost)
        assert all(restores[place]["percent"] == 100 for place in lost)
        assert standing(heir, "standbys") == {}, "there is no other worker to stand by"
    print(f"restored at the takeover: {restored} of {to_restore} changelog rows")
    assert to_restore > 5_000
    assert restored * 20 < to_restore
    wait("the other again", lambda: len(owned(leaver)) == len(EVERYTHING) / 2)
    assert [end for end in heir.ends if "app" in end] == []


def test_who_takes_over_restores_the_tail_only(own_addresses: Addresses, tmp_path: Path) -> None:
    """First one with its rows on disk, then one with its rows in memory."""
    brokers = own_addresses.kafka

    def crew(name: str, state: str, *apps: str) -> Crew:
        logs = tmp_path / name
        new = Crew(own_addresses, apps, name=name, state=state, log_dir=logs, peaks={}, say=print)
        return held.enter_context(new)

    with ExitStack() as held:
        first = crew("first", "memory", "app", "views", "archive", "api")
        publish(brokers, Plan(generate=6_000, users=400, seed=1).events(now_ms()))
        wait_until_quiet(brokers, PATIENCE_S)
        second = crew("second", "rocksdb", "app")
        take_over(second, first, brokers, seed=1)
        first.ends.clear()
        take_over(first, second, brokers, seed=2)
        wait_until_quiet(brokers, PATIENCE_S)
        report, once, outputs, _ = compare(
            own_addresses, {}, (first.api_url, first.token), 1, lambda line: print(line)
        )
    assert report.different == 0
    assert report.compared > 5_000
    assert once.is_right
    assert outputs.wrong == []
