"""The deal of partitions under any joins and leaves: balance first, then as few moves as may be,
then standbys that become owners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import chain, combinations, product
from types import SimpleNamespace
from typing import Any

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from connectors.assignor import StandbyAssignor, by_topic
from connectors.deal import Claims

Layout = dict[str, int]
"""How many partitions each topic has."""

layouts = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 7), min_size=1, max_size=4)
names = st.sampled_from([f"m{n}" for n in range(6)])
histories = st.lists(st.tuples(st.booleans(), names), min_size=1, max_size=8)


class Group:
    """Members that join and leave, with what the last deal gave each."""

    def __init__(self, layout: Layout, standbys: int) -> None:
        self.layout = layout
        self.standbys = standbys
        self.generation = 0
        self.owned: dict[str, set[TP]] = {}
        self.followed: dict[str, set[TP]] = {}

    def change(self, is_join: bool, name: str) -> bool:
        """A member joins or leaves; False when it is there, or the last one."""
        if is_join == (name in self.owned) or (not is_join and len(self.owned) == 1):
            return False
        for kept in (self.owned, self.followed):
            if is_join:
                kept[name] = set()
            else:
                del kept[name]
        return True

    def deal(self) -> None:
        dealt = deal(self.layout, self.said(), self.standbys)
        self.owned = {name: owned for name, (owned, _) in dealt.items()}
        self.followed = {name: followed for name, (_, followed) in dealt.items()}
        self.generation += 1

    def said(self) -> dict[str, Claims]:
        return {
            name: Claims(self.generation, by_topic(owned), by_topic(self.followed[name]))
            for name, owned in self.owned.items()
        }


def deal(
    layout: Layout, said: Mapping[str, Claims], standbys: int
) -> dict[str, tuple[set[TP], set[TP]]]:
    """What each member gets to own and to follow, through what is sent between them."""
    cluster: Any = SimpleNamespace(partitions_for_topic=lambda topic: set(range(layout[topic])))
    assignors = {
        name: StandbyAssignor(lambda claims=claims: claims, set(layout), standbys)
        for name, claims in said.items()
    }
    metadata = {name: each.metadata(set(layout)) for name, each in assignors.items()}
    dealt = assignors[min(said)].assign(cluster, metadata)
    backwards = dict(sorted(metadata.items(), reverse=True))
    assert assignors[max(said)].assign(cluster, backwards) == dealt, "whoever leads deals the same"
    found = {}
    for name, assignment in dealt.items():
        assignors[name].on_assignment(assignment)
        owned = {TP(*place) for place in assignment.partitions()}
        found[name] = owned, set(assignors[name].followed)
    return found


def all_of(layout: Layout) -> set[TP]:
    return {TP(topic, number) for topic, count in layout.items() for number in range(count)}


def spread(counts: list[int]) -> int:
    return max(counts) - min(counts)


def check(group: Group) -> None:
    """What every deal is."""
    everything = all_of(group.layout)
    assert sorted(chain.from_iterable(group.owned.values())) == sorted(everything)
    for topic in group.layout:
        assert spread([sum(tp.topic == topic for tp in one) for one in group.owned.values()]) <= 1
    assert spread(list(map(len, group.owned.values()))) <= 1
    for name, followed in group.followed.items():
        assert not followed & group.owned[name], "nobody is its own standby"
    times = Counter(chain.from_iterable(group.followed.values()))
    wanted = min(group.standbys, len(group.owned) - 1)
    assert times == Counter({tp: wanted for tp in everything if wanted})


@given(layouts, st.integers(0, 3), histories)
def test_every_deal_is_whole_and_balanced(
    layout: Layout, standbys: int, history: list[tuple[bool, str]]
) -> None:
    group = Group(layout, standbys)
    group.change(True, "m0")
    group.deal()
    for is_join, name in history:
        if group.change(is_join, name):
            group.deal()
            check(group)


@given(layouts, st.integers(0, 3), histories)
def test_nothing_moves_when_nothing_changes(
    layout: Layout, standbys: int, history: list[tuple[bool, str]]
) -> None:
    group = Group(layout, standbys)
    group.change(True, "m0")
    for is_join, name in history:
        if group.change(is_join, name):
            group.deal()
    group.deal()
    before = group.owned, group.followed
    group.deal()
    assert (group.owned, group.followed) == before


def most_kept(layout: Layout, said: Mapping[str, Claims]) -> int:
    """How many partitions stay at most, tried out over all balanced deals."""
    members = sorted(said)
    choices = []
    for _, count in sorted(layout.items()):
        base, extra = divmod(count, len(members))
        choices.append(
            [
                [base + (n in more) for n in range(len(members))]
                for more in combinations(range(len(members)), extra)
            ]
        )
    held = [[len(said[name].owned.get(topic, ())) for name in members] for topic in sorted(layout)]
    return max(
        sum(min(*each) for row in zip(held, quotas, strict=True) for each in zip(*row, strict=True))
        for quotas in product(*choices)
        if spread([sum(column) for column in zip(*quotas, strict=True)]) <= 1
    )


small = st.dictionaries(st.sampled_from("abc"), st.integers(1, 7), min_size=1, max_size=3)


@given(small, st.lists(st.tuples(st.booleans(), names), min_size=1, max_size=6))
def test_no_balanced_deal_moves_less(layout: Layout, history: list[tuple[bool, str]]) -> None:
    group = Group(layout, 1)
    group.change(True, "m0")
    group.deal()
    for is_join, name in history:
        if group.change(is_join, name) and len(group.owned) <= 4:
            before, said = group.owned, group.said()
            group.deal()
            kept = sum(len(group.owned[each] & owned) for each, owned in before.items())
            assert kept == most_kept(layout, said)


@given(st.integers(1, 4), st.integers(1, 12), st.integers(1, 5))
def test_a_newcomer_alone_gets_what_moves(topics: int, partitions: int, count: int) -> None:
    """Of topics that have as many partitions each."""
    group = Group(dict.fromkeys("abcd"[:topics], partitions), 1)
    for number in range(count):
        group.change(True, f"m{number}")
    group.deal()
    before = group.owned
    group.change(True, "new")
    group.deal()
    moved = {tp for name, owned in before.items() for tp in owned - group.owned[name]}
    assert moved == group.owned["new"]


@given(layouts, st.integers(1, 3), histories, names)
def test_a_standby_gets_the_partitions_of_who_left(
    layout: Layout, standbys: int, history: list[tuple[bool, str]], leaving: str
) -> None:
    """Unless every standby has its share of the topic, of what it had or stood by."""
    group = Group(layout, standbys)
    for is_join, name in [(True, "m0"), *history, (True, leaving)]:
        if group.change(is_join, name):
            group.deal()
    before, followed, lost = group.owned, group.followed, group.owned[leaving]
    if not group.change(False, leaving):
        return
    group.deal()
    for name, owned in group.owned.items():
        for tp in owned & lost - followed[name]:
            for standby in (each for each in followed if tp in followed[each] and each != leaving):
                assert standby in group.owned
                share = {mine for mine in group.owned[standby] if mine.topic == tp.topic}
                assert share <= before[standby] | followed[standby]
                assert len(share) >= layout[tp.topic] // len(group.owned)


claims = st.builds(
    Claims,
    st.integers(-1, 3),
    *[st.dictionaries(st.sampled_from("abcx"), st.lists(st.integers(0, 9), max_size=5))] * 2,
)


@given(small, st.integers(0, 3), st.dictionaries(names, claims, min_size=1))
def test_whatever_is_claimed(layout: Layout, standbys: int, said: dict[str, Claims]) -> None:
    """Claims of partitions that are another's, or that are not there, or twice."""
    group = Group(layout, standbys)
    dealt = deal(layout, said, standbys)
    group.owned = {name: owned for name, (owned, _) in dealt.items()}
    group.followed = {name: followed for name, (_, followed) in dealt.items()}
    check(group)
