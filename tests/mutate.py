"""Runs what must notice each deliberate defect (`scripts/mutants`).

The edits are made in a copy of the tree, one at a time; the work tree is never touched.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from tests.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[1]
ALONE = "tests/fault/alone.py"
TIMEOUT_S = 900
TAIL_LINES = 15
COLUMNS = "250"  # so that pytest's summary says why a test failed


class Verdict(Enum):
    """What came of running tests."""

    PASSED = "SURVIVES"
    FAILED = "caught"
    HUNG = "hangs"
    BROKEN = "ERROR"

    @property
    def is_caught(self) -> bool:
        """Whether a defect would be noticed: tests that hang end in time, as a failure."""
        return self in (Verdict.FAILED, Verdict.HUNG)


class Ran(NamedTuple):
    """What came of running tests, and what they said in the end."""

    verdict: Verdict
    output: str

    @property
    def why(self) -> str:
        """The first test that failed and its error, as pytest sums up."""
        for line in self.output.splitlines():
            if line.startswith(("FAILED ", "ERROR ")):
                return line.split(" ", 1)[1]
        return "" if self.verdict is Verdict.PASSED else self.output


class SearchError(Exception):
    """A mutant's search text is not in its file exactly once."""


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """The text of the mutant's file with the defect in it.

    Raises:
        SearchError: the text to replace is not there, or more than once.
    """
    text = (root / mutant.file).read_text()
    times = text.count(mutant.search)
    if times != 1:
        raise SearchError(f"{mutant.name}: {times} times in {mutant.file}: {mutant.search!r}")
    return text.replace(mutant.search, mutant.replacement)


def runs_of(mutant: Mutant, *, is_quick: bool) -> list[str]:
    """What must notice it, one run after the other; only the tests when it must be quick."""
    if is_quick or not mutant.fault:
        return [mutant.tests]
    return [mutant.tests, f"{ALONE}::test_right_after[{mutant.fault}]"]


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of what git knows of the tree, with what is changed there."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    with tempfile.TemporaryDirectory(prefix="headrace-mutants-") as name:
        copy = Path(name)
        for file in filter(None, listed.stdout.split("\0")):
            if (ROOT / file).is_file():
                (copy / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / file, copy / file)
        yield copy


def ran(copy: Path, tests: str, timeout_s: float = TIMEOUT_S) -> Ran:
    """Run tests in the copy; what they have started ends with them."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": COLUMNS,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests.split()],
            cwd=copy,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ran(Verdict.HUNG, f"{tests} did not end within {timeout_s:.0f} s")
    verdict = {0: Verdict.PASSED, 1: Verdict.FAILED}.get(done.returncode, Verdict.BROKEN)
    return Ran(verdict, "\n".join(done.stdout.splitlines()[-TAIL_LINES:]))


def run(mutants: Sequence[Mutant], *, is_quick: bool) -> int:
    """Run what must notice each mutant; the exit code."""
    survivors = []
    with copied() as copy:
        runs = [tests for mutant in mutants for tests in runs_of(mutant, is_quick=is_quick)]
        if not _are_sound(copy, dict.fromkeys(runs)):
            return 2
        print(f"{len(mutants)} mutants; what must notice them is right without them\n", flush=True)
        for number, mutant in enumerate(mutants, 1):
            file = copy / mutant.file
            sound = file.read_text()
            file.write_text(mutated(mutant))
            for tests in runs_of(mutant, is_quick=is_quick):
                began = time.monotonic()
                found = ran(copy, tests)
                seconds = time.monotonic() - began
                if not found.verdict.is_caught:
                    survivors.append(mutant)
                print(
                    f"{number:2}/{len(mutants)}  {found.verdict.value:8}  {mutant.name:30} "
                    f"{seconds:5.1f} s  {found.why or tests}",
                    flush=True,
                )
            file.write_text(sound)
    caught = len(mutants) - len(dict.fromkeys(survivors))
    print(f"\n{caught} of {len(mutants)} are caught by all that must notice them")
    return 1 if survivors else 0


def _are_sound(copy: Path, runs: Iterable[str]) -> bool:
    """Whether all runs pass without a mutant; says so when one does not."""
    for tests in runs:
        found = ran(copy, tests)
        if found.verdict is not Verdict.PASSED:
            print(
                f"error: {tests} does not pass without a mutant:\n{found.output}", file=sys.stderr
            )
            return False
    return True


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/mutants",
        description="Put deliberate defects into a copy of the tree, one at a time; the tests "
        "named with each must fail, and so must the run with a fault that is named with "
        "it. Exits with 1 if a mutant survives one of them, with 2 if one fails "
        "without a mutant.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these mutants")
    parser.add_argument("--quick", action="store_true", help="leave the runs with a fault out")
    parser.add_argument("--list", action="store_true", help="list the mutants, and end")
    arguments = parser.parse_args()
    known = {mutant.name: mutant for mutant in MUTANTS}
    unknown = set(arguments.names) - known.keys()
    if unknown:
        parser.error(f"no mutant {', '.join(sorted(unknown))}; --list shows them")
    chosen = [known[name] for name in arguments.names] or list(MUTANTS)
    if arguments.list:
        for mutant in chosen:
            noticed = ", ".join(filter(None, [mutant.tests, mutant.fault]))
            print(f"{mutant.name:30} {mutant.defect} ({noticed})")
        return 0
    try:
        return run(chosen, is_quick=arguments.quick)
    except SearchError as error:
        print(
            f"error: {error}\nhint: the code has changed; adapt tests/mutants.py", file=sys.stderr
        )
        return 2


if __name__ == "__main__":
    sys.exit(main())
