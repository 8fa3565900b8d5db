"""What the API keeps in Redis to rank feeds: which commands, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from api.ranking.scores import Score
from api.rankings import SNAPSHOTS, RedisRankings
from api.seen import BITS, FULL_BITS, bits_of
from api.snapshots import Explained, Ranked, Snapshot

SNAPSHOT = Snapshot(
    1_000,
    "heuristic",
    [
        Ranked("p", 7, ("u:bob", "s:cy")),
        Ranked(
            "q", 6, ("viral",), Explained(Score(1.5, (("x", 1.5),)), None, (("seen", 0.3),), 0.4, 2)
        ),
    ],
    is_opening=True,
    is_explained=True,
)


class Redis:
    """Notes commands and answers as told; a call is a round trip."""

    def __init__(self, *answers: list[Any]) -> None:
        self.sent: list[Sequence[Sequence[Any]]] = []
        self._answers = list(answers)

    async def run(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        self.sent.append(commands)
        return self._answers.pop(0) if self._answers else [None] * len(commands)


def test_a_snapshot_comes_back_as_it_was_kept() -> None:
    redis = Redis()
    asyncio.run(RedisRankings(redis.run, 1).keep("al", "name", SNAPSHOT))
    add, keep, trim, *expire = redis.sent[0]
    assert add == ("ZADD", "rankings:{p0}:al", 1_000, "name")
    assert keep[:3] == ("HSET", "ranked:{p0}:al", "name")
    assert trim[2:] == (2, "rankings:{p0}:al", "ranked:{p0}:al", SNAPSHOTS)
    assert expire == [("EXPIRE", f"{kind}:{{p0}}:al", 600) for kind in ("rankings", "ranked")]
    raw = keep[3]
    back = Redis([raw, 1, 1])
    assert asyncio.run(RedisRankings(back.run, 1).snapshot("al", "name")) == SNAPSHOT
    assert back.sent == [[("HGET", "ranked:{p0}:al", "name"), *expire]]


@pytest.mark.parametrize("raw", [None, b"", b"\xc1", msgspec.msgpack.encode([1])])
def test_what_is_not_there_or_cannot_be_read_is_none(raw: bytes | None) -> None:
    redis = Redis([raw, 0, 0])
    assert asyncio.run(RedisRankings(redis.run, 1).snapshot("al", "name")) is None


def test_what_was_seen_is_one_read_and_one_write() -> None:
    raw = bytearray(BITS // 8)
    for bit in bits_of("p"):
        raw[bit // 8] |= 0x80 >> bit % 8
    redis = Redis([[None, bytes(raw)]], [0])
    rankings = RedisRankings(redis.run, 1)
    seen = asyncio.run(rankings.seen("al"))
    assert ("p" in seen, "q" in seen) == (True, False)
    asyncio.run(rankings.see("al", "q"))
    keys = ("viewed:{p0}:al", "viewed_before:{p0}:al")
    assert redis.sent[0] == [("MGET", *keys)]
    ((command, _, *rest),) = redis.sent[1]
    assert command == "EVAL"
    assert rest == [2, *keys, FULL_BITS, 30 * 86_400, *bits_of("q")]
