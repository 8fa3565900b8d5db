"""Wire bytes: what goes in comes out, and why bytes are refused."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastavro import schemaless_writer
from msgspec.structs import replace

from schemas import codec
from schemas.codec import LockError, UndecodableError, decode, encode, versions
from schemas.events import (
    EVENT_TYPES,
    Engagement,
    Event,
    Feedback,
    Follow,
    Media,
    Moderation,
    Post,
    Surface,
    User,
)
from schemas.exposures import Exposure
from tests.unit.folds import contacted, created, deleted, engaged, followed, judged, said, user

EVENTS = [
    created(
        content="日本 #x", media=(Media(url="http://x/", width=3),), audience=("b",), language="en"
    ),
    deleted(),
    followed("block", target="t:x"),
    replace(followed("follow"), is_favourite=True),
    engaged("react", kind="wow", dwell_ms=2**40, surface=Surface(feed="f", position=3)),
    engaged("comment", comment_id="c", text="", parent="d"),
    contacted("message", "a", "b"),
    user("profile", username="x", verified=True, preferences={"k": "v"}, device_tokens=("t",)),
    user("profile", bio="x", changes=("bio", "preferences.notify.like")),
    user("deleted", at=-(10**9)),
    user("active", seen_to=10**12),
    judged("cleared"),
    said("not_interested", "t:x"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.action)
def test_an_event_comes_out_as_it_went_in(event: Event) -> None:
    raw = encode(event)
    assert raw[0] == 0
    assert decode(raw) == event
    assert decode(raw, type(event)) == event
    assert encode(decode(raw)) == raw


def test_each_type_of_event_has_a_schema_with_its_id() -> None:
    assert {version.event for version in versions()} == {*EVENT_TYPES, Exposure}
    numbers = [version.id for version in versions()]
    assert len(set(numbers)) == len(numbers)
    by_id = {int.from_bytes(encode(event)[1:5], "big"): type(event) for event in EVENTS}
    assert by_id == {
        1: Post,
        3: Engagement,
        5: Moderation,
        7: Feedback,
        8: Follow,
        10: User,
    }


@pytest.mark.parametrize("number", [1, 2])
def test_a_profile_of_an_older_version_is_whole(number: int) -> None:
    version = next(v for v in versions() if (v.event, v.number) == (User, number))
    event = user("profile", username="x", preferences={"k": "v"})
    fields = {field["name"]: getattr(event, field["name"]) for field in version.schema["fields"]}
    raw = io.BytesIO(version.header)
    raw.seek(0, io.SEEK_END)
    schemaless_writer(raw, version.schema, fields)
    assert decode(raw.getvalue()) == event
    assert event.changes is None


@pytest.mark.parametrize("ranker", [None, "weighted"])
def test_an_exposure_comes_out_as_it_went_in_and_is_no_event(ranker: str | None) -> None:
    exposure = Exposure(
        event_id="e", user_id="al", experiment="x", variant="v", at=3, ranker=ranker
    )
    raw = encode(exposure)
    assert (raw[:5], decode(raw, Exposure)) == (b"\0\0\0\0\x09", exposure)
    for bytes_, expected in ((raw, None), (raw, Follow), (GOOD, Exposure)):
        with pytest.raises(UndecodableError) as refused:
            decode(bytes_, expected)
        assert refused.value.code == "wrong_topic"


GOOD = encode(followed("follow"))


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        pytest.param(None, "not_avro", id="null"),
        pytest.param(b"", "not_avro", id="empty"),
        pytest.param(b'{"action": "follow"}', "not_avro", id="JSON"),
        pytest.param(GOOD[:4], "not_avro", id="less than a header"),
        pytest.param(b"\1" + GOOD[1:], "not_avro", id="another magic byte"),
        pytest.param(b"\0\0\0\0\x63" + GOOD[5:], "unknown_schema", id="id 99"),
        pytest.param(b"\0\x02\0\0\0" + GOOD[5:], "unknown_schema", id="an id of the other end"),
        pytest.param(encode(created()), "wrong_topic", id="an event of another kind"),
        pytest.param(GOOD[:5], "not_decodable", id="no event"),
        pytest.param(GOOD[:-1], "not_decodable", id="cut"),
        pytest.param(GOOD + b"\0", "not_decodable", id="bytes left over"),
        pytest.param(GOOD[:5] + b"\xff" * 30, "not_decodable", id="no Avro"),
        pytest.param(b"\0\0\0\0\2\2\xff\0\2a\2b\2", "not_decodable", id="text that is no UTF-8"),
        pytest.param(b"\0\0\0\0\2\2e\x7e\2a\2b\2", "not_decodable", id="an unknown action"),
    ],
)
def test_why_bytes_are_refused(raw: bytes | None, code: str) -> None:
    with pytest.raises(UndecodableError) as refused:
        decode(raw, Follow)
    assert refused.value.code == code


def test_the_example_of_hand_made_bytes_is_a_follow() -> None:
    assert decode(b"\0\0\0\0\2\2e\0\2a\2b\2") == Follow(
        event_id="e", action="follow", user_id="a", target="b", at=1
    )


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the schemas and their lock, in use."""
    for path in [*codec.HERE.glob("*.avsc"), codec.HERE / "lock.json"]:
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(codec, "HERE", tmp_path)
    versions.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    versions.cache_clear()


def test_the_lock_fits_the_files(copy: Path) -> None:
    assert len(versions()) == len(json.loads((copy / "lock.json").read_text()))
    listed = {entry["file"] for entry in json.loads((copy / "lock.json").read_text())}
    assert listed == {path.name for path in copy.glob("*.avsc")}


def test_a_changed_schema_is_refused(copy: Path) -> None:
    path = copy / "follow.1.avsc"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(LockError, match=r"follow\.1\.avsc.*add a new version"):
        versions()
