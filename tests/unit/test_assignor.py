"""What members of a group tell each other; the deal itself: `property/test_assignor.py`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from faust.types import TP

from connectors.assignor import StandbyAssignor
from connectors.deal import Claims, Member, deal_owners, deal_standbys

CLUSTER: Any = SimpleNamespace(
    partitions_for_topic={"posts": {0, 1, 2, 3}, "view": {0, 1, 2, 3}}.get
)


def assignor(claims: Claims = Claims(), standbys: int = 1) -> StandbyAssignor:  # noqa: B008
    return StandbyAssignor(lambda: claims, {"posts"}, standbys)


def joined(
    topics: set[str] = frozenset({"posts", "view"}),  # type: ignore[assignment]
    user_data: bytes | None = None,
    claims: Claims = Claims(),  # noqa: B008
) -> ConsumerProtocolMemberMetadata:
    """What a member sends, through the bytes that go over the wire."""
    said = assignor(claims).metadata(topics)
    if user_data is not None:
        said = ConsumerProtocolMemberMetadata(0, sorted(topics), user_data)
    return ConsumerProtocolMemberMetadata.decode(said.encode())


def told(
    dealt: dict[str, ConsumerProtocolMemberAssignment], name: str
) -> tuple[set[TP], frozenset[TP]]:
    """What a member is to own and to follow."""
    received = ConsumerProtocolMemberAssignment.decode(dealt[name].encode())
    member = assignor()
    member.on_assignment(received)
    return {TP(*place) for place in received.partitions()}, member.followed


def posts(*numbers: int) -> set[TP]:
    return {TP("posts", number) for number in numbers}


def test_members_follow_what_the_others_own() -> None:
    dealt = assignor().assign(CLUSTER, {"a": joined(), "b": joined()})
    (mine, followed), (theirs, follow) = told(dealt, "a"), told(dealt, "b")
    assert len(mine) == len(theirs) == 4
    assert not mine & theirs
    assert followed == {tp for tp in theirs if tp.topic == "posts"}
    assert follow == {tp for tp in mine if tp.topic == "posts"}


@pytest.mark.parametrize(
    ("standbys", "members", "each"), [(0, 3, 0), (1, 1, 0), (2, 2, 1), (2, 4, 2)]
)
def test_how_many_standbys_a_partition_has(standbys: int, members: int, each: int) -> None:
    group = {f"m{number}": joined() for number in range(members)}
    dealt = assignor(standbys=standbys).assign(CLUSTER, group)
    found = [tp for name in group for tp in told(dealt, name)[1]]
    assert sorted(found) == sorted([*posts(0, 1, 2, 3)] * each)


def test_the_standby_of_who_is_gone_takes_over() -> None:
    group = {
        "a": joined(claims=Claims(4, {"posts": [0, 1]}, {"posts": [3]})),
        "b": joined(claims=Claims(4, {}, {"posts": [2]})),
    }
    dealt = assignor().assign(CLUSTER, group)
    assert told(dealt, "a")[0] >= posts(0, 1)
    assert told(dealt, "b")[0] >= posts(2, 3)
    group["c"] = joined(claims=Claims(4, {}, {"posts": [0, 1]}))
    del group["a"]
    dealt = assignor().assign(CLUSTER, group)
    assert told(dealt, "c")[0] >= posts(0, 1)


def test_who_gives_a_partition_away_is_its_standby() -> None:
    group = {"a": joined(claims=Claims(4, {"posts": [0, 1, 2, 3]})), "b": joined()}
    dealt = assignor().assign(CLUSTER, group)
    assert told(dealt, "a") == (posts(0, 1) | told(dealt, "a")[0], frozenset(posts(2, 3)))


def test_of_two_who_claim_a_partition_the_later_generation_has_it() -> None:
    """The other was away while the group dealt without it."""
    everything = {"posts": [0, 1]}
    for late in ("a", "b"):
        group = {
            name: joined(claims=Claims(5 if name == late else 4, everything)) for name in ("a", "b")
        }
        dealt = assignor().assign(CLUSTER, group)
        assert told(dealt, late)[0] >= posts(0, 1)


@pytest.mark.parametrize(
    "user_data",
    [
        pytest.param(b"", id="none"),
        pytest.param(b"\xc1", id="no msgpack"),
        pytest.param(b"\x93\x01\x02\x03", id="other fields"),
        pytest.param(msgspec.msgpack.encode("x"), id="another type"),
    ],
)
def test_who_cannot_be_understood_owns_its_share_and_follows_nothing(user_data: bytes) -> None:
    group = {"a": joined(), "b": joined(), "old": joined(user_data=user_data)}
    dealt = assignor(standbys=2).assign(CLUSTER, group)
    assert [len(told(dealt, name)[0]) for name in group] == [3, 3, 2]
    assert told(dealt, "old")[1] == frozenset()
    assert told(dealt, "a")[1] | told(dealt, "b")[1] == posts(0, 1, 2, 3)


def test_claims_of_a_later_version_are_understood() -> None:
    claims = msgspec.msgpack.encode([4, {"posts": [3]}, {}, "more"])
    dealt = assignor().assign(CLUSTER, {"a": joined(), "b": joined(user_data=claims)})
    assert TP("posts", 3) in told(dealt, "b")[0]


@pytest.mark.parametrize("user_data", [None, b"", b"\xc1", msgspec.msgpack.encode(["x"])])
def test_an_assignment_by_another_version_names_nothing_to_follow(user_data: bytes | None) -> None:
    member = assignor()
    member.followed = frozenset(posts(1))
    member.on_assignment(ConsumerProtocolMemberAssignment(0, [("posts", [0])], user_data))
    assert member.followed == frozenset()


def test_workers_with_and_without_standbys_form_one_group() -> None:
    assert StandbyAssignor.name == RoundRobinPartitionAssignor.name
    without = RoundRobinPartitionAssignor.assign(CLUSTER, {"a": joined(), "b": joined()})
    assert told(without, "a")[1] == frozenset()


def test_topics_that_only_some_read() -> None:
    members = {
        "a": Member(frozenset({"posts"}), Claims()),
        "b": Member(frozenset({"posts", "view"}), Claims()),
        "c": Member(frozenset(), Claims()),
    }
    owners = deal_owners({"posts": range(4), "view": range(3), "lost": range(2)}, members)
    assert sorted(owners.values()) == ["a"] * 2 + ["b"] * 5
    assert {owners[tp] for tp in owners if tp.topic == "view"} == {"b"}
    standbys = deal_standbys(owners, members, {"posts", "view"}, 2)
    assert {tp: chosen for tp, chosen in standbys.items() if chosen} == {
        tp: ["b" if owners[tp] == "a" else "a"] for tp in posts(0, 1, 2, 3)
    }


def test_a_topic_that_the_cluster_does_not_know() -> None:
    dealt = assignor().assign(CLUSTER, {"a": joined({"posts", "unknown"})})
    assert told(dealt, "a") == (posts(0, 1, 2, 3), frozenset())
