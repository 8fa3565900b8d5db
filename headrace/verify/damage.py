"""Damages one timeline in Redis on purpose, to show that the comparison sees it."""

from __future__ import annotations

from random import Random
from typing import Any, Literal

from msgspec import Struct

from connectors.redis_keys import Keys, halves_of, split_member
from connectors.redis_servers import Client

Break = Literal["drop-one", "double-one", "swap-two"]
BREAKS: tuple[Break, ...] = ("drop-one", "double-one", "swap-two")


class Damage(Struct, frozen=True):
    """What was damaged: a user's timeline and its entries (post id, reason)."""

    how: Break
    user_id: str
    entries: list[tuple[str, str]]


class NothingToBreakError(Exception):
    """No timeline in Redis has the entries that the damage needs."""


def damage(client: Client, keys: Keys, users: list[str], how: Break, seed: int) -> Damage:
    """Damage the timeline of one of `users` (those with a feed) and say what was done.

    Raises:
        NothingToBreakError: no timeline is long enough.
    """
    rng = Random(f"damage:{seed}")
    for user_id in rng.sample(users, len(users)):
        feed = keys.feed(user_id)
        entries = _complete_part(client, feed, keys.floor(user_id))
        if not entries:
            continue
        if how == "drop-one":
            chosen = [rng.choice(entries)[0]]
            client.zrem(feed, *chosen)
        elif how == "double-one":
            foreign = _foreign(client, keys, users, user_id, rng)
            if foreign is None:
                continue
            chosen = [foreign[0]]
            client.zadd(feed, {foreign[0]: foreign[1]})
        else:
            one = rng.choice(entries)
            others = [e for e in entries if e[1] != one[1] and not _is_same_post(e, one)]
            if not others:
                continue
            other = rng.choice(others)
            chosen = [one[0], other[0]]
            client.zadd(feed, {one[0]: other[1], other[0]: one[1]})
        return Damage(how, user_id, [split_member(entry) for entry in chosen])
    raise NothingToBreakError(f"no timeline in Redis is fit for {how}")


def _is_same_post(one: tuple[bytes, float], other: tuple[bytes, float]) -> bool:
    return halves_of(one[0])[0] == halves_of(other[0])[0]


def _complete_part(client: Any, feed: str, floor_key: str) -> list[tuple[bytes, float]]:
    """The entries above the floor."""
    floor = client.get(floor_key)
    least = "-inf" if floor is None else f"({int(floor)}"
    found: list[tuple[bytes, float]] = client.zrangebyscore(feed, least, "+inf", withscores=True)
    return found


def _foreign(
    client: Any, keys: Keys, users: list[str], user_id: str, rng: Random
) -> tuple[bytes, float] | None:
    """An entry of another user's timeline whose post is not on this one."""
    own = {halves_of(entry)[0] for entry in client.zrange(keys.feed(user_id), 0, -1)}
    for other in rng.sample(users, min(len(users), 50)):
        for entry, at in client.zrevrange(keys.feed(other), 0, 99, withscores=True):
            if halves_of(entry)[0] not in own:
                return entry, at
    return None
