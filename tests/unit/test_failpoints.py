"""Failpoints: nothing without the variable; at the n-th pass, a mark and the end."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from unittest import mock

import msgspec
import pytest

from connectors import failpoints
from connectors.failpoints import MARK_VARIABLE, VARIABLE, Mark, armed


@pytest.mark.parametrize("environment", [{}, {VARIABLE: ""}])
def test_without_the_variable_nothing_happens(environment: dict[str, str]) -> None:
    send = mock.Mock()
    reach = armed(environment, send)
    for name in failpoints.NAMES:
        reach(name, "posts/1", 1)
    send.assert_not_called()


def test_this_process_is_not_armed() -> None:
    assert failpoints.reach is failpoints._pass


@pytest.mark.parametrize("name", failpoints.NAMES)
@pytest.mark.parametrize(("action", "number"), [("", signal.SIGKILL), (":stop", signal.SIGSTOP)])
def test_the_nth_pass_is_the_last(
    tmp_path: Path, name: str, action: str, number: signal.Signals
) -> None:
    mark = tmp_path / "mark.json"
    send = mock.Mock(side_effect=lambda _: mark.rename(tmp_path / "was.json"))
    reach = armed({VARIABLE: f"{name}:3{action}", MARK_VARIABLE: str(mark)}, send)
    for passes in range(1, 6):
        for other in failpoints.NAMES:
            reach(other, f"posts/{passes}", passes)
        assert send.call_count == (passes >= 3)
        assert not mark.exists()
    send.assert_called_once_with(number)
    found = msgspec.json.decode((tmp_path / "was.json").read_bytes(), type=Mark)
    assert found == Mark(name, os.getpid(), "posts/3", 3)


@pytest.mark.parametrize(
    "value", ["before-commit", "before-commit:0", "before-commit:x", "before-commit:1:x", "x:1"]
)
def test_what_is_not_understood_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="HEADRACE_FAILPOINT must be <name>:<n>"):
        armed({VARIABLE: value, MARK_VARIABLE: "x"})
