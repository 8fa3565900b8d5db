"""The rights in Kafka without which the parts of an app cannot work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from connectors.rights import DESCRIBE, READ, WRITE, Needed
from schemas.topics import Topic, changelog_of
from streams.engine.outbox import Outbox
from streams.engine.restore import group_of
from streams.engine.stage import Stage
from streams.engine.standby import GROUP
from streams.engine.state import State


def topics_needed(reads: Iterable[str], stages: Mapping[str, Stage]) -> Needed:
    """What is read, what the folds write, their changelogs, and the dead letters."""
    found = defaultdict(set, {Topic.DEAD_LETTERS.value: {WRITE}})
    for topic in reads:
        found[str(topic)].add(READ)
    for topic, stage in stages.items():
        found[changelog_of(topic)].update((READ, WRITE))
        for output in stage.make_fold(State(), Outbox(1)).writes:
            found[output.value].add(WRITE)
    return found


def groups_needed(own: str, sink: str, stages: Iterable[str]) -> Needed:
    """Its own group; of who has stages also that of the `sink` by which work put off is paced, and
    those by whose names changelogs are read."""
    read = [group for topic in stages for group in (sink, GROUP, group_of(topic, 0))]
    return {own: {READ}, **{group: {DESCRIBE} for group in read}}
