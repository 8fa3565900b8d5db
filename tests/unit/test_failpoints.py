"""Failpoints: nothing without the variable; at the n-th pass, a mark and the end."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from unittest import mock

import msgspec
import pytest

from connectors import failpoints
from connectors.failpoints import Failpoints, Mark, arm, mark_of, parse, reaching, settle_seconds


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file that arms."""
    return tmp_path / "app.failpoint"


def test_without_the_variable_nothing_happens() -> None:
    assert reaching("") is failpoints._pass
    assert failpoints.reach is failpoints._pass, "this process is not armed"


def test_without_an_order_nothing_happens(file: Path) -> None:
    send = mock.Mock()
    points = Failpoints(file, send)
    for name in failpoints.NAMES:
        points.reach(name, "posts/1", 1)
    send.assert_not_called()
    assert not mark_of(file).exists()


@pytest.mark.parametrize("name", failpoints.NAMES)
@pytest.mark.parametrize(("action", "number"), [("", signal.SIGKILL), (":stop", signal.SIGSTOP)])
def test_the_nth_pass_after_the_order_is_the_last(
    file: Path, name: str, action: str, number: signal.Signals
) -> None:
    found: list[Mark] = []

    def send(_: signal.Signals, _after: float) -> None:
        found.append(msgspec.json.decode(mark_of(file).read_bytes(), type=Mark))

    sender = mock.Mock(side_effect=send)
    points = Failpoints(file, sender)
    points.reach(name, "posts/0", 1)
    arm(file, f"{name}:3{action}")
    for passes in range(1, 6):
        for other in failpoints.NAMES:
            points.reach(other, f"posts/{passes}", passes)
        assert sender.call_count == (passes >= 3)
        assert not file.exists(), "whoever comes next is not armed"
    sender.assert_called_once_with(number, settle_seconds(name))
    assert found == [Mark(name, os.getpid(), "posts/3", 3)]


def test_of_one_topic_only_its_passes_count(file: Path) -> None:
    sender = mock.Mock()
    points = Failpoints(file, sender)
    arm(file, "before-commit@by-post:2")
    for place in ("by-post/0", "posts/0", "by-post-2/0", "changelog.by-post/0", "by-post/7"):
        sender.assert_not_called()
        points.reach("before-commit", place, 1)
    sender.assert_called_once_with(signal.SIGKILL, failpoints.LINGER_SECONDS)
    assert msgspec.json.decode(mark_of(file).read_bytes(), type=Mark).place == "by-post/7"


def test_an_order_takes_the_mark_of_the_last_one_away(file: Path) -> None:
    mark_of(file).write_text("an old one")
    arm(file, "before-commit:1")
    assert not mark_of(file).exists()


@pytest.mark.parametrize(
    "order", ["", "before-commit", "before-commit:0", "before-commit:x", "before-commit:1:x", "x:1"]
)
def test_what_is_not_understood_is_refused(file: Path, order: str) -> None:
    with pytest.raises(ValueError, match="a failpoint must be <name>:<n>"):
        parse(order)
    with pytest.raises(ValueError, match="a failpoint must be <name>:<n>"):
        arm(file, order)
