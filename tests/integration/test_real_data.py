"""The real data files as events."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from connectors.sources import load_higgs, read_follows
from schemas.events import Engagement, Post
from tests.oracle.events import why_rejected

DATA = Path(__file__).parents[3] / "shared" / "data"
END = 1_800_000_000_000


def real(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is absent")
    return DATA / name


@pytest.mark.parametrize(
    ("name", "follows", "self_loops"),
    [
        ("ego-facebook/facebook_combined.txt.gz", 2 * 88_234, 0),
        ("twitch-de/edges.csv.gz", 2 * 153_138, 0),
        ("higgs/social_network.part.edgelist.gz", 355_060, 14),
    ],
)
def test_follows(name: str, follows: int, self_loops: int) -> None:
    found = read_follows(real(name))
    assert (len(found.pairs), found.duplicates, found.self_loops) == (follows, 0, self_loops)
    assert found.is_undirected is not name.startswith("higgs")


def test_higgs() -> None:
    actions: Counter[str] = Counter()
    posted: set[str] = set()
    event_ids = set()
    at = 0
    for event in load_higgs(real("higgs/activity.first-250000.txt.gz"), END):
        assert why_rejected(event, END) is None
        at = event.at
        event_ids.add(event.event_id)
        actions[event.action] += 1
        if isinstance(event, Post):
            posted.add(event.post_id)
            assert event.reply_to is None or event.reply_to in posted
        else:
            assert isinstance(event, Engagement)
            assert event.post_id in posted
    assert actions["share"] == 158_568  # the RT lines of the file
    assert actions["comment"] <= 15_368  # its RE lines
    assert len(event_ids) == actions.total()
    assert len(posted) == actions["created"]
    assert at == END
