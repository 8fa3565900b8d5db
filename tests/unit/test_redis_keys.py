"""Key names, packed entries, and affinities that can be compared at any time."""

from __future__ import annotations

from uuid import UUID

import pytest

from connectors.redis_keys import (
    Keys,
    by_hash_tag,
    faded_score,
    fading_rank,
    member,
    split_member,
)
from schemas.partitioning import partition_of
from schemas.views import CLOSENESS_PER_DAY
from streams.decay import Faded, add
from tests.unit.folds import DAY, NOW

KINDS = (
    *("feed", "floor", "post", "counters", "user", "source", "following", "blocks", "mutes"),
    *("affinity", "interests", "aversions", "reacted", "kinds", "shared", "hidden"),
    *("notifications", "notices", "seen", "viewed", "viewed_before", "rankings", "ranked"),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("entity", ["ann", "u:ann", "at://did:plc:x/y", "{odd}", "日本"])
def test_a_key_bears_its_partition_as_hash_tag(kind: str, entity: str) -> None:
    key = getattr(Keys(8), kind)(entity)
    assert key == f"{kind}:{{p{partition_of(entity, 8)}}}:{entity}"


def test_a_position_shares_the_slot_of_its_keys() -> None:
    partition = partition_of("ann", 8)
    assert Keys.position("view.users", partition) == f"pos:{{p{partition}}}:view.users"
    assert Keys(8).user("ann").split(":")[1] == f"{{p{partition}}}"


def test_names_are_grouped_by_slot_and_keep_their_order() -> None:
    names = ["post:{p1}:a", "user:{p0}:b", "user:{p1}:{p0}", "post:{p10}:}c", "post:{p0}:d"]
    assert by_hash_tag(names) == [
        ["post:{p1}:a", "user:{p1}:{p0}"],
        ["user:{p0}:b", "post:{p0}:d"],
        ["post:{p10}:}c"],
    ]


@pytest.mark.parametrize(
    ("post_id", "reason", "size"),
    [
        ("p", "u:ann", 7),
        ("at://x/y", "s:at://x", 17),
        ("日本", "t:#x", 11),
        ("01JZ8B0V3QKX4M5T7N9R2C6DHE", "u:ann", 22),
        ("p", "s:01JZ8B0V3QKX4M5T7N9R2C6DHE", 21),
        (str(UUID(int=2**127)), f"u:{UUID(int=5)}", 36),
    ],
)
def test_an_entry_is_packed_and_unpacked(post_id: str, reason: str, size: int) -> None:
    assert len(member(post_id, reason)) == size
    assert split_member(member(post_id, reason)) == (post_id, reason)


def test_entries_of_one_time_stand_in_the_order_of_their_ids() -> None:
    pairs = [
        ("p", "u:b"),
        ("p", "u:a"),
        ("p1", "u:a"),
        ("o", "u:z"),
        ("p\x1f", "u:a"),
        ("é", "u:a"),
    ]
    packed = sorted(member(*pair) for pair in pairs)
    by_ids = sorted(pairs, key=lambda pair: (pair[0].encode(), pair[1].encode()))
    assert [split_member(entry) for entry in packed] == by_ids


@pytest.mark.parametrize("score", [1e-6, 0.5, 8, 1e6])
@pytest.mark.parametrize("days", [0, 0.5, 30])
def test_a_rank_gives_the_score_back_decayed(score: float, days: float) -> None:
    now = NOW + int(days * DAY)
    assert faded_score(fading_rank(score, NOW), now) == pytest.approx(score * 0.9**days, rel=1e-6)


def test_ranks_compare_as_scores_do_at_one_time() -> None:
    facts = [(10.0, 0), (8.0, 0), (8.0, 3), (1.0, 30), (5.0, 12), (20.0, 1)]
    at_the_end = [
        add(Faded(score, NOW + d * DAY), 0, NOW + 40 * DAY, CLOSENESS_PER_DAY) for score, d in facts
    ]
    ranks = [fading_rank(score, NOW + d * DAY) for score, d in facts]
    order = range(len(facts))
    assert sorted(order, key=ranks.__getitem__) == sorted(order, key=lambda n: at_the_end[n].score)
