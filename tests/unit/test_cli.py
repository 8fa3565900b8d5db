"""The command line tells of what stands in its way, and ends as it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from connectors.settings import settings
from headrace.cli import main

SECRET = "not-to-be-shown"


@pytest.fixture(autouse=True)
def read_anew() -> Iterator[None]:
    """The settings are read by each test, and by what comes after."""
    settings.cache_clear()
    yield
    settings.cache_clear()


def run(*command: str) -> Result:
    return CliRunner().invoke(main, command)


@pytest.mark.parametrize(
    "command",
    [("config",), ("deliver",), ("api",), ("work",), ("stack", "up"), ("verify",), ("demo",)],
    ids=" ".join,
)
def test_settings_that_cannot_be_are_named(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_JWT_SECRET", SECRET)
    monkeypatch.setenv("HEADRACE_PARTITIONS", "many")
    result = run(*command)
    assert result.exit_code == 2
    lines = result.output.splitlines()
    assert any("HEADRACE_PARTITIONS: Input should be a valid integer" in line for line in lines)
    assert any("HEADRACE_JWT_SECRET must be at least 32 bytes" in line for line in lines)
    assert SECRET not in result.output
    assert "Traceback" not in result.output


def test_settings_that_need_others_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_WEBHOOK_URL", "https://hooks.example/x")
    result = run("deliver")
    assert result.exit_code == 2
    assert result.output == "Error: HEADRACE_WEBHOOK_URL needs HEADRACE_WEBHOOK_SECRET too\n"


def test_a_check_that_cannot_begin_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1")
    result = run("verify", "--generate", "10")
    assert result.exit_code == 2
    assert "unset it" in result.output
