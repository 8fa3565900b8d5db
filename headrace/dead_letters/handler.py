"""Publishes the records of letters again, or puts letters away; each is done once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

import msgspec
from confluent_kafka import KafkaException

from headrace.dead_letters.log import Found, LettersError
from schemas.dead_letters import Handled, handled_key
from schemas.topics import Topic
from streams.engine.checkpoint import commit, send, transactional_producer
from streams.engine.outbox import Output

APP = "headrace-dead-letters"
MAX_LETTERS = 500
MAX_BYTES = 8 * 1024 * 1024
ABORT_S = 10.0

_encode = msgspec.msgpack.Encoder().encode


class Act(NamedTuple):
    """What is to be done with a letter: write its record again, as `output`, or (None) drop it."""

    found: Found
    output: Output | None


class Handler:
    """Handles letters, with one Kafka transaction for some of them: what is published again, and
    that it was, become visible together or not at all.

    It fences who handled letters before. So what was done until it began is all that there is,
    and whoever begins later has this one fail, not do the same a second time.

    Raises:
        LettersError: Kafka is not there, another has begun since, or it is not known whether the
            last was done.
    """

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        try:
            self._producer = transactional_producer(brokers, APP, Topic.HANDLED_LETTERS, 0)
        except KafkaException as error:
            raise self._error(error) from error

    def handle(self, acts: Iterable[Act]) -> Iterator[list[Act]]:
        """Do acts, some at a time; gives those that are done."""
        for some in _batches(acts):
            try:
                self._handle(some)
            except KafkaException as error:
                with suppress(KafkaException):
                    self._producer.abort_transaction(ABORT_S)
                raise self._error(error) from error
            yield some

    def _handle(self, acts: list[Act]) -> None:
        now = time.time_ns() // 1_000_000
        self._producer.begin_transaction()
        for (partition, offset, _, letter, _), output in acts:
            if output is not None:
                send(self._producer, output)
            mark = Handled(
                what="dropped" if output is None else "replayed",
                at=now,
                topic=letter.topic,
                partition=letter.partition,
                offset=letter.offset,
            )
            key = handled_key(partition, offset)
            self._producer.produce(Topic.HANDLED_LETTERS, _encode(mark), key, partition)
        commit(self._producer)

    def _error(self, error: KafkaException) -> LettersError:
        reason = error.args[0]
        if reason.fatal():
            return LettersError(
                f"another has begun to handle dead letters since: {reason.str()}.\n"
                "hint: `headrace dead-letters list` says which are handled"
            )
        return LettersError(
            f"dead letters cannot be handled by Kafka at {self._brokers}: {reason.str()}.\n"
            "hint: is it up (headrace stack status)? `headrace dead-letters list` says which are "
            "handled"
        )


def _batches(acts: Iterable[Act]) -> Iterator[list[Act]]:
    """So few at a time that their transaction is over soon: it holds up who reads these topics."""
    some: list[Act] = []
    size = 0
    for act in acts:
        some.append(act)
        size += len(act.found.letter.raw or b"")
        if len(some) >= MAX_LETTERS or size >= MAX_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some
