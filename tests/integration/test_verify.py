"""`headrace verify` on parts of its own: nothing differs, and damage is found and named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from connectors.settings import settings
from connectors.stack.addresses import Addresses
from headrace.supervisor import Supervisor
from headrace.traces import Traces
from headrace.verify import check
from headrace.verify.damage import Break, damage
from headrace.verify.redis_views import RedisViews
from tests.oracle.expected import Expected

HEAVY_FOLLOWERS = 40
TO_ERASE = ("timeline (Redis)", "timeline (Cassandra)", "follows (Redis)", "posts (Cassandra)")


@pytest.fixture(scope="module")
def addresses(own_addresses: Addresses) -> Iterator[Addresses]:
    """Where many sources are heavy, also for the workers and for what is expected."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_HEAVY_FOLLOWERS", str(HEAVY_FOLLOWERS))
        settings.cache_clear()
        yield own_addresses
    settings.cache_clear()


def verify(environment: dict[str, str], report: Path, *arguments: str) -> tuple[int, str, Any]:
    command = [sys.executable, "-m", "headrace", "verify", "--json", str(report)]
    command += ["--timeout", "120", *arguments]
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=250,
        check=False,
    )
    assert report.exists(), done.stdout
    return done.returncode, done.stdout, json.loads(report.read_text())


def tallies(found: Any) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (row["kind"], row["store"]): (row["compared"], row["different"]) for row in found["rows"]
    }


def test_nothing_differs(environment: dict[str, str], tmp_path: Path) -> None:
    options = ("--generate", "4000", "--users", "200", "--mix", "full")
    code, output, found = verify(environment, tmp_path / "report.json", *options)
    assert code == 0, output
    compared = tallies(found)
    assert {different for _, different in compared.values()} == {0}
    for kind in (
        *("timeline", "counters", "sources", "following", "affinity", "posts", "users"),
        *("heavy", "recents", "mine"),
    ):
        for store in ("redis", "cassandra"):
            assert compared[kind, store][0] > 0, (kind, store)
    for kind in ("muted", "blocked"):
        assert compared[kind, "cassandra"][0] > 0, kind
    assert compared["timeline", "api"][0] > 0
    assert compared["suggestions", "api"][0] > 0
    assert compared["trending", "redis"][0] > 20


@pytest.fixture(scope="module")
def _workers(addresses: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with Supervisor(addresses, log_dir=tmp_path_factory.mktemp("workers")):
        yield


def someone_with_all_of(addresses: Addresses, kinds: Collection[str]) -> str:
    """The user of the longest feed who has rows of each of these kinds."""
    with closing(redis.Redis.from_url(addresses.redis)) as client:
        feeds = sorted(client.keys("feed:*"), key=client.zcard, reverse=True)
    config = settings()
    with closing(Traces(addresses, config.cassandra_keyspace, config.partitions)) as traces:
        for user_id in (feed.decode().rpartition(":")[2] for feed in feeds):
            rows = traces.of(user_id)
            if all(rows[kind] for kind in kinds):
                return user_id
    raise AssertionError(f"nobody has rows of all these kinds: {', '.join(kinds)}")


@pytest.mark.usefixtures("_workers")
def test_an_erased_user_is_gone(
    environment: dict[str, str], addresses: Addresses, tmp_path: Path
) -> None:
    """The views of all others are compared by what follows."""
    report = tmp_path / "erased.json"
    user_id = someone_with_all_of(addresses, TO_ERASE)
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "erase", user_id, "--yes", "--json", str(report)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    found = json.loads(report.read_text())
    assert found["user_id"] == user_id
    for kind in TO_ERASE:
        assert found["before"][kind] > 0, kind
    assert set(found["left"].values()) == {0}


@pytest.fixture
def client(addresses: Addresses) -> Iterator[redis.Redis]:
    """Redis, whose timelines are mended at the end."""
    client = redis.Redis.from_url(addresses.redis)
    before = {key: client.zrange(key, 0, -1, withscores=True) for key in client.keys("feed:*")}
    try:
        yield client
    finally:
        for key, entries in before.items():
            client.delete(key)
            client.zadd(key, dict(entries))
        client.close()


@pytest.mark.usefixtures("_workers", "client")
def test_damage_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    """What a break damages is reported, and nothing else."""
    report = tmp_path / "report.json"
    code, output, found = verify(environment, report, "--no-replay", "--break", "swap-two")
    assert code == 1, output
    compared = tallies(found)
    assert compared["timeline", "redis"][1] == 2, output
    elsewhere = {
        place: different
        for place, (_, different) in compared.items()
        if different and place not in {("timeline", "redis"), ("timeline", "api")}
    }
    assert elsewhere == {}, output


@pytest.fixture(scope="module")
def expected(addresses: Addresses) -> Expected:
    """What the events imply that are in Kafka."""
    return check.compute(addresses.kafka)


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("how", ["drop-one", "double-one"])
def test_each_damage_is_seen(addresses: Addresses, expected: Expected, how: Break) -> None:
    views = RedisViews(addresses.redis, settings().partitions)
    views.scan()
    damage(views.client, views.keys, views.entities("feed"), how, seed=1)
    views.close()
    compared = check.compare_all(addresses, expected, None, 0, 1, print)
    timelines = next(each for each in compared if (each.kind, each.store) == ("timeline", "redis"))
    assert timelines.different == 1
