"""How far each app is behind: end offsets minus committed offsets, and waiting for none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from msgspec import Struct

from connectors.kafka import for_confluent
from schemas.topics import EXTERNAL, IN_CASSANDRA, IN_REDIS, INTERNAL

GROUPS: dict[str, tuple[str, ...]] = {
    "headrace-app": (*EXTERNAL, *INTERNAL),
    "headrace-views": IN_REDIS,
    "headrace-archive": IN_CASSANDRA,
}
"""The consumer groups, in the order of the pipeline, with the topics that each reads."""

QUIET_PASSES = 2
PAUSE_S = 0.3
REQUEST_S = 10.0
PATIENCE_S = 30.0
_PASSING = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._UNKNOWN_PARTITION,
)
"""What a broker says that has just started, or a group that is just being made."""


Place = tuple[str, str, int]
"""Group, topic, partition."""


class Standing(NamedTuple):
    """How far a group has come in a partition, and where the partition ends."""

    committed: int
    end: int


Standings = dict[tuple[str, int], Standing]
"""By topic and partition."""


class Lag(Struct, frozen=True):
    """The records that wait, by group, topic and partition; nought is not listed."""

    waiting: dict[Place, int]

    @property
    def total(self) -> int:
        """All records that wait."""
        return sum(self.waiting.values())

    def by_group(self) -> dict[str, int]:
        """The records that wait for each group."""
        found = dict.fromkeys(GROUPS, 0)
        for (group, _, _), count in self.waiting.items():
            found[group] = found.get(group, 0) + count
        return found

    def by_topic(self) -> dict[tuple[str, str], int]:
        """The records that wait for each group in each topic, most first."""
        found: dict[tuple[str, str], int] = {}
        for (group, topic, _), count in self.waiting.items():
            found[(group, topic)] = found.get((group, topic), 0) + count
        return dict(sorted(found.items(), key=lambda item: -item[1]))


class LagTimeoutError(Exception):
    """Some app was still behind when the time was over."""

    def __init__(self, lag: Lag, seconds: float) -> None:
        most = ", ".join(
            f"{count} in {topic} for {group}"
            for (group, topic), count in list(lag.by_topic().items())[:3]
        )
        super().__init__(
            f"after {seconds:.0f} s there are still records that wait: {most or 'new ones'}.\n"
            "Hint: does every worker run (`headrace work`)? Their logs say what stops them."
        )
        self.lag = lag


class LagReader:
    """Reads the lag of groups, in the order in which they are given.

    By consumers that never join their group, as an admin client whose broker dies may end the
    process with a segmentation fault.
    """

    def __init__(self, brokers: str, groups: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._groups = dict(GROUPS if groups is None else groups)
        self._consumers = {
            group: Consumer(
                {
                    **for_confluent(brokers),
                    "group.id": group,
                    "enable.auto.commit": False,
                    "isolation.level": "read_uncommitted",  # open transactions count as lag
                    "log_level": 2,
                }
            )
            for group in self._groups
        }
        self._partitions: dict[str, list[TopicPartition]] = {}

    def read(self) -> Lag:
        """What waits now; a broker that is busy with itself is asked again, for 30 s. See
        `_read`."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._read()
            except KafkaException as error:
                if not _is_passing(error) or time.monotonic() > deadline:
                    raise
            time.sleep(PAUSE_S)

    def close(self) -> None:
        """Let go of the connections."""
        for consumer in self._consumers.values():
            consumer.close()

    def _read(self) -> Lag:
        """What waits now.

        A group's commits are read before the ends of its topics, and both before those of the
        groups behind it: so nought everywhere means that nothing was under way between them.

        Raises:
            confluent_kafka.KafkaException: Kafka does not answer.
        """
        waiting: dict[Place, int] = {}
        for group in self._consumers:
            for place, at in self.standings(group).items():
                if at.end > at.committed:
                    waiting[(group, *place)] = at.end - at.committed
        return Lag(waiting)

    def standings(self, group: str) -> Standings:
        """How far a group has come in each partition; where it has committed nothing, the first
        record is what it will read.

        Raises:
            confluent_kafka.KafkaException: Kafka does not answer.
        """
        consumer = self._consumers[group]
        partitions = self._partitions_of(group)
        committed = _offsets(_committed(consumer, partitions))
        ends = offsets_at(consumer, partitions, OFFSET_END)
        unknown = [tp for tp in partitions if committed[tp.topic, tp.partition] < 0]
        firsts = offsets_at(consumer, unknown, OFFSET_BEGINNING) if unknown else {}
        return {
            place: Standing(max(committed[place], firsts.get(place, 0)), end)
            for place, end in ends.items()
        }

    def _partitions_of(self, group: str) -> list[TopicPartition]:
        if group not in self._partitions:
            known = self._consumers[group].list_topics(timeout=REQUEST_S).topics
            self._partitions[group] = [
                TopicPartition(str(topic), partition)
                for topic in self._groups[group]
                if topic in known
                for partition in known[topic].partitions
            ]
        return self._partitions[group]


def _committed(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """What a group has committed. Who may not know is told so beside the answer, which does not
    come."""
    try:
        found: list[TopicPartition] = consumer.committed(partitions, REQUEST_S)
    except KafkaException:
        message = consumer.poll(0)
        if message is not None and (why := message.error()) is not None:
            raise KafkaException(why) from None
        raise
    return found


def offsets_at(
    consumer: Consumer, partitions: list[TopicPartition], which: int
) -> dict[tuple[str, int], int]:
    """The first or last offsets of partitions, in one request to each broker: Kafka's protocol
    asks for them as if they were times."""
    asked = [TopicPartition(tp.topic, tp.partition, which) for tp in partitions]
    return _offsets(consumer.offsets_for_times(asked, REQUEST_S))


def _offsets(answers: list[TopicPartition]) -> dict[tuple[str, int], int]:
    for tp in answers:
        if tp.error is not None:
            raise KafkaException(tp.error)
    return {(tp.topic, tp.partition): tp.offset for tp in answers}


def _is_passing(error: KafkaException) -> bool:
    """Whether asking again may help."""
    return bool(error.args[0].retriable()) or error.args[0].code() in _PASSING


def wait_until_quiet(
    brokers: str,
    timeout_s: float,
    on_progress: Callable[[Lag], None] | None = None,
    groups: Mapping[str, tuple[str, ...]] | None = None,
) -> None:
    """Return when two passes in a row have seen no lag anywhere.

    Raises:
        LagTimeoutError: some group was still behind after `timeout_s`.
    """
    with closing(LagReader(brokers, groups)) as reader:
        wait_quiet(reader.read, timeout_s, on_progress)


def wait_quiet(
    read: Callable[[], Lag],
    timeout_s: float,
    on_progress: Callable[[Lag], None] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """The waiting of `wait_until_quiet`, with its own source of lags and its own clock.

    One record that comes between two passes, as the clock's do every 10 s, begins the count
    anew and no more.
    """
    deadline = clock() + timeout_s
    quiet = 0
    while True:
        lag = read()
        if on_progress is not None:
            on_progress(lag)
        quiet = quiet + 1 if lag.total == 0 else 0
        if quiet >= QUIET_PASSES:
            return
        if clock() >= deadline:
            raise LagTimeoutError(lag, timeout_s)
        sleep(PAUSE_S)
