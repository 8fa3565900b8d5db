"""Limits: how often a caller may write."""

from __future__ import annotations

import re
from fractions import Fraction

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.gcra import Limit, Takes
from api.limits import CLASSES, Limits, limits_of
from connectors.settings import Settings
from tests.unit.api_fakes import KEY, World, problem_of

MINUTE_US = 60_000_000
DEFAULT = limits_of(Settings(jwt_secret=KEY))

gaps = st.lists(st.one_of(st.integers(0, 30), st.integers(0, 2 * MINUTE_US)), max_size=60)


class Bucket:
    """The model: a bucket that gains tokens all the time, counted exactly."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._tokens = Fraction(limit.count)
        self._at = 0

    def take(self, now_us: int) -> bool:
        gained = Fraction(now_us - self._at, self._limit.interval_us)
        self._tokens = min(Fraction(self._limit.count), self._tokens + gained)
        self._at = now_us
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    @property
    def whole(self) -> int:
        return int(self._tokens)

    def missing_us(self) -> int:
        """Until there is one token."""
        return max(0, int((1 - self._tokens) * self._limit.interval_us))

    def empty_us(self) -> int:
        """Until all tokens are there."""
        return int((self._limit.count - self._tokens) * self._limit.interval_us)


@given(st.integers(1, 400), gaps)
def test_gcra_is_a_bucket(count: int, gaps: list[int]) -> None:
    limit, now = Limit(count), 1
    bucket, takes = Bucket(limit), Takes(10)
    bucket.take(now)
    takes.take("k", now, limit)
    for gap in gaps:
        now += gap
        standing = takes.take("k", now, limit)
        assert standing.is_allowed == bucket.take(now)
        assert standing.remaining(limit) == bucket.whole
        assert standing.retry_us(limit) == bucket.missing_us()
        assert standing.ahead_us == bucket.empty_us()


@given(st.integers(1, 50), st.lists(st.integers(0, MINUTE_US // 10), min_size=1, max_size=200))
def test_no_window_has_more_than_what_is_there_and_what_is_gained(
    count: int, gaps: list[int]
) -> None:
    limit, takes, now = Limit(count), Takes(10), 1
    taken = []
    for gap in gaps:
        now += gap
        if takes.take("k", now, limit).is_allowed:
            taken.append(now)
    for at in taken:
        assert sum(at <= other < at + MINUTE_US for other in taken) <= 2 * count


def test_memory_has_a_bound_and_drops_the_oldest() -> None:
    limit, takes = Limit(1), Takes(2)
    for key in ("a", "b", "c"):
        assert takes.take(key, 1, limit).is_allowed
    assert [takes.take(key, 2, limit).is_allowed for key in ("c", "b", "a")] == [False, False, True]


def world_with(limits: Limits) -> World:
    world = World(limits=limits)
    world.redis.user("bob")
    world.redis.post("p", "bob")
    return world


def posted(world: World, user: str = "al", **more: str) -> httpx.Response:
    return world.ask("POST", "/api/v1/posts", user, json={"content": "hi"}, headers=more)


def test_five_posts_a_minute() -> None:
    world = world_with(DEFAULT)
    for left in (4, 3, 2, 1, 0):
        response = posted(world)
        assert response.status_code == 202
        assert response.headers["ratelimit-policy"] == '"posts";q=5;w=60'
        assert response.headers["ratelimit"] == f'"posts";r={left};t={(5 - left) * 12}'
    refused = posted(world)
    assert problem_of(refused, 429)["type"].endswith(":rate-limited")
    assert refused.headers["retry-after"] == "12"
    assert refused.headers["ratelimit"] == '"posts";r=0;t=60'
    assert len(world.writer.events) == 5
    world.ledger.now_us += 12_000_000 - 1
    assert posted(world).headers["retry-after"] == "1"
    world.ledger.now_us += 1
    assert posted(world).status_code == 202
    problem_of(posted(world), 429)


def test_limits_are_each_callers_and_each_classs_own() -> None:
    world = world_with({"posts": Limit(1), "engagements": Limit(1)})
    assert posted(world, "al").status_code == 202
    assert posted(world, "cy").status_code == 202
    like = ("POST", "/api/v1/posts/p/engagements", "al")
    assert world.ask(*like, json={"action": "like"}).status_code == 202
    problem_of(world.ask(*like, json={"action": "like"}), 429)
    for _ in range(3):  # no limit is set for follows
        response = world.ask("POST", "/api/v1/users/bob/follow", "al")
        assert response.status_code == 202
        assert "ratelimit" not in response.headers


def test_other_writes_have_one_limit_together() -> None:
    world = world_with({"writes": Limit(1)})
    assert world.ask("POST", "/api/v1/notifications/seen", "al", json={}).status_code == 202
    body = {"action": "interested", "subject": "t:x"}
    problem_of(world.ask("POST", "/api/v1/feedback", "al", json=body), 429)


def test_reads_have_no_limit() -> None:
    world = world_with({"posts": Limit(1), "writes": Limit(1)})
    for _ in range(3):
        assert world.ask("GET", "/api/v1/posts/p", "al").status_code == 200


def failures(world: World) -> float:
    figures = world.ask("GET", "/metrics").text
    found = re.search(r'headrace_api_ledger_failures_total\{call="take"\} (\S+)', figures)
    return float(found[1]) if found else 0.0


def test_without_redis_each_process_counts() -> None:
    world = world_with({"posts": Limit(2)})
    world.ledger.is_down = True
    before = failures(world)
    assert [posted(world).status_code for _ in range(3)] == [202, 202, 429]
    assert failures(world) == before + 3


def test_what_is_answered_from_memory_costs_nothing() -> None:
    world = world_with({"posts": Limit(1)})
    key = {"Idempotency-Key": "k"}
    assert posted(world, **key).status_code == 202
    assert posted(world, **key).status_code == 202
    problem_of(posted(world, **{"Idempotency-Key": "l"}), 429)
    world.ledger.now_us += MINUTE_US
    assert posted(world, **{"Idempotency-Key": "l"}).status_code == 202


def test_classes_name_routes_that_are_there() -> None:
    page = World().ask("GET", "/openapi.json").json()
    names = {op["operationId"] for ops in page["paths"].values() for op in ops.values()}
    assert set(CLASSES) <= names


def test_every_write_tells_its_limit() -> None:
    page = World().ask("GET", "/openapi.json").json()
    limited = {"RateLimit", "RateLimit-Policy", "Retry-After"}
    for operations in page["paths"].values():
        for method, operation in operations.items():
            headers = operation["responses"].get("429", {}).get("headers", {})
            assert set(headers) == (limited if method != "get" else set())


@pytest.mark.parametrize("count", [-1, 60_000_001])
def test_a_limit_that_is_none_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="HEADRACE_POSTS_PER_MINUTE"):
        Settings(HEADRACE_POSTS_PER_MINUTE=count)


def test_no_limit() -> None:
    assert "posts" not in limits_of(Settings(jwt_secret=KEY, posts_per_minute=0))
