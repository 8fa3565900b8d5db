"""Tokens, and what a client has had and what not."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import ProblemError
from api.live import inbox
from api.live.changes import Added, Found
from api.live.inbox import Inbox
from api.live.memory import ENTRIES, POSTS, Memory
from api.live.memory import NOTICES as KEPT_NOTICES
from api.live.places import Place, decode_token, encode_token, own_logs
from schemas.topics import Topic
from schemas.views import NotificationView

LOG = (Topic.TIMELINE_WRITES, 0)
NOTICES = (Topic.VIEW_NOTIFICATIONS, 0)
numbers = st.integers(0, 2**62)
places = st.builds(Place, numbers, numbers)


@given(st.lists(places, min_size=4, max_size=4), st.dictionaries(st.integers(0, 7), places))
def test_a_token_says_its_places(own: list[Place], recents: dict[int, Place]) -> None:
    found = dict(zip(own_logs("ann", 8), own, strict=True))
    found |= {(Topic.VIEW_RECENTS, number): place for number, place in recents.items()}
    token = encode_token(found, 5, "ann", 8)
    assert decode_token(token, "ann", 8) == (found, 5)
    assert decode_token(token, "ann", 16) is None


def test_a_token_of_an_older_version_is_one_of_other_logs() -> None:
    found = dict.fromkeys(own_logs("ann", 8), Place(0))
    raw = base64.urlsafe_b64decode(encode_token(found, 0, "ann", 8) + "==")
    version, partitions, own, *rest = msgspec.msgpack.decode(raw)

    def token(version: int, own: list[list[int]]) -> str:
        raw = msgspec.msgpack.encode([version, partitions, own, *rest])
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    assert decode_token(token(version - 1, own[:3]), "ann", 8) is None
    for refused in (token(version, own[:3]), token(version + 1, own), token(0, own)):
        with pytest.raises(ProblemError):
            decode_token(refused, "ann", 8)


@pytest.mark.parametrize("place", [Place(-1), Place(0, -1), Place(2**63)])
def test_a_token_with_other_numbers_is_refused(place: Place) -> None:
    found = dict.fromkeys(own_logs("ann", 8), Place(0)) | {(Topic.VIEW_RECENTS, 1): place}
    with pytest.raises(ProblemError):
        decode_token(encode_token(found, 0, "ann", 8), "ann", 8)


@given(st.lists(st.integers(1, 4), max_size=8), st.data())
def test_stopping_anywhere_and_going_on_gives_each_change_once(
    sizes: list[int], data: st.DataObject
) -> None:
    records = [
        Found(LOG, 2 * n, 0, [("ann", Added(f"{n}/{m}", "u:bob", 0)) for m in range(size)])
        for n, size in enumerate(sizes)
    ]
    expected = [change for record in records for _, change in record.changes]
    taken: list[object] = []
    place = Place(0)
    while len(taken) < len(expected):
        live_from = data.draw(st.integers(place.least_end, 2 * len(sizes)))
        box = Inbox()
        box.begin(LOG, live_from)
        for record in records:  # what is live comes while the rest is read
            for _, change in record.changes:
                box.take(record, change)
        missed = [r for r in records if place.offset <= r.offset < live_from]
        box.missed([(r, change) for r in missed for _, change in r.changes], {LOG: place})
        for _ in range(data.draw(st.integers(1, 5))):
            for item in box.waiting(1):
                assert box.done(item)
                taken.append(item.change)
        place = box.places[LOG]
    assert taken == expected


def test_of_a_notification_the_newest_state_is_kept_and_none_is_lost() -> None:
    box = Inbox()
    box.begin(NOTICES, 0)
    states = [("a", 1), ("b", 1), ("a", 2), ("c", 1)]
    for offset, (subject, count) in enumerate(states):
        view = NotificationView("ann", "like", subject, count, ((0, "bob", ""),))
        box.take(Found(NOTICES, offset, 10 * offset, []), view)
    due = box.notices(20)
    assert [(each.view.subject, each.view.count) for each in due] == [("b", 1), ("a", 2)]
    box.done_notices(due[:1])
    assert box.places[NOTICES] == Place(0)  # the first state of a waits
    box.done_notices(due[1:])
    assert box.places[NOTICES] == Place(2, 1)
    box.catch_up({NOTICES: 100})
    assert box.places[NOTICES] == Place(2, 1)  # c waits
    box.done_notices(box.notices(30))
    box.catch_up({NOTICES: 100})
    assert box.places[NOTICES] == Place(100)


def test_a_full_inbox_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "ROOM", 2)
    box = Inbox()
    box.begin(LOG, 0)
    for offset in range(4):
        assert box.is_overrun == (offset == 3)
        box.take(Found(LOG, offset, 0, []), Added("p", "u:bob", 0))
    assert box.waiting(9) == []


def test_a_notification_is_sent_for_what_is_new_of_what_may_be_seen() -> None:
    memory = Memory()
    bob, both = (1, 10, ("bob",), ""), (2, 12, ("cy", "bob"), "")
    assert not memory.notify("a", bob, is_newest_seen=False)
    assert not memory.notify("a", bob, is_newest_seen=True)
    assert memory.notify("a", both, is_newest_seen=False)
    assert memory.notify("a", bob, is_newest_seen=False)
    for n in range(KEPT_NOTICES):
        assert memory.notify(f"b{n}", bob, is_newest_seen=True)
    assert memory.notify("a", bob, is_newest_seen=True)


def test_memory_has_bounds() -> None:
    memory = Memory()
    gone = [post for n in range(ENTRIES + 10) for post in memory.add(f"p{n}", "u:bob", "bob")]
    assert not memory.has("p9", "u:bob")
    assert memory.has("p10", "u:bob")
    assert len(memory.posts()) == POSTS
    assert len(gone) == ENTRIES + 10 - POSTS
    assert len(memory.forget_author("bob")) == POSTS
    assert memory.posts() == []
    assert not memory.has("p10", "u:bob")


def test_a_post_is_counted_while_one_of_its_entries_is_left() -> None:
    memory = Memory()
    memory.add("p", "u:bob", "bob")
    memory.add("p", "t:rust", "bob")
    assert memory.forget("p", "u:bob") == []
    assert memory.forget_reasons(("t:rust",)) == ["p"]
