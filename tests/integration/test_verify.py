"""`headrace verify` on the shared parts: nothing differs, and damage is found and named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from connectors.stack.addresses import Addresses
from headrace.supervisor import Supervisor


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
    return done.returncode, done.stdout, json.loads(report.read_text())


def tallies(found: Any) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (row["kind"], row["store"]): (row["compared"], row["different"]) for row in found["rows"]
    }


def test_nothing_differs(environment: dict[str, str], tmp_path: Path) -> None:
    code, output, found = verify(
        environment, tmp_path / "report.json", "--generate", "4000", "--users", "200"
    )
    assert code == 0, output
    compared = tallies(found)
    assert {different for _, different in compared.values()} == {0}
    for kind in ("timeline", "counters", "followers", "following", "affinity", "posts", "users"):
        for store in ("redis", "cassandra"):
            assert compared[kind, store][0] > 0, (kind, store)
    assert compared["timeline", "api"][0] > 0


@pytest.fixture(scope="module")
def workers(addresses: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The workers and the API, for all kinds of damage."""
    with Supervisor(addresses, log_dir=tmp_path_factory.mktemp("logs")):
        yield


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize(("how", "damaged"), [("drop-one", 1), ("double-one", 1), ("swap-two", 2)])
def test_damage_is_named(
    environment: dict[str, str], addresses: Addresses, tmp_path: Path, how: str, damaged: int
) -> None:
    """What a break damages is reported, and nothing else; then it is mended."""
    client = redis.Redis.from_url(addresses.redis)
    before = {key: client.zrange(key, 0, -1, withscores=True) for key in client.keys("feed:*")}
    try:
        code, output, found = verify(
            environment, tmp_path / "report.json", "--no-replay", "--break", how
        )
        assert code == 1, output
        compared = tallies(found)
        assert compared["timeline", "redis"][1] == damaged, output
        elsewhere = {
            place: different
            for place, (_, different) in compared.items()
            if different and place not in {("timeline", "redis"), ("timeline", "api")}
        }
        assert elsewhere == {}, output
    finally:
        for key, entries in before.items():
            client.delete(key)
            client.zadd(key, dict(entries))
        client.close()
