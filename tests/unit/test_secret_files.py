"""Secrets in files: what is read, what is refused, and what `headrace config` says of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError
from pydantic_settings import SettingsError

from connectors.secret_files import secret_variables
from connectors.settings import Settings
from headrace.cli import main
from headrace.commands.config import config
from tests.unit.api_fakes import KEY

VARIABLE = "HEADRACE_JWT_SECRET"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that the variable names; it is not there yet."""
    path = tmp_path / "secret"
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv(f"{VARIABLE}_FILE", str(path))
    return path


def refusal() -> str:
    with pytest.raises(SettingsError) as refused:
        Settings()
    return str(refused.value)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_is_read_without_its_line_end(file: Path, end: str) -> None:
    file.write_bytes(f" {KEY} {end}".encode())
    assert Settings().jwt_secret.get_secret_value() == f" {KEY} "


def test_a_variable_set_to_nothing_does_not_hide_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(KEY)
    monkeypatch.setenv(VARIABLE, "")
    assert Settings().jwt_secret.get_secret_value() == KEY


def test_a_file_that_is_not_there_is_refused(file: Path) -> None:
    expected = f"{VARIABLE}_FILE: {file} cannot be read (No such file or directory)"
    assert refusal() == expected


@pytest.mark.parametrize(
    ("content", "why"), [(b"\n", "is empty"), (b"\xff" * 40, "is not text in UTF-8")]
)
def test_a_file_without_a_secret_is_refused(file: Path, content: bytes, why: str) -> None:
    file.write_bytes(content)
    assert refusal() == f"{VARIABLE}_FILE: {file} {why}"


def test_two_places_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(KEY)
    monkeypatch.setenv(VARIABLE, "x" * 32)
    assert refusal() == f"{VARIABLE} and {VARIABLE}_FILE are both set: leave one out"


def test_a_secret_in_a_file_is_checked_as_any(file: Path) -> None:
    file.write_text("too short")
    with pytest.raises(ValidationError, match="must be at least 32 bytes") as refused:
        Settings()
    assert "too short" not in str(refused.value)


def test_only_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert {VARIABLE, "HEADRACE_WEBHOOK_SECRET", "HEADRACE_VAPID_KEY"} <= set(
        secret_variables(Settings)
    )
    monkeypatch.setenv("HEADRACE_MONITOR_HOST_FILE", str(tmp_path / "missing"))
    assert Settings().monitor_host == "127.0.0.1"


def test_config_masks_the_secret_and_names_its_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    file.write_text(KEY)
    shown = CliRunner().invoke(config)
    assert shown.exit_code == 0, shown.output
    line = next(line for line in shown.output.splitlines() if f"{VARIABLE} " in line)
    assert "****" in line
    assert f"{VARIABLE}_FILE: {file}" in line
    assert KEY not in shown.output


def test_config_says_what_is_wrong_with_a_file(file: Path) -> None:
    shown = CliRunner().invoke(main, ["config"])
    assert shown.exit_code == 2
    assert shown.output == f"Error: {refusal()}\n"
    assert str(file) in shown.output
