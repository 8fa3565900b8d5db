"""Edits of a profile through the API: whatever each knew of the others, none undoes another."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import Topic
from streams.users import UserFold
from tests.unit.api_fakes import World
from tests.unit.folds import fold_all

ME = "/api/v1/users/me"

FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "display_name": st.sampled_from([None, "", "Al", "Alice"]),
        "bio": st.sampled_from([None, "", "one", "two"]),
        "avatar": st.sampled_from([None, "https://x/y"]),
        "username": st.sampled_from([None, "al", "alice"]),
        "notifications": st.dictionaries(
            st.sampled_from(["like", "share"]), st.sampled_from(["on", "off"]), min_size=1
        ),
    },
).filter(bool)


@given(st.lists(FIELDS, min_size=1, max_size=6), st.randoms())
def test_edits_in_flight_are_all_in_force(bodies: list[dict[str, Any]], random: Random) -> None:
    """None of them is in a view before the others; their events come in any order."""
    world = World()
    wanted: dict[str, Any] = {}
    switches: dict[str, str] = {}
    for body in bodies:
        assert world.ask("PATCH", ME, "al", json=body).status_code == 202
        wanted |= body
        switches |= body.get("notifications", {})
    events = list(world.writer.events)
    random.shuffle(events)
    view = fold_all(UserFold, events).settle().view(Topic.VIEW_USERS)
    found = {name: getattr(view, name) for name in wanted if name != "notifications"}
    assert found == {name: value for name, value in wanted.items() if name != "notifications"}
    assert set(view.silenced) == {kind for kind, on in switches.items() if on == "off"}
