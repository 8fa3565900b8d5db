"""How the partitions of topics are dealt to the members of a group, and who is whose standby.

Pure: the same claims give the same deal, whoever computes it.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Mapping, Sequence

from faust.types import TP
from msgspec import Struct

Seat = tuple[str, str]
"""A topic and a member that gets one partition of it more than others may."""


class Claims(Struct, frozen=True, array_like=True):
    """What a member says of itself when it joins: the partitions, by topic, that it owned and
    those that it followed, in the generation of the group that it was in last."""

    generation: int = -1
    owned: dict[str, list[int]] = {}
    followed: dict[str, list[int]] = {}


class Member(Struct, frozen=True):
    """A member of the group: what it reads and claims; None when it does not know of claims,
    and so of standbys."""

    topics: frozenset[str]
    claims: Claims | None = None


Members = Mapping[str, Member]
"""By member id."""


def deal_owners(partitions: Mapping[str, Collection[int]], members: Members) -> dict[TP, str]:
    """The owner of every partition, by topic given, that a member reads.

    Of each topic, two members that read it have numbers of partitions that differ by one at most,
    and so do members that read the same topics in all. Within that, as few partitions as possible
    change their owner, and those whose owner is gone go to a follower that has room.
    """
    former = _former_owners(members)
    followers = _followers(members)
    quotas = _quotas(partitions, members, former, followers)
    owners: dict[TP, str] = {}
    for topic, numbers in sorted(partitions.items()):
        room = {member: quota for (of, member), quota in quotas.items() if of == topic}
        places = [TP(topic, number) for number in sorted(numbers)]
        for tp in places:
            _give(tp, [former.get(tp, "")], room, owners)
        for tp in places:
            _give(tp, followers[tp], room, owners)
        for tp in places:
            _give(tp, list(room), room, owners)
    return owners


def deal_standbys(
    owners: Mapping[TP, str], members: Members, topics: Collection[str], most: int
) -> dict[TP, list[str]]:
    """The standbys of every partition of `topics`: `most`, or all other members if they are fewer.

    Who follows a partition goes on with it, and who has just lost one follows it, as long as that
    leaves others their share of the topic; what is left goes to who follows least.
    """
    former, followers = _former_owners(members), _followers(members)
    standbys: dict[TP, list[str]] = {}
    total: Counter[str] = Counter()
    for topic in sorted(topics):
        able = [name for name, one in sorted(members.items()) if one.claims and topic in one.topics]
        places = sorted(tp for tp in owners if tp.topic == topic)
        share = -(-len(places) * min(most, len(able)) // max(len(able), 1))
        load: Counter[str] = Counter()
        for tp in places:
            chosen = standbys[tp] = []
            for member in (*followers[tp], former.get(tp)):
                if (
                    len(chosen) < most
                    and member in able
                    and member not in (owners[tp], *chosen)
                    and load[member] < share
                ):
                    chosen.append(member)
                    load[member] += 1
        total.update(load)
        for tp in places:
            others = [member for member in able if member not in (owners[tp], *standbys[tp])]
            while others and len(standbys[tp]) < most:
                member = min(others, key=lambda name: (load[name], total[name], name))
                others.remove(member)
                standbys[tp].append(member)
                load[member] += 1
                total[member] += 1
    return standbys


def _give(tp: TP, candidates: Sequence[str], room: dict[str, int], owners: dict[TP, str]) -> None:
    """Give a partition that has no owner yet to the candidate with the most room, if any has."""
    free = [member for member in candidates if room.get(member)]
    if tp not in owners and free:
        owners[tp] = max(free, key=lambda member: room[member])
        room[owners[tp]] -= 1


def _former_owners(members: Members) -> dict[TP, str]:
    """Who owned a partition: of several who say so, the one of the latest generation."""
    former: dict[TP, str] = {}
    claims = [(one.claims, name) for name, one in members.items() if one.claims is not None]
    for claim, name in sorted(claims, key=lambda each: (each[0].generation, each[1])):
        former |= {
            TP(topic, number): name for topic in claim.owned for number in claim.owned[topic]
        }
    return former


def _followers(members: Members) -> defaultdict[TP, list[str]]:
    followers: defaultdict[TP, list[str]] = defaultdict(list)
    for name, one in sorted(members.items()):
        if one.claims is not None:
            for topic, numbers in one.claims.followed.items():
                for number in numbers:
                    followers[TP(topic, number)].append(name)
    return followers


def _quotas(
    partitions: Mapping[str, Collection[int]],
    members: Members,
    former: Mapping[TP, str],
    followers: Mapping[TP, Sequence[str]],
) -> dict[Seat, int]:
    """How many partitions of a topic each member that reads it gets."""
    quotas: dict[Seat, int] = {}
    extras: dict[str, int] = {}
    load = dict.fromkeys(sorted(members), 0)
    kept: Counter[Seat] = Counter()
    inherited: Counter[Seat] = Counter()
    for topic, numbers in sorted(partitions.items()):
        readers = [name for name in load if topic in members[name].topics]
        if not readers:
            continue
        base, extras[topic] = divmod(len(numbers), len(readers))
        for name in readers:
            quotas[topic, name] = base
            load[name] += base
        for tp in (TP(topic, number) for number in numbers):
            if former.get(tp) in readers:
                kept[topic, former[tp]] += 1
            else:
                inherited.update((topic, name) for name in followers.get(tp, ()))
    # Balance first, then owners that stay, then followers that become owners.
    stays = sum(extras.values()) + 1
    worth = {
        seat: stays * (kept[seat] > base) + (kept[seat] + inherited[seat] > base)
        for seat, base in quotas.items()
    }
    for seat in _best_seats(extras, worth, load, stays * (stays + 1)):
        quotas[seat] += 1
    return quotas


def _best_seats(
    wanted: Mapping[str, int], worth: Mapping[Seat, int], load: dict[str, int], weight: int
) -> set[Seat]:
    """For each topic as many seats as are wanted: loads even, then the greatest worth in all.

    A flow of least cost, augmented by the shortest path a seat at a time: a path may take a seat
    of another topic from a member and give that topic another one.
    """
    taken: set[Seat] = set()
    for topic, count in sorted(wanted.items()):
        for _ in range(count):
            paths = _paths(topic, worth, taken)
            end = min(paths, key=lambda name: (paths[name][0] + weight * load[name], name))
            taken ^= set(paths[end][1])
            load[end] += 1
    return taken


def _paths(
    start: str, worth: Mapping[Seat, int], taken: Collection[Seat]
) -> dict[str, tuple[int, list[Seat]]]:
    """By the member that has a seat more then: the cheapest way to give `start` a seat, as its
    cost and the seats to be taken or left in turns."""
    at_topic: dict[str, tuple[int, list[Seat]]] = {start: (0, [])}
    at_member: dict[str, tuple[int, list[Seat]]] = {}
    queue = deque([start])
    while queue:
        topic = queue.popleft()
        cost, path = at_topic[topic]
        for seat in (seat for seat in worth if seat[0] == topic and seat not in taken):
            member = seat[1]
            there = cost - worth[seat]
            if member in at_member and at_member[member][0] <= there:
                continue
            at_member[member] = there, [*path, seat]
            for left in sorted(each for each in taken if each[1] == member):
                back = there + worth[left]
                if left[0] not in at_topic or back < at_topic[left[0]][0]:
                    at_topic[left[0]] = back, [*path, seat, left]
                    queue.append(left[0])
    return at_member
