"""Every topic, declared once: all are created up front, none by use."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from schemas.generation import GENERATION, name_in

DAY_MS = 24 * 60 * 60 * 1000
DELETE_RETENTION_MS = 7 * DAY_MS


class Topic(StrEnum):
    """The names of the topics that producers, stages and sinks use; those of internal topics are of
    this process's generation."""

    POSTS = "posts"
    ENGAGEMENTS = "engagements"
    FOLLOWS = "follows"
    USERS = "users"
    MODERATIONS = "moderations"
    FEEDBACK = "feedback"

    BY_POST = name_in(GENERATION, "by-post")
    BY_USER = name_in(GENERATION, "by-user")
    BY_SOURCE = name_in(GENERATION, "by-source")

    TIMELINE_WRITES = name_in(GENERATION, "timeline-writes")
    VIEW_POSTS = name_in(GENERATION, "view.posts")
    VIEW_COUNTERS = name_in(GENERATION, "view.counters")
    VIEW_COMMENTS = name_in(GENERATION, "view.comments")
    VIEW_COMMENT_COUNTS = name_in(GENERATION, "view.comment-counts")
    VIEW_MINE = name_in(GENERATION, "view.mine")
    VIEW_USERS = name_in(GENERATION, "view.users")
    VIEW_RELATIONS = name_in(GENERATION, "view.relations")
    VIEW_AFFINITY = name_in(GENERATION, "view.affinity")
    VIEW_SOURCES = name_in(GENERATION, "view.sources")
    VIEW_RECENTS = name_in(GENERATION, "view.recents")
    VIEW_MODERATION = name_in(GENERATION, "view.moderation")
    VIEW_NAMES = name_in(GENERATION, "view.names")
    VIEW_DEVICES = name_in(GENERATION, "view.devices")
    VIEW_INTERESTS = name_in(GENERATION, "view.interests")
    VIEW_NOTIFICATIONS = name_in(GENERATION, "view.notifications")
    VIEW_TRENDING = name_in(GENERATION, "view.trending")

    DEAD_LETTERS = "dead-letters"
    HANDLED_LETTERS = "dead-letters.handled"
    EXPOSURES = "exposures"


EXTERNAL = (
    Topic.POSTS,
    Topic.ENGAGEMENTS,
    Topic.FOLLOWS,
    Topic.USERS,
    Topic.MODERATIONS,
    Topic.FEEDBACK,
)
INTERNAL = (Topic.BY_POST, Topic.BY_USER, Topic.BY_SOURCE)
VIEWS = (
    Topic.VIEW_POSTS,
    Topic.VIEW_COUNTERS,
    Topic.VIEW_COMMENTS,
    Topic.VIEW_COMMENT_COUNTS,
    Topic.VIEW_MINE,
    Topic.VIEW_USERS,
    Topic.VIEW_RELATIONS,
    Topic.VIEW_AFFINITY,
    Topic.VIEW_SOURCES,
    Topic.VIEW_RECENTS,
    Topic.VIEW_MODERATION,
    Topic.VIEW_NAMES,
    Topic.VIEW_DEVICES,
    Topic.VIEW_INTERESTS,
    Topic.VIEW_NOTIFICATIONS,
    Topic.VIEW_TRENDING,
)

_IN_REDIS_ONLY = (
    Topic.VIEW_MODERATION,
    Topic.VIEW_DEVICES,
    Topic.VIEW_NOTIFICATIONS,
    Topic.VIEW_TRENDING,
)
_IN_CASSANDRA_ONLY = (Topic.VIEW_COMMENTS,)
_IN_SINKS = (Topic.TIMELINE_WRITES, *VIEWS)
IN_CASSANDRA = tuple(topic for topic in _IN_SINKS if topic not in _IN_REDIS_ONLY)
IN_REDIS = tuple(topic for topic in _IN_SINKS if topic not in _IN_CASSANDRA_ONLY)


class TopicSpec(Struct, frozen=True):
    """How a topic is created; every topic has the deployment's number of partitions."""

    name: str
    config: dict[str, str]


def changelog_of(topic: str) -> str:
    """The changelog of the stage that reads `topic`: its rows and its position."""
    return f"changelog.{topic}"


OF_A_GENERATION = (*INTERNAL, *map(changelog_of, INTERNAL), *_IN_SINKS)
"""The topics whose names are of a generation; all others go on through all of them."""


def in_this_generation(topic: str) -> str:
    """The name that a topic of any generation has in this one."""
    now = name_in(GENERATION, topic)
    return now if now in OF_A_GENERATION else topic


def _deleted_after(days: int, **more: str) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * DAY_MS), **more}


_COMPACTED = {
    "cleanup.policy": "compact",
    "delete.retention.ms": str(DELETE_RETENTION_MS),
    "min.cleanable.dirty.ratio": "0.3",
}
_BROKER_TIME = {"message.timestamp.type": "LogAppendTime"}
_EVERYWHERE = {"compression.type": "lz4"}


def declared() -> list[TopicSpec]:
    """Every topic with its configuration."""
    configs: dict[str, dict[str, str]] = {}
    for topic in EXTERNAL:
        configs[topic] = _deleted_after(7, **_BROKER_TIME, **{"compression.type": "producer"})
    for topic in INTERNAL:
        configs[topic] = _deleted_after(7)
    for topic in (*EXTERNAL, *INTERNAL):
        configs[changelog_of(topic)] = dict(_COMPACTED)
    for topic in VIEWS:
        configs[topic] = dict(_COMPACTED)
    configs[Topic.TIMELINE_WRITES] = _deleted_after(37)
    configs[Topic.DEAD_LETTERS] = _deleted_after(30)
    configs[Topic.HANDLED_LETTERS] = _COMPACTED | _deleted_after(
        60, **{"cleanup.policy": "compact,delete"}
    )
    configs[Topic.EXPOSURES] = _deleted_after(90)
    return [TopicSpec(name, {**_EVERYWHERE, **config}) for name, config in configs.items()]
