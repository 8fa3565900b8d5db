"""User names: the first in the log who wants one has it, until that user wants another."""

from __future__ import annotations

import pytest

from schemas.events import Event
from schemas.names import name_key
from schemas.topics import Topic
from streams.users import UserFold
from tests.oracle.names import common
from tests.unit.folds import Folded, user


def _wants(who: str, name: str | None, at: int = 1) -> Event:
    return user("profile", who, at, username=name)


def _edits(who: str, at: int, *changes: str, username: str | None = None) -> Event:
    return user("profile", who, at, username=username, changes=changes)


def _shown(folded: Folded) -> tuple[dict[str, str], dict[str, str]]:
    """Names to whose they are, and users to the names that they show."""
    views = folded.views(Topic.VIEW_NAMES).values()
    users = folded.views(Topic.VIEW_USERS).values()
    return (
        {view.name: view.user_id for view in views if view.user_id},
        {view.user_id: view.username for view in users if view.username},
    )


CASES = [
    pytest.param([_wants("ann", "Sam")], {"sam": "ann"}, {"ann": "Sam"}, id="a free name"),
    pytest.param(
        [_wants("ann", "sam"), _wants("bob", "SAM")],
        {"sam": "ann"},
        {"ann": "sam"},
        id="the first in the log has it, whatever the case",
    ),
    pytest.param(
        [_wants("ann", "sam", at=9), _wants("bob", "sam", at=1)],
        {"sam": "ann"},
        {"ann": "sam"},
        id="also when another was earlier",
    ),
    pytest.param(
        [_wants("ann", "sam"), _wants("bob", "sam"), _wants("cy", "sam"), _wants("ann", "al", 2)],
        {"sam": "bob", "al": "ann"},
        {"bob": "sam", "ann": "al"},
        id="the next has it when the first wants another",
    ),
    pytest.param(
        [_wants("ann", "sam"), _wants("bob", "sam"), _wants("bob", None, 2), _wants("ann", "", 2)],
        {},
        {},
        id="nobody has it when nobody wants it",
    ),
    pytest.param(
        [_wants("ann", "sam"), _wants("bob", "sam"), user("deleted", "ann", 2)],
        {"sam": "bob"},
        {"bob": "sam"},
        id="who is erased has no name",
    ),
    pytest.param(
        [_wants("ann", "sam"), _wants("ann", "SAM", 2)],
        {"sam": "ann"},
        {"ann": "SAM"},
        id="it may be written in another way",
    ),
    pytest.param(
        [_wants("ann", "sam", 2), _wants("ann", "old", 1)],
        {"sam": "ann"},
        {"ann": "sam"},
        id="an old profile claims nothing",
    ),
    pytest.param(
        [_wants("ann", "sam"), _edits("ann", 2, "bio"), _edits("ann", 3, "preferences", "avatar")],
        {"sam": "ann"},
        {"ann": "sam"},
        id="an edit that does not name it lets go of no name",
    ),
    pytest.param(
        [_edits("ann", 1, "bio", username="sam"), _wants("bob", "sam")],
        {"sam": "bob"},
        {"bob": "sam"},
        id="nor does it claim one",
    ),
    pytest.param(
        [
            _wants("ann", "old"),
            _edits("ann", 3, "username", username="sam"),
            _edits("ann", 4, "bio"),
            _wants("ann", "late", 2),
            _wants("bob", "old"),
        ],
        {"sam": "ann", "old": "bob"},
        {"ann": "sam", "bob": "old"},
        id="an edit of it claims one and lets go of the former",
    ),
    pytest.param(
        [_wants("ann", "sam"), _wants("bob", "sam"), _edits("ann", 2, "username")],
        {"sam": "bob"},
        {"bob": "sam"},
        id="an edit to none lets go of it",
    ),
]


@pytest.mark.parametrize(("events", "names", "users"), CASES)
def test_whose_a_name_is(events: list[Event], names: dict[str, str], users: dict[str, str]) -> None:
    folded = Folded(UserFold)
    for event in events:
        folded.add(event, event).settle()
    assert _shown(folded) == (names, users)


def test_an_answer_to_a_former_claim_counts_no_more() -> None:
    """The name went to another between two claims of it; the first claim's answer comes late."""
    folded = Folded(UserFold).add(_wants("ann", "sam"))
    claim = folded.facts(Topic.BY_USER)[0]
    late = Folded(UserFold).add(claim).facts(Topic.BY_USER)
    folded.add(_wants("ann", "al", 2), _wants("ann", "sam", 3), *late)
    assert _shown(folded)[1] == {}


@pytest.mark.parametrize(("one", "other"), [("Straße", "STRASSE"), ("ﬁn", "fin"), ("É", "é")])
def test_names_that_read_alike_are_one(one: str, other: str) -> None:
    assert name_key(one) == name_key(other) == common(one)
