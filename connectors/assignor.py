"""The assignor of a group of workers: balanced, sticky, and with standbys (see `deal`).

A member says in its subscription what it owns and follows (`Claims`), and is told in its
assignment what it is to follow. What cannot be read is taken for nothing: members of another
version own their share, and are nobody's standby.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from faust.types import TP

from connectors.deal import Claims, Member, deal_owners, deal_standbys

_encode = msgspec.msgpack.Encoder().encode

ByTopic = dict[str, list[int]]
Read = TypeVar("Read")


class StandbyAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """aiokafka takes an instance wherever it takes a class: this one knows its process.

    Args:
        claims: What this process owns and follows now; called from the consumer's thread.
        stateful: The topics whose partitions have standbys.
        standbys: How many each has at most.
    """

    name = "roundrobin"  # what workers without standbys call theirs: both form one group
    version = 0

    def __init__(
        self, claims: Callable[[], Claims], stateful: Collection[str], standbys: int
    ) -> None:
        self.followed: frozenset[TP] = frozenset()
        self._claims = claims
        self._stateful = stateful
        self._standbys = standbys

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What this member says when it joins."""
        claims = _encode(self._claims())
        return ConsumerProtocolMemberMetadata(self.version, sorted(topics), claims)

    def assign(
        self, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Deal the partitions, as the group's leader."""
        group = {
            name: Member(frozenset(said.subscription), _read(said.user_data, Claims))
            for name, said in members.items()
        }
        topics = {topic for member in group.values() for topic in member.topics}
        known = {topic: cluster.partitions_for_topic(topic) or set() for topic in topics}
        owners = deal_owners(known, group)
        standbys = deal_standbys(owners, group, self._stateful, self._standbys)
        return {
            name: ConsumerProtocolMemberAssignment(
                self.version,
                sorted(by_topic(tp for tp, owner in owners.items() if owner == name).items()),
                _encode(by_topic(tp for tp, chosen in standbys.items() if name in chosen)),
            )
            for name in members
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Take up what this member is to follow."""
        followed = _read(assignment.user_data, ByTopic) or {}
        self.followed = frozenset(
            TP(topic, number) for topic, numbers in followed.items() for number in numbers
        )


def by_topic(places: Iterable[TP]) -> ByTopic:
    """The numbers of partitions, by topic."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for tp in sorted(places):
        found[tp.topic].append(tp.partition)
    return dict(found)


def _read(user_data: bytes | None, of: type[Read]) -> Read | None:
    try:
        return msgspec.msgpack.decode(user_data or b"", type=of)
    except msgspec.DecodeError:
        return None
