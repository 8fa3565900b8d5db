"""Distinct users: exact while they are few, within the stated error when they are many."""

from __future__ import annotations

from math import sqrt
from random import Random

import pytest

from streams.distinct import MAX_EXACT, DistinctUsers
from streams.engine.state import State
from streams.hyperloglog import RANKS, REGISTERS, STANDARD_ERROR, estimate, place_of

TRIALS = 40


@pytest.mark.parametrize(
    ("digest", "register", "rank"),
    [
        pytest.param(0, 0, 53, id="all zeros"),
        pytest.param(1, 0, 52, id="a one at the end"),
        pytest.param(1 << 51, 0, 1, id="a one at once"),
        pytest.param((1 << 64) - 1, REGISTERS - 1, 1, id="all ones"),
        pytest.param(5 << 52 | 1 << 49, 5, 3, id="two zeros before the first one"),
    ],
)
def test_places(digest: int, register: int, rank: int) -> None:
    assert place_of(digest) == (register, rank)


def _estimate_of(random: Random, count: int) -> float:
    ranks = bytearray(REGISTERS)
    for _ in range(count):
        register, rank = place_of(random.getrandbits(64))
        ranks[register] = max(ranks[register], rank)
    return estimate([ranks.count(rank) for rank in range(RANKS)])


@pytest.mark.parametrize("count", [1_025, 4_096, 10_240, 50_000])
def test_estimates_have_the_stated_error_and_no_bias(count: int) -> None:
    """The error's square within 1.6 of what is stated, its mean within four of its own deviations:
    each is missed by chance once in some 10,000 runs."""
    random = Random(f"seed {count}")
    errors = [_estimate_of(random, count) / count - 1 for _ in range(TRIALS)]
    assert sqrt(sum(error**2 for error in errors) / TRIALS) < 1.6 * STANDARD_ERROR
    assert abs(sum(errors) / TRIALS) < 4 * STANDARD_ERROR / sqrt(TRIALS)


def test_estimates_at_the_ends() -> None:
    assert estimate([REGISTERS, *[0] * (RANKS - 1)]) == 0
    assert estimate([REGISTERS - 1, 1, *[0] * (RANKS - 2)]) == pytest.approx(1, abs=1e-3)
    assert estimate([*[0] * (RANKS - 1), REGISTERS]) > 1e18


class Post:
    """A post whose users are counted, in batches that are committed."""

    def __init__(self) -> None:
        self.state = State()
        self.users = DistinctUsers(self.state)
        self.count = 0
        self.changes: list[int] = []

    def see(self, action: str, names: list[str]) -> None:
        """Users do something, each in a batch of its own."""
        for name in names:
            self.count = self.users.add("p", action, name, self.count)
            self.changes.append(sum(1 for _ in self.state.changes()))
            self.state.commit(0, 0)

    @property
    def sizes(self) -> dict[str, int]:
        return self.state.sizes()


@pytest.mark.parametrize("action", ["view", "click"])
def test_few_are_counted_one_by_one(action: str) -> None:
    names = [f"user {n}" for n in range(MAX_EXACT)]
    post = Post()
    post.see(action, names + names[::-1])
    assert post.count == MAX_EXACT
    assert post.sizes == {"mark": MAX_EXACT, "registers": 0, "sketch": 0}


def test_many_are_estimated_from_a_few_rows() -> None:
    names = [f"user {n}" for n in range(20_000)]
    post = Post()
    post.see("view", names)
    assert post.count == pytest.approx(20_000, rel=4 * STANDARD_ERROR)
    assert post.sizes == {"mark": 0, "registers": 64, "sketch": 1}
    assert max(post.changes[MAX_EXACT + 1 :]) == 2
    assert sum(post.changes[-1_000:]) < 1_000, "most events of a popular post change nothing"
    before = post.count
    post.see("view", names[:100])
    assert post.count == before


def test_the_order_does_not_count() -> None:
    """Nor does a repetition, on either side of the limit."""
    names = [f"user {n}" for n in range(MAX_EXACT + 200)]
    counts = set()
    for seed in range(3):
        mixed = names + names[::3]
        Random(f"order {seed}").shuffle(mixed)
        post = Post()
        post.see("view", mixed)
        counts.add(post.count)
    assert len(counts) == 1
    assert counts.pop() > MAX_EXACT


def test_actions_and_posts_are_counted_apart() -> None:
    post = Post()
    post.see("view", [f"user {n}" for n in range(MAX_EXACT + 1)])
    assert post.users.add("p", "click", "user 1", 0) == 1
    assert post.users.add("q", "view", "user 1", 0) == 1
    assert post.users.add("p", "click", "user 1", 1) == 1
