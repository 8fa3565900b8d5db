"""`headrace check-event`: the same verdict as the intake's, without Kafka."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from headrace.commands.check_event import check_event
from schemas.codec import encode
from schemas.events import Follow

NOW = time.time_ns() // 1_000_000
FOLLOW: dict[str, Any] = {
    "type": "follow",
    "event_id": "e-1",
    "action": "follow",
    "user_id": "bob",
    "target": "u:alice",
    "at": NOW,
}
POST = {
    "type": "post",
    "event_id": "e-2",
    "action": "created",
    "post_id": "p",
    "author_id": "bob",
    "content": "x",
    "at": NOW,
}


PROFILE = {"type": "user", "event_id": "e-3", "action": "profile", "user_id": "bob", "at": NOW}


def _checked(tmp_path: Path, raw: bytes, *more: str) -> Result:
    file = tmp_path / "events"
    file.write_bytes(raw)
    return CliRunner().invoke(check_event, [str(file), *more])


def _lines(*events: object) -> bytes:
    return b"\n".join(map(msgspec.json.encode, events))


def test_each_line_has_its_topic_and_key(tmp_path: Path) -> None:
    found = _checked(tmp_path, _lines(FOLLOW, POST) + b"\n\n")
    assert found.exit_code == 0, found.output
    first, second, end = found.output.splitlines()
    assert first == "1: taken, topic follows, key 'bob', event 'e-1'"
    assert second == "2: taken, topic posts, key 'p', event 'e-2'"
    assert end == "2 would be taken, 0 refused"


REFUSED: list[tuple[str, Any]] = [
    ("unknown_type", {**FOLLOW, "type": "like"}),
    ("unknown_field", {**FOLLOW, "targte": "u:alice"}),
    ("unknown_field", {**PROFILE, "changes": ["name"]}),
    ("not_valid", {**FOLLOW, "at": "today"}),
    ("missing_field", {**FOLLOW, "event_id": ""}),
    ("missing_field", {**PROFILE, "changes": []}),
    ("at_in_future", {**FOLLOW, "at": NOW + 3_600_000}),
    ("not_json", [FOLLOW]),
]


@pytest.mark.parametrize(("code", "event"), REFUSED)
def test_what_would_be_a_dead_letter_is_named(tmp_path: Path, code: str, event: Any) -> None:
    found = _checked(tmp_path, _lines(FOLLOW, event), "--quiet")
    assert found.exit_code == 1
    refusal, end = found.output.splitlines()
    assert refusal.startswith(f"2: refused, {code}: ")
    assert end == "1 would be taken, 1 refused"


def test_a_record_as_producers_write_it_is_checked_too(tmp_path: Path) -> None:
    raw = encode(Follow(event_id="e", action="follow", user_id="bob", target="u:al", at=NOW))
    assert _checked(tmp_path, raw).exit_code == 0
    for bad, code in ((raw + b"x", "not_decodable"), (b"\0\0\0\xff\xff", "unknown_schema")):
        found = _checked(tmp_path, bad)
        assert found.exit_code == 1
        assert f"1: refused, {code}: " in found.output
    late = encode(Follow(event_id="e", action="follow", user_id="bob", target="u:al", at=1))
    assert _checked(tmp_path, late).exit_code == 1


@pytest.mark.parametrize("raw", [b"", b"\n \n"])
def test_a_file_without_events_is_an_error(tmp_path: Path, raw: bytes) -> None:
    found = _checked(tmp_path, raw)
    assert found.exit_code == 1
    assert "there is no event in it" in found.output


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    found = _checked(tmp_path, b"{]")
    assert found.exit_code == 1
    assert found.output.startswith("1: refused, not_json: ")
