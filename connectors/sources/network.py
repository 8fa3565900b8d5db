"""A made-up social network: few have many followers, friends follow back, circles close."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from random import Random

from schemas.events import User

EXPONENT = 2.1
"""Of the power law of audiences, as measured on Twitter and the like."""

_RANK_OFFSET = 5  # without it, the first alone would be followed by nearly everyone
_FOLLOWS_MIN, _FOLLOWS_MEDIAN, _FOLLOWS_SIGMA = 3, 14, 0.8
_CLOSURE = 0.3  # of the follows go to one whom a followee follows
_FOLLOW_BACK = 0.15  # gives about a quarter of all follows that are mutual

_GIVEN = (
    *("Ada", "Alan", "Amara", "Ana", "Bao", "Carlos", "Chidi", "Clara", "Dmitri", "Elif"),
    *("Emeka", "Fatima", "Freya", "Goran", "Hana", "Ines", "Ivan", "Jonas", "Kaito", "Kofi"),
    *("Lars", "Leila", "Lucia", "Mateo", "Mei", "Mila", "Nadia", "Noor", "Olga", "Omar"),
    *("Priya", "Quinn", "Rosa", "Sana", "Tariq", "Uma", "Vera", "Wei", "Yara", "Zoë"),
)
_FAMILY = (
    *("Adeyemi", "Andersson", "Bauer", "Costa", "Dubois", "Eriksen", "Ferrari", "García"),
    *("Haddad", "Ivanova", "Jansen", "Kim", "Kowalski", "Lindqvist", "Mbeki", "Nakamura"),
    *("Nguyen", "O'Brien", "Okafor", "Papadakis", "Rossi", "Schmidt", "Silva", "Tanaka"),
    *("Usman", "Vargas", "Weber", "Yilmaz", "Zhang", "Žižek"),
)
_BIOS = (
    *("Coffee, bikes and code.", "Views are my own.", "Reading more than writing."),
    *("Photos of birds, mostly.", "Trains > planes", "Just here for the recipes."),
    *("Science, slowly.", "Parent of two, tamer of none.", "🎸 and 🌱", ""),
)


def user_name(number: int) -> str:
    """The id, and user name, of a generated user."""
    return f"user{number}"


def generate_network(users: int, seed: int) -> list[tuple[str, str]]:
    """(follower, followee) pairs among `user0` ... : about 20 follows per user.

    Audiences follow a power law of exponent 2.1; about a quarter of the follows are mutual.
    The same seed gives the same network.

    Raises:
        ValueError: fewer than two users.
    """
    if users < 2:
        raise ValueError(f"a network needs at least 2 users, not {users}")
    rng = Random(f"network:{seed}")
    ids = [user_name(n) for n in range(users)]
    ranked = list(range(users))
    rng.shuffle(ranked)
    power = -1 / (EXPONENT - 1)
    weights = list(accumulate((rank + 1 + _RANK_OFFSET) ** power for rank in range(users)))
    following: list[dict[int, None]] = [{} for _ in range(users)]
    most = users - 1

    def follow(user: int, other: int) -> None:
        if user != other and other not in following[user]:
            following[user][other] = None
            if rng.random() < _FOLLOW_BACK:
                following[other][user] = None

    for user in range(users):
        wanted = int(rng.lognormvariate(0, _FOLLOWS_SIGMA) * _FOLLOWS_MEDIAN)
        wanted = min(max(wanted, _FOLLOWS_MIN), most)
        mine: list[int] = []
        for other in rng.choices(ranked, cum_weights=weights, k=wanted):
            if mine and rng.random() < _CLOSURE:
                through = following[mine[int(rng.random() * len(mine))]]
                other = _pick(through, rng) if through else other
            if other != user:
                mine.append(other)
            follow(user, other)
        while len(following[user]) < min(_FOLLOWS_MIN, most):
            follow(user, int(rng.random() * users))
    return [(ids[user], ids[other]) for user, others in enumerate(following) for other in others]


def _pick(keys: dict[int, None], rng: Random) -> int:
    """One of the first few keys, in constant time."""
    skip = int(rng.random() * min(len(keys), 16))
    return next(key for n, key in enumerate(keys) if n == skip)


def profile_events(user_ids: Iterable[str], at: int, seed: int) -> Iterator[User]:
    """A profile per user, all at the time `at`; the user name is the id."""
    rng = Random(f"profiles:{seed}")
    for user_id in user_ids:
        yield User(
            event_id=f"u:{seed}:{user_id}",
            action="profile",
            user_id=user_id,
            at=at,
            username=user_id,
            display_name=f"{rng.choice(_GIVEN)} {rng.choice(_FAMILY)}",
            bio=rng.choice(_BIOS),
            verified=rng.random() < 0.02,
        )


def reading_events(user_ids: Iterable[str], at: int, prefix: str = "r") -> Iterator[User]:
    """Each user reads the timeline, at the time `at`; ids are `<prefix>:<user id>`."""
    for user_id in user_ids:
        yield User(event_id=f"{prefix}:{user_id}", action="active", user_id=user_id, at=at)
