"""Upheaval: there is enough of everything, and the same seed gives the same."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import chain, pairwise
from typing import get_args

import pytest

from connectors.sources import Upheaval, generate_activity, generate_network
from schemas.changes import CHANGEABLE
from schemas.codec import encode
from schemas.events import (
    Engagement,
    EngagementAction,
    Event,
    Follow,
    FollowAction,
    Moderation,
    ModerationAction,
    Post,
    User,
    UserAction,
    Visibility,
)
from schemas.validation import validate
from tests.oracle.moderation import hidden_posts

END = 1_700_000_000_000
CROSSING = 60
OUTCRY = 10


@cache
def _events(seed: int = 1, crossing: int = CROSSING) -> tuple[Event, ...]:
    pairs = generate_network(200, 1)
    people = list(dict.fromkeys(chain.from_iterable(pairs)))
    upheaval = Upheaval(people, seed, crossing, OUTCRY)
    return tuple(upheaval.among(generate_activity(pairs, 6_000, 1, END)))


def test_the_same_seed_gives_the_same() -> None:
    _events.cache_clear()
    first = _events()
    _events.cache_clear()
    assert first == _events()
    assert first != _events(2)


def test_every_event_is_one_that_intake_takes() -> None:
    for event in _events():
        validate(event, END)
        assert encode(event)


def test_the_everyday_is_still_there_in_its_order() -> None:
    pairs = generate_network(200, 1)
    everyday = [e.event_id for e in generate_activity(pairs, 6_000, 1, END)]
    assert [e.event_id for e in _events() if not e.event_id.startswith("x1:")] == everyday


ACTIONS = [*get_args(EngagementAction), *get_args(FollowAction), *get_args(UserAction), "edited"]


@pytest.mark.parametrize("action", [*ACTIONS, "deleted post"])
def test_there_is_enough_of_every_action(action: str) -> None:
    found = Counter(
        "deleted post" if isinstance(e, Post) and e.action == "deleted" else e.action
        for e in _events()
        if e.event_id.startswith("x1:")
    )
    assert found[action] >= (5 if action == "deleted" else 50)


@pytest.mark.parametrize("visibility", get_args(Visibility))
def test_posts_change_to_every_visibility(visibility: str) -> None:
    edits = [e for e in _events() if isinstance(e, Post) and e.action == "edited"]
    assert sum(e.visibility == visibility for e in edits) >= 50


def test_profiles_are_whole_or_change_any_of_their_fields() -> None:
    profiles = [e for e in _events() if isinstance(e, User) and e.action == "profile"]
    edits = [e for e in profiles if e.changes is not None]
    assert min(len(edits), len(profiles) - len(edits)) >= 20
    named = {name for e in edits for name in e.changes or ()}
    assert named == CHANGEABLE
    silent = [e for e in edits if "username" not in (e.changes or ())]
    assert sum(e.username is not None for e in silent) >= 20, "what is not named does not count"


def test_some_comes_before_its_post() -> None:
    seen: set[str] = set()
    early: Counter[str] = Counter()
    for event in _events():
        if isinstance(event, Post) and event.action == "created":
            seen.add(event.post_id)
        elif isinstance(event, Post | Engagement) and event.post_id and event.post_id not in seen:
            early[event.action] += 1
    assert all(early[action] >= 5 for action in ("edited", "deleted", "like", "share", "comment"))


def test_what_is_published_is_not_always_newer_than_what_was() -> None:
    at = [e.at for e in _events()]
    assert sum(b < a for a, b in pairwise(at)) > 1_000


def test_topics_are_muted_and_followed() -> None:
    found = Counter(
        e.action for e in _events() if isinstance(e, Follow) and e.target.startswith("t:")
    )
    assert all(found[action] >= 20 for action in ("follow", "unfollow", "mute", "unmute"))


def test_posts_are_hidden_by_reports_and_by_moderators() -> None:
    reports = [e for e in _events() if isinstance(e, Engagement) and e.action == "report"]
    hidden = Counter(hidden_posts(reports, [], OUTCRY).values())
    verdicts = Counter(e.action for e in _events() if isinstance(e, Moderation))
    assert hidden["reports"] >= 10
    assert all(verdicts[action] >= 10 for action in get_args(ModerationAction))


def test_the_erased_go_on_for_others() -> None:
    erased: set[str] = set()
    late = 0
    for event in _events():
        if isinstance(event, User) and event.action == "deleted":
            erased.add(event.user_id)
        elif isinstance(event, Follow | Engagement):
            late += event.user_id in erased
    assert late >= 50


def _crossings(crossing: int) -> Counter[str]:
    """How often some source comes to so many followers, and below nine tenths of it again."""
    followers: dict[str, set[str]] = {}
    heavy: set[str] = set()
    found: Counter[str] = Counter()
    for event in _events():
        if not isinstance(event, Follow) or not event.event_id.startswith("x1:"):
            continue
        mine = followers.setdefault(event.target, set())
        if event.action == "follow":
            mine.add(event.user_id)
        elif event.action == "unfollow":
            mine.discard(event.user_id)
        if event.target not in heavy and len(mine) >= crossing:
            heavy.add(event.target)
            found["up"] += 1
        elif event.target in heavy and len(mine) < 0.9 * crossing:
            heavy.discard(event.target)
            found["down"] += 1
    return found


def test_surges_make_sources_heavy_and_light_again() -> None:
    found = _crossings(CROSSING)
    assert found["up"] >= 10
    assert found["down"] >= 10


def test_there_are_no_surges_among_too_few() -> None:
    assert len(_events(crossing=10_000)) < len(_events()) - 1_000
