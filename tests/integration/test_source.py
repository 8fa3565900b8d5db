"""`headrace source`: what an operator says stands in the source's log."""

from __future__ import annotations

import subprocess
import sys

import pytest

from connectors.settings import settings
from connectors.stack.addresses import Addresses
from schemas.partitioning import partition_of
from streams.facts import Handling
from tests.oracle.read_log import read_log


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headrace", "source", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_is_told_to_the_source(environment: dict[str, str], addresses: Addresses) -> None:
    done = run(environment, "t:Häuser", "heavy")
    assert (done.returncode, done.stdout) == (0, "t:häuser is heavy\n"), done.stderr
    found = [each for each in read_log(addresses.kafka) if isinstance(each[1], Handling)]
    assert [partition for partition, _ in found] == [
        partition_of("t:häuser", settings().partitions)
    ]
    assert isinstance(found[0][1], Handling)
    assert (found[0][1].source, found[0][1].how) == ("t:häuser", "heavy")
    assert run(environment, "t:häuser", "auto").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("ann", "heavy"), "neither u:<user id> nor t:<topic>"),
        (("u:" + 255 * "x", "light"), "256 bytes"),
        (("u:ann", "huge"), "'huge' is not one of"),
    ],
)
def test_what_is_no_source_is_refused(
    environment: dict[str, str], arguments: tuple[str, str], what: str
) -> None:
    done = run(environment, *arguments)
    assert done.returncode == 2
    assert what in done.stderr
