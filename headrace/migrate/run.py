"""The steps of a migration to more partitions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from connectors import redis
from connectors.admin import going_on, partition_counts
from connectors.cassandra import connect as connect_cassandra
from connectors.kafka import for_confluent
from connectors.log_id import log_id_of
from connectors.settings import Settings
from connectors.stack.addresses import Addresses
from headrace.migrate import kept
from headrace.migrate.copying import Copied, Copier, Ends, counted, open_copier
from headrace.migrate.fence import DELIVER, fence, members
from headrace.migrate.plan import DOOR, MigrationError, Plan, Stand, stand_of
from headrace.migrate.report import Report
from headrace.migrate.split import LogSplitter, RowSplitter, Split, splitter_of
from headrace.migrate.topics import grow, make_generation
from schemas.generation import name_in
from schemas.topics import IN_CASSANDRA, INTERNAL, OF_A_GENERATION, VIEWS, Topic, changelog_of
from streams.archive_sink import (
    MOVE,
    CassandraStore,
    position_name,
    timestamp_of_copied_position,
)
from streams.engine.outbox import Outbox
from streams.engine.owners import Owner
from streams.engine.replica import MakeFold
from streams.engine.state import State, StateFormatError
from streams.posts import PostFold
from streams.sources import SourceFold
from streams.users import UserFold

FOLDS: dict[Topic, MakeFold] = {
    Topic.BY_POST: PostFold,
    Topic.BY_USER: UserFold,
    Topic.BY_SOURCE: SourceFold,
}
REQUEST_SECONDS = 30.0

Place = tuple[Topic, int]
Below = dict[tuple[Topic, int], Mapping[int, int]]
"""By old partition of a topic: how many records of each new one are below a position."""


def owners_of(topic: Topic) -> dict[str, Owner]:
    """Whose the rows of each table of a log's fold are."""
    state = State()
    FOLDS[topic](state, Outbox(1))
    return state.owners()


class Migration:
    """One run; what an earlier one has left undone is done anew, or gone on with."""

    def __init__(self, addresses: Addresses, config: Settings, plan: Plan, progress: Any) -> None:
        self._brokers = addresses.kafka
        self._addresses = addresses
        self._config = config
        self._plan = plan
        self._progress = progress
        self._log_id = log_id_of(addresses.kafka)
        self.report = Report(plan)

    def look(self) -> Stand:
        """How far it has come, and what there is to be copied.

        Raises:
            MigrationError: topics are not as the settings say.
        """
        stand = stand_of(partition_counts(self._brokers), self._plan)
        with open_copier(self._brokers, self._progress.detail) as copier:
            ends = copier.ends(OF_A_GENERATION, self._plan.before)
            beginnings = copier.beginnings(OF_A_GENERATION, self._plan.before)
        for topic in OF_A_GENERATION:
            self.report.offsets[str(topic)] = counted(ends, beginnings, topic)
        self.report.members = members(self._brokers)
        return stand

    def run(self) -> Report:
        """Do what is left.

        Raises:
            MigrationError: a worker is alive, or something was written meanwhile.
        """
        began = time.monotonic()
        self._progress.step("looking at what there is")
        stand = self.look()
        if stand is not Stand.COMMITTED:
            self._refuse_members()
            self._copy()
        self._progress.step(f"adding partitions to the topics that stay: {self._plan.after}")
        grow(self._brokers, list(going_on(partition_counts(self._brokers))), self._plan.after)
        self._progress.step("copying what the API keeps in Redis")
        with closing(redis.connect(self._addresses.redis)) as client:
            self.report.kept = kept.carry(client, self._plan.after)
        self.report.seconds = round(time.monotonic() - began, 3)
        return self.report

    def _refuse_members(self) -> None:
        if self.report.members:
            raise MigrationError(
                f"still alive: {'; '.join(self.report.members)}.\n"
                "hint: stop all workers and `headrace deliver`; one that was killed counts for 10 s"
            )

    def _copy(self) -> None:
        plan = self._plan
        self._progress.step("fencing the stages")
        fence(self._brokers, plan.before)
        self._progress.step(f"making the topics of generation {plan.next_generation}")
        config = self._config
        make_generation(self._brokers, plan.next_generation, plan.after, config.replication)
        with open_copier(self._brokers, self._progress.detail) as copier:
            ends = copier.ends(OF_A_GENERATION, plan.before)
            for topic in INTERNAL:
                self._copy_log(copier, topic, ends)
            self._progress.step("copying views")
            archived = self._archived()
            delivered = self._delivered()
            below: Below = {}
            told: Below = {}
            for topic in (*VIEWS, Topic.TIMELINE_WRITES):
                self._copy_view(copier, topic, ends, (archived, below), (delivered, told))
            self._progress.step("comparing what was read with what is there")
            copier.confirm()
            self._progress.step("setting the positions of Cassandra and of deliveries")
            self._archive(below)
            self._deliver(told)
            self._close(copier, ends)

    def _close(self, copier: Copier, ends: Ends) -> None:
        """From here on no worker can open a partition: those of the old number see that there are
        more, those of the new number do not start before all topics have it."""
        plan = self._plan
        self._progress.step("closing the old generation")
        grow(self._brokers, [DOOR], plan.after)
        fence(self._brokers, plan.before)
        self.report.members = members(self._brokers)
        self._refuse_members()
        now = copier.ends(OF_A_GENERATION, plan.before)
        if changed := sorted(place for place in ends if now[place] != ends[place]):
            topic, partition = changed[0]
            raise MigrationError(
                f"something has written into {topic}/{partition} meanwhile.\n"
                "hint: run it again; nothing but producers and the API may run beside it"
            )

    def _copy_log(self, copier: Copier, topic: Topic, ends: Ends) -> None:
        """Copy the rows of a fold, and of its log what they do not have yet."""
        plan = self._plan
        changelog = changelog_of(topic)
        self._progress.step(f"copying rows and log of {topic}")
        owners = owners_of(topic)
        for partition in range(plan.before):
            split = Split(partition, plan.before, plan.after)
            rows = RowSplitter(split, owners)
            end = ends[changelog, partition]
            target = name_in(plan.next_generation, topic)
            new_changelog = changelog_of(target)
            try:
                copied = copier.copy((changelog, partition), end, new_changelog, rows)
            except StateFormatError as error:
                raise MigrationError(str(error)) from error
            self._note(changelog, copied)
            end = ends[topic, partition]
            log = LogSplitter(split)
            self._note(topic, copier.copy((topic, partition), end, target, log, rows.position))

    def _copy_view(
        self, copier: Copier, topic: Topic, ends: Ends, *positions: tuple[dict[Place, int], Below]
    ) -> None:
        plan = self._plan
        target = name_in(plan.next_generation, topic)
        for partition in range(plan.before):
            place = topic, partition
            splitter = splitter_of(topic, Split(partition, plan.before, plan.after))
            marks = [at[place] for at, _ in positions if place in at]
            copied = copier.copy(place, ends[place], target, splitter, marks=marks)
            for at, below in positions:
                if place in at:
                    below[place] = copied.below[at[place]]
            self._note(topic, copied)

    def _note(self, topic: str, copied: Copied) -> None:
        self.report.note(str(topic), copied)

    # Who reads the views goes on where it stood

    def _archived(self) -> dict[Place, int]:
        """Where Cassandra stands."""
        cluster, session = self._cassandra()
        try:
            store = CassandraStore(session, self._log_id)
            places = [(topic, p) for topic in IN_CASSANDRA for p in range(self._plan.before)]
            found = ((place, store.open(*place)) for place in places)
            return {place: position for place, position in found if position is not None}
        finally:
            cluster.shutdown()

    def _archive(self, below: Below) -> None:
        plan, now = self._plan, time.time_ns() // 1_000_000
        at = timestamp_of_copied_position(plan.next_generation, now)
        cluster, session = self._cassandra()
        try:
            move = session.prepare(MOVE)
            for (topic, partition), counts in below.items():
                name = position_name(topic, plan.next_generation)
                for part in Split(partition, plan.before, plan.after).parts:
                    session.execute(move, (name, part, self._log_id, counts.get(part, 0), at))
        finally:
            cluster.shutdown()

    def _cassandra(self) -> Any:
        return connect_cassandra(self._addresses.cassandra, self._config.cassandra_keyspace)

    def _delivered(self) -> dict[Place, int]:
        """Where deliveries stand, if there are any."""
        topic = Topic.VIEW_NOTIFICATIONS
        asked = [TopicPartition(str(topic), p) for p in range(self._plan.before)]
        with closing(self._deliverer()) as consumer:
            found = consumer.committed(asked, REQUEST_SECONDS)
        return {(topic, tp.partition): tp.offset for tp in found if tp.offset >= 0}

    def _deliver(self, told: Below) -> None:
        plan = self._plan
        offsets = [
            TopicPartition(name_in(plan.next_generation, topic), part, counts.get(part, 0))
            for (topic, partition), counts in told.items()
            for part in Split(partition, plan.before, plan.after).parts
        ]
        if offsets:
            with closing(self._deliverer()) as consumer:
                consumer.commit(offsets=offsets, asynchronous=False)

    def _deliverer(self) -> Consumer:
        return Consumer(
            {**for_confluent(self._brokers), "group.id": DELIVER, "enable.auto.commit": False}
        )
