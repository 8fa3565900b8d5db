"""The list of mutants does not rot: every edit still finds its place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants import MUTANTS, ROOT, Mutant, SearchError, mutated


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_edit_finds_its_place(mutant: Mutant) -> None:
    sound = (ROOT / mutant.file).read_text()
    changed = mutated(mutant)
    assert changed != sound
    ast.parse(changed)
    for tests in mutant.tests.split():
        assert (ROOT / tests).exists()


@pytest.mark.parametrize("text", ["nothing of it", "a place, and a place"])
def test_an_edit_without_one_place_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.py").write_text(text)
    with pytest.raises(SearchError, match=r"m: (0|2) times in x\.py"):
        mutated(Mutant("m", "", "x.py", "a place", "", ""), tmp_path)


def test_the_documentation_has_each() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for mutant in MUTANTS:
        assert sum(row.startswith(f"| {mutant.name} | {mutant.defect} |") for row in rows) == 1


def test_names_are_unique() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
