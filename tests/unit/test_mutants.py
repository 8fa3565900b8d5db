"""The list of mutants does not rot: every edit still finds its place, and tests are judged."""

from __future__ import annotations

import ast
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests import mutate
from tests.fault.alone import CASES
from tests.mutants import MUTANTS, Mutant
from tests.mutate import ALONE, ROOT, Ran, SearchError, Verdict, mutated, ran, run, runs_of


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_edit_finds_its_place(mutant: Mutant) -> None:
    sound = (ROOT / mutant.file).read_text()
    changed = mutated(mutant)
    assert changed != sound
    ast.parse(changed)
    for tests in mutant.tests.split():
        assert (ROOT / tests).exists()
    assert mutant.fault in {"", *CASES}


@pytest.mark.parametrize("text", ["nothing of it", "a place, and a place"])
def test_an_edit_without_one_place_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.py").write_text(text)
    with pytest.raises(SearchError, match=r"m: (0|2) times in x\.py"):
        mutated(Mutant("m", "", "x.py", "a place", "", ""), tmp_path)


def test_the_documentation_has_each() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for mutant in MUTANTS:
        tests = ", ".join(f"`{name.removeprefix('tests/')}`" for name in mutant.tests.split())
        fault = f"`{mutant.fault}`" if mutant.fault else "-"
        assert f"| {mutant.name} | {mutant.defect} | {tests} | {fault} |" in rows


def test_names_are_unique() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_a_fault_comes_after_the_tests_unless_it_must_be_quick() -> None:
    mutant = Mutant("m", "", "x.py", "", "", "tests/unit/test_x.py", "redis-kill")
    fault = f"{ALONE}::test_right_after[redis-kill]"
    assert runs_of(mutant, is_quick=False) == ["tests/unit/test_x.py", fault]
    assert runs_of(mutant, is_quick=True) == ["tests/unit/test_x.py"]


@pytest.mark.parametrize(
    ("body", "seconds", "verdict", "is_caught"),
    [
        pytest.param("pass", 60, Verdict.PASSED, False, id="passes"),
        pytest.param("assert [] == [1]", 60, Verdict.FAILED, True, id="fails"),
        pytest.param("import time; time.sleep(60)", 3, Verdict.HUNG, True, id="hangs"),
        pytest.param("import os; os._exit(7)", 60, Verdict.BROKEN, False, id="breaks"),
    ],
)
def test_tests_are_judged(
    tmp_path: Path, body: str, seconds: float, verdict: Verdict, is_caught: bool
) -> None:
    (tmp_path / "test_it.py").write_text(f"def test_it():\n    {body}\n")
    found = ran(tmp_path, "test_it.py", seconds)
    assert found.verdict is verdict
    assert found.verdict.is_caught == is_caught
    if verdict is Verdict.FAILED:
        assert found.why.startswith("test_it.py::test_it - assert [] == [1]")


def test_a_survivor_of_either_run_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    mutants = [Mutant(name, "", "x.py", "1", "2", name, "poison") for name in "abc"]
    after_a_fault = f"{ALONE}::test_right_after[poison]"
    outcomes = {"a": Verdict.FAILED, "b": Verdict.HUNG, "c": Verdict.BROKEN}
    (tmp_path / "x.py").write_text("1")

    def fake(copy: Path, tests: str) -> Ran:
        if (copy / "x.py").read_text() == "1":
            return Ran(Verdict.PASSED, "")
        return Ran(outcomes.get(tests, Verdict.FAILED), tests)

    monkeypatch.setattr(mutate, "copied", lambda: nullcontext(tmp_path))
    monkeypatch.setattr(mutate, "ran", fake)
    monkeypatch.setattr(mutate, "ROOT", tmp_path)
    monkeypatch.setattr(mutate.mutated, "__defaults__", (tmp_path,))
    assert run(mutants[:2], is_quick=False) == 0
    assert run(mutants, is_quick=False) == 1, "one that could not be judged"
    outcomes[after_a_fault] = Verdict.PASSED
    capsys.readouterr()
    assert run(mutants[:1], is_quick=False) == 1
    said = capsys.readouterr().out
    assert "caught    a" in said
    assert "SURVIVES  a" in said
    assert run(mutants[:1], is_quick=True) == 0
