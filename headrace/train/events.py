"""The events to learn from, in the order in which they became known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from connectors.merged_log import read_merged
from connectors.settings import settings
from connectors.sources import higgs_span, load_higgs
from connectors.translations import own_ids
from schemas.codec import UndecodableError, decode
from schemas.events import Event, User
from schemas.topics import Topic

LEARNED_FROM = (Topic.POSTS, Topic.ENGAGEMENTS, Topic.FEEDBACK)


def events_of_kafka(brokers: str, until_ms: int | None) -> Iterator[Event]:
    """The posts, engagements and feedback in Kafka up to a time, without those of users who are
    erased by now; the topic of users is read first. What cannot be decoded is left out, as the
    pipeline does.

    Raises:
        MergedLogError: Kafka cannot be read.
        RegistryDownError: the schema registry, if ids are its own, cannot be asked.
    """
    erased = {
        event.user_id
        for event in _decoded(brokers, (Topic.USERS,), None)
        if isinstance(event, User) and event.action == "deleted"
    }
    for event in _decoded(brokers, LEARNED_FROM, until_ms):
        user_id = getattr(event, "author_id", None) or getattr(event, "user_id", None)
        if user_id not in erased:
            yield event


def _decoded(brokers: str, topics: tuple[Topic, ...], until_ms: int | None) -> Iterator[Event]:
    records = read_merged(brokers, [str(topic) for topic in topics], until_ms=until_ms)
    with own_ids(settings().registry_address) as translated:
        for record in records:
            try:
                yield decode(translated(record.value or b""))
            except UndecodableError:
                continue


def events_of_higgs(path: Path, until_ms: int | None) -> Iterator[Event]:
    """Those of an activity file at the file's own times, up to a time.

    Raises:
        SourceError: the file cannot be read.
    """
    for event in load_higgs(path, higgs_span(path).last_s * 1000):
        if until_ms is None or event.at <= until_ms:
            yield event
