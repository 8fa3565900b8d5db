"""An installation says what it writes, and which others its workers can run beside."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from headrace.commands.soak import soak
from headrace.installation import (
    THIS,
    Formats,
    Installation,
    InstallationError,
    differences,
    installed_in,
)
from schemas.codec import newest
from schemas.formats import FORMAT
from streams.archive_sink import LAYOUTS

NEW = Formats(9, {"post": 1, "user": 3}, {"view.relations": 2})


def made_in(directory: Path) -> Path:
    """A directory that looks like an installation, with this one's Python."""
    programs = directory / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(THIS.python)
    (programs / "headrace").touch()
    return directory


def test_this_one_says_what_it_writes() -> None:
    found = THIS.formats()
    assert found == Formats(
        FORMAT,
        {version.subject: version.number for version in newest().values()},
        {str(topic): number for topic, number in LAYOUTS.items()},
    )
    assert differences(found, found) == []


def test_another_is_asked_by_its_own_python_in_its_own_directory(tmp_path: Path) -> None:
    schemas, streams = tmp_path / "schemas", tmp_path / "streams"
    for package in (schemas, streams):
        package.mkdir()
        (package / "__init__.py").touch()
    (schemas / "formats.py").write_text("FORMAT = 4")
    (schemas / "codec.py").write_text("newest = dict")
    (streams / "archive_sink.py").write_text("")  # of before there were layouts
    assert Installation(tmp_path, THIS.python).formats() == Formats(4, {}, {})


def test_what_is_no_installation(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match="scripts/setup"):
        installed_in(tmp_path)
    found = installed_in(made_in(tmp_path))
    assert found == Installation(tmp_path, tmp_path / ".venv" / "bin" / "python")
    with pytest.raises(InstallationError, match="No module named 'schemas'"):
        found.formats()


def test_another_format_is_refused() -> None:
    with pytest.raises(InstallationError, match="format 8, this one in 9") as refused:
        differences(replace(NEW, format=8), NEW)
    assert "operating.md" in str(refused.value)


@pytest.mark.parametrize("schemas", [{"post": 1, "user": 2}, {"post": 1}])
def test_events_that_the_older_cannot_read_are_refused(schemas: dict[str, int]) -> None:
    with pytest.raises(InstallationError, match=r"does not know user\.3,"):
        differences(replace(NEW, schemas=schemas), NEW)


def test_a_new_layout_is_said() -> None:
    said = ["view.relations is read anew into Cassandra (layout 2)"]
    assert differences(replace(NEW, layouts={}), NEW) == said
    assert differences(NEW, NEW) == []


def test_the_command_refuses_before_it_starts_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_PARTITIONS", "4")  # which the command sets for all that it starts
    result = CliRunner().invoke(soak, ["--upgrade-from", str(tmp_path)])
    assert result.exit_code == 2
    assert "scripts/setup" in result.output
