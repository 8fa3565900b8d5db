"""Posts as they are sent to several readers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from api import render
from api.render import Usuals
from api.sent_page import as_json
from schemas.views import CountersView, PostView, UserView

POST, COUNTERS, USER = PostView("p", "ann", 1, "hello"), CountersView("p"), UserView("ann")
REASONS = ("u:ann",)


def sent(usuals: Usuals, *views: Any, at: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(as_json(usuals.sent(*views, at)))
    return found


def test_what_is_of_the_same_views_is_made_once() -> None:
    usuals = Usuals()
    first = usuals.sent(POST, COUNTERS, USER, REASONS, 1)
    assert usuals.sent(POST, COUNTERS, USER, REASONS, 1) is first


@pytest.mark.parametrize(
    ("changed", "what", "value"),
    [
        (0, lambda post: post["content"], "bye"),
        (1, lambda post: post["comment_count"], 7),
        (2, lambda post: post["user"]["username"], "ann7"),
        (3, lambda post: post["reasons"], ["s:bob"]),
    ],
    ids=["post", "counts", "author", "reasons"],
)
def test_what_has_changed_is_made_anew(changed: int, what: Any, value: object) -> None:
    others = (
        replace(POST, content="bye"),
        replace(COUNTERS, comments=7),
        replace(USER, username="ann7"),
        ("s:bob",),
    )
    usuals = Usuals()
    views = [POST, COUNTERS, USER, REASONS]
    before = sent(usuals, *views)
    views[changed] = others[changed]
    after = sent(usuals, *views)
    assert what(before) != what(after) == value


def test_at_another_place_it_is_made_anew() -> None:
    usuals = Usuals()
    assert sent(usuals, POST, COUNTERS, USER, REASONS)["entry_at"] == "1970-01-01T00:00:00.001Z"
    again = sent(usuals, POST, COUNTERS, USER, REASONS, at=2)
    assert again["entry_at"] == "1970-01-01T00:00:00.002Z"


def test_they_are_bounded_and_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "MOST_USUAL", 2)
    usuals = Usuals()
    for name in "abcde":
        sent(usuals, replace(POST, post_id=name), COUNTERS, USER, REASONS)
        assert len(usuals) <= 2
    monkeypatch.setattr(render.time, "monotonic", lambda: 1e12)
    sent(usuals, POST, COUNTERS, USER, REASONS)
    assert list(usuals) == ["p"]
