"""The subjects of a schema registry that our schemas are versions of, and the ids they have there.

A subject is named as Confluent's serializers do by default: by the topic, and `-value`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from connectors.registry import Registry, RegistryDownError
from schemas.codec import HEADER_BYTES, SUBJECTS, Published, encode, header_of, newest, versions
from schemas.events import Engagement, Event, Feedback, Follow, Moderation, Post, User
from schemas.exposures import Exposure
from schemas.topics import Topic

TOPIC_OF: dict[type[Published], str] = {
    Post: str(Topic.POSTS),
    Engagement: str(Topic.ENGAGEMENTS),
    Follow: str(Topic.FOLLOWS),
    User: str(Topic.USERS),
    Moderation: str(Topic.MODERATIONS),
    Feedback: str(Topic.FEEDBACK),
    Exposure: str(Topic.EXPOSURES),
}

Encode = Callable[[Published], bytes]
"""The record of an event; raises `ValueError` when a field does not fit the schema."""


class NotRegisteredError(Exception):
    """A schema has no id in the registry; the text says what to do."""


class Registration(Struct, frozen=True):
    """A version of a schema with its id in `schemas/lock.json` and in the registry."""

    subject: str
    version: int
    own: int
    id: int


class Ids(Protocol):
    """Knows the ids of schemas in subjects; see `Registry`."""

    def id_of(self, subject: str, text: str) -> int | None:
        """The id, None if it is not registered there; raises `RegistryDownError`."""


def subject_of(event: type[Published]) -> str:
    """The subject of the schema of a type of event."""
    return f"{TOPIC_OF[event]}-value"


def register(registry: Registry) -> list[Registration]:
    """Register every version of every schema; what is there stays. They come in the order of their
    ids in `schemas/lock.json`, so that an empty registry gives them the same ones: hence exposures
    too, though they go by our own ids.

    Raises:
        RegistrationError: the registry does not take one.
        RegistryDownError: it cannot now.
    """
    found = []
    for version in sorted(versions(), key=lambda version: version.id):
        subject = subject_of(version.event)
        number = registry.register(subject, version.text)
        found.append(Registration(subject, version.number, version.id, number))
    return found


class RegisteredIds:
    """Encodes events with the ids that the registry has for our newest versions, once it was asked.

    Exposures are Headrace's own, and keep the id of `schemas/lock.json`.
    """

    def __init__(self, registry: Ids) -> None:
        self._registry = registry
        self._headers: dict[type[Event], bytes] = {}

    @property
    def is_known(self) -> bool:
        """Whether the registry has said all of them."""
        return len(self._headers) == len(SUBJECTS)

    def ask(self) -> None:
        """Ask the registry for those that are not known.

        Raises:
            NotRegisteredError: one is not registered.
            RegistryDownError: the registry cannot be reached.
        """
        for event in SUBJECTS.values():
            if event not in self._headers:
                version = newest()[event]
                number = self._registry.id_of(subject_of(event), version.text)
                if number is None:
                    raise NotRegisteredError(
                        f"the schema registry has no version {version.number} of "
                        f"{subject_of(event)}; `headrace schemas register` adds it"
                    )
                self._headers[event] = header_of(number)

    def encode(self, event: Published) -> bytes:
        """The record of an event.

        Raises:
            ValueError: a field does not fit the schema.
            RegistryDownError: its id is not known yet.
        """
        raw = encode(event)
        if isinstance(event, Exposure):
            return raw
        header = self._headers.get(type(event))
        if header is None:
            raise RegistryDownError("the registry has not said yet which ids the schemas have")
        return header + raw[HEADER_BYTES:]


def encoder(registry_url: str) -> Encode:
    """Encodes events with the ids of the registry at an address, or with our own if it is empty.

    Raises:
        NotRegisteredError: a schema is not registered.
        RegistryDownError: the registry cannot be reached.
    """
    if not registry_url:
        return encode
    registry = Registry(registry_url)
    ids = RegisteredIds(registry)
    try:
        ids.ask()
    finally:
        registry.close()
    return ids.encode
