"""Wiring: which parts of which apps read and write which topics, as the apps themselves say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from schemas.topics import Topic
from streams.engine.app import App
from streams.engine.outbox import Outbox
from streams.engine.sink import Sink
from streams.engine.state import State


class Part(Struct, frozen=True):
    """A fold or a sink of an app, with the topics that it reads, and the topics, or the store, that
    it writes."""

    app: str
    name: str
    kind: Literal["fold", "sink"]
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def wiring(apps: Iterable[App]) -> list[Part]:
    """The parts of apps; folds of one kind, and sinks of one store, are one part."""
    found: dict[tuple[str, str], Part] = {}
    for app in apps:
        for topic, processor in app.processors.items():
            if topic in app.stages:
                fold = app.stages[topic].make_fold(State(), Outbox(app.settings.partitions))
                part = Part(
                    app.conf.id.removeprefix("headrace-"),
                    type(fold).__name__,
                    "fold",
                    (topic,),
                    _names(fold.writes),
                )
            else:
                assert isinstance(processor, Sink)
                store = processor.store
                part = Part(
                    app.conf.id.removeprefix("headrace-"),
                    f"{store} sink",
                    "sink",
                    (topic,),
                    (store,),
                )
            place = (part.app, part.name)
            found[place] = _together(found[place], part) if place in found else part
    return list(found.values())


def _together(one: Part, other: Part) -> Part:
    return Part(
        one.app,
        one.name,
        one.kind,
        (*one.reads, *other.reads),
        tuple(dict.fromkeys((*one.writes, *other.writes))),
    )


def _names(topics: Iterable[Topic]) -> tuple[str, ...]:
    return tuple(str(topic) for topic in topics)
