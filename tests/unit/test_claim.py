"""A directory of state is one process's at a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from connectors.claim import Claim, claimed
from streams.engine import disk
from streams.engine.disk import DiskStores

HOLD = """
import sys
from pathlib import Path
from connectors.claim import Claim
claim = Claim(Path(sys.argv[1]))
print(claim.path, flush=True)
sys.stdin.read()
"""


@contextmanager
def another(path: Path) -> Iterator[Path]:
    """Another process that claims; it is killed in the end. What it has."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    try:
        yield Path(holder.stdout.readline().decode().strip())
    finally:
        holder.kill()
        holder.communicate()


def test_processes_beside_each_other_have_directories_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "state" / "app"
    with another(path) as first, another(path) as second:
        third = Claim(path)
        found = [first, second, third.path]
        assert found == [path, path.with_name("app-2"), path.with_name("app-3")]
        assert Claim(path).path == third.path, "it is this process's already"
        assert list(claimed(path)) == found
    assert Claim(path).path == path, "who was killed has none"


def test_names_that_begin_alike_are_not_claimed(tmp_path: Path) -> None:
    (tmp_path / "app-of-another").mkdir()
    assert list(claimed(tmp_path / "app")) == [tmp_path / "app"]


def test_rows_are_in_the_claimed_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "log_id_of", mock.Mock(return_value="log"))
    with another(tmp_path / "app"):
        DiskStores(tmp_path / "app", "")("posts", 3).close()
    assert (tmp_path / "app-2" / "posts" / "3" / "CURRENT").exists()
    assert not (tmp_path / "app" / "posts").exists()
