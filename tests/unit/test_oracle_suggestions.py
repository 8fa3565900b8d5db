"""The oracle of suggestions, by hand, and what it calls different."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.events import Follow
from tests.oracle.compare import Tally
from tests.oracle.relations import Relations, fold_follows
from tests.oracle.suggestions import FRIENDS, Suggestions, compare
from tests.unit.folds import NOW

DAN = {"user_id": "dan", "score": 1.492283, "influence": 0.4771212547, "via": ["cat", "bob"]}
EVE = {"user_id": "eve", "score": 0.861353, "influence": 0.3010299957, "via": ["cat"]}
FAY = {"user_id": "fay", "score": 0.861353, "influence": 0.1505149978, "via": ["cat"]}
PAIRS = ["ann bob", "ann cat", "bob dan", "cat dan", "cat eve", "cat fay", "fay x"]


def relations(*pairs: str, action: Any = "follow") -> Relations:
    return fold_follows(
        Follow(
            event_id=f"e{number}",
            action=action,
            user_id=pair.split()[0],
            target=f"u:{pair.split()[1]}",
            at=NOW + number,
        )
        for number, pair in enumerate(pairs)
    )


def judged(known: Relations, *shown: dict[str, Any], **statuses: str) -> tuple[int, int]:
    """How many pages were compared, and how many differ: one for ann, who is close to cat."""
    users = {name: {"status": status} for name, status in statuses.items()}
    oracle = Suggestions(known, users, [("ann", "cat", 200, NOW)])
    tally = Tally("suggestions", "api")
    as_of = datetime.fromtimestamp(NOW / 1000, UTC).isoformat()
    compare(tally, "ann", oracle, {"as_of": as_of, "users": list(shown)}, 50)
    return tally.compared, tally.different


def test_a_page_as_worked_out_by_hand() -> None:
    assert judged(relations(*PAIRS), DAN, EVE, FAY) == (1, 0)


@pytest.mark.parametrize(
    "shown",
    [
        (),
        (DAN, EVE),
        (DAN, FAY, EVE),
        (EVE, DAN, FAY),
        (DAN | {"score": 1.492287}, EVE, FAY),
        (DAN, EVE | {"influence": 0.3011}, FAY),
        (DAN, EVE | {"via": ["bob"]}, FAY),
        (DAN | {"via": ["cat"]}, EVE, FAY),
        (DAN, EVE, FAY | {"user_id": "gus"}),
    ],
)
def test_what_differs_is_named(shown: tuple[dict[str, Any], ...]) -> None:
    assert judged(relations(*PAIRS), *shown) == (1, 1)


def test_a_score_may_differ_in_the_last_digit() -> None:
    assert judged(relations(*PAIRS), DAN | {"score": 1.492284}, EVE, FAY) == (1, 0)


def test_who_is_gone_blocked_muted_or_followed_is_not_shown() -> None:
    known = relations(*PAIRS)
    assert judged(known, EVE, FAY, dan="deactivated") == (1, 0)
    assert judged(known, DAN, cat="deleted") == (1, 1)
    for blocks in (known.blocks, known.mutes):
        blocks["ann"] = {"u:dan"}
        assert judged(known, EVE, FAY) == (1, 0)
        blocks.clear()
    followed = relations(*PAIRS, "ann dan")
    assert judged(followed, EVE, FAY) == (1, 0)


def test_who_are_as_close_at_the_bound_decide_nothing() -> None:
    """Which of two friends is asked, the 50th or the 51st, is not known."""
    friends = [f"f{number:03}" for number in range(2 * FRIENDS + 1)]
    known = relations(*(f"ann {name}" for name in friends))
    close = friends[: FRIENDS + 1]
    apart = [("ann", name, 1 + number, NOW) for number, name in enumerate(close)]
    alike = [("ann", name, 2, NOW) for name in close]
    assert Suggestions(known, {}, apart).of("ann", NOW) is not None
    assert Suggestions(known, {}, alike).of("ann", NOW) is None
