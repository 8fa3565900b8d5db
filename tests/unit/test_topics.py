"""Every topic is declared, with the configuration that the design asks for."""

from __future__ import annotations

import pytest

from schemas.partitioning import partition_of
from schemas.topics import (
    EXTERNAL,
    IN_CASSANDRA,
    IN_REDIS,
    INTERNAL,
    VIEWS,
    Topic,
    changelog_of,
    declared,
)

DAY_MS = 86_400_000
CONFIGS = {spec.name: spec.config for spec in declared()}
CHANGELOGS = [changelog_of(topic) for topic in (*EXTERNAL, *INTERNAL)]


def test_every_topic_is_declared_once() -> None:
    names = [spec.name for spec in declared()]
    assert len(set(names)) == len(names)
    assert set(names) == {*map(str, Topic), *CHANGELOGS}
    assert all(type(name) is not Topic or name in Topic for name in names)


def test_every_topic_belongs_somewhere() -> None:
    letters = {Topic.DEAD_LETTERS, Topic.HANDLED_LETTERS}
    others = {Topic.TIMELINE_WRITES, *letters, Topic.EXPOSURES}
    assert {*EXTERNAL, *INTERNAL, *VIEWS, *others} == set(Topic)
    assert {topic for topic in Topic if topic.startswith("view.")} == set(VIEWS)
    assert {*IN_CASSANDRA, *IN_REDIS} == {*VIEWS, Topic.TIMELINE_WRITES}
    assert set(IN_CASSANDRA) - set(IN_REDIS) == {Topic.VIEW_COMMENTS}
    assert set(IN_REDIS) - set(IN_CASSANDRA) == {
        Topic.VIEW_MODERATION,
        Topic.VIEW_DEVICES,
        Topic.VIEW_NOTIFICATIONS,
        Topic.VIEW_TRENDING,
    }


@pytest.mark.parametrize(
    ("topic", "days"),
    [
        *((topic, 7) for topic in (*EXTERNAL, *INTERNAL)),
        (Topic.TIMELINE_WRITES, 37),
        (Topic.DEAD_LETTERS, 30),
        (Topic.EXPOSURES, 90),
    ],
)
def test_logs_are_deleted_after_days(topic: Topic, days: int) -> None:
    config = CONFIGS[topic]
    assert config["cleanup.policy"] == "delete"
    assert config["retention.ms"] == str(days * DAY_MS)


@pytest.mark.parametrize("topic", [*VIEWS, *CHANGELOGS])
def test_views_and_changelogs_are_compacted(topic: str) -> None:
    config = CONFIGS[topic]
    assert config["cleanup.policy"] == "compact"
    assert config["delete.retention.ms"] == str(7 * DAY_MS)
    assert "retention.ms" not in config


def test_what_was_done_with_a_letter_is_known_for_longer_than_the_letter() -> None:
    """Kafka deletes whole segments: a letter may stay as long again as a segment takes (a week)."""
    config, letters = CONFIGS[Topic.HANDLED_LETTERS], CONFIGS[Topic.DEAD_LETTERS]
    assert config["cleanup.policy"] == "compact,delete"
    assert int(config["retention.ms"]) > int(letters["retention.ms"]) + 7 * DAY_MS


@pytest.mark.parametrize("name", CONFIGS)
def test_only_external_topics_bear_the_brokers_time(name: str) -> None:
    is_external = name in EXTERNAL
    assert (CONFIGS[name].get("message.timestamp.type") == "LogAppendTime") is is_external
    assert CONFIGS[name]["compression.type"] == ("producer" if is_external else "lz4")


@pytest.mark.parametrize(
    ("key", "hashed"),
    [  # of the tests of Kafka's own Utils.murmur2
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    ],
)
def test_partitions_are_those_of_kafkas_java_client(key: str, hashed: int) -> None:
    for partitions in (1, 8, 256):
        assert partition_of(key, partitions) == (hashed & 0x7FFFFFFF) % partitions
