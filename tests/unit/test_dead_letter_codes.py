"""The reasons of dead letters are few and known: metrics and alerts have one line for each."""

from __future__ import annotations

import ast
from pathlib import Path

from schemas.dead_letters import CODES

ROOT = Path(__file__).parents[2]
OF_JSON = {"unknown_type", "not_valid", "not_encodable", "not_json"}
"""What only an event as JSON can be refused for, which is told to who sends it."""
REFUSALS = ("RejectedError", "UndecodableError")


def _raised() -> set[str]:
    """The codes with which schemas and folds refuse."""
    found = set()
    for folder in ("schemas", "streams"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in REFUSALS:
                    code = node.args[0]
                    assert isinstance(code, ast.Constant), (
                        f"{file.name}:{node.lineno}: no fixed code"
                    )
                    found.add(str(code.value))
    return found


def test_every_reason_is_known() -> None:
    assert _raised() - OF_JSON == set(CODES) - {"fold_failed"}


def test_the_rules_say_what_each_means() -> None:
    text = (ROOT / "docs" / "rules.md").read_text().partition("## What goes to the dead letters")[2]
    assert [code for code in CODES if f"`{code}`" not in text] == []
