"""The kept versions fit their lock and each other; what does not fit is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from headrace.commands.schemas import schemas
from schemas.codec import HERE
from schemas.evolution import conflicts_within, families, lock_problems

A = {"name": "a", "type": "long"}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(schemas, ["check", *map(str, arguments)])


def test_all_kept_versions_can_read_each_other() -> None:
    kept = families(HERE)
    assert {subject: len(family) for subject, family in kept.items()} == {
        "post": 1,
        "follow": 2,
        "engagement": 1,
        "user": 3,
        "moderation": 1,
        "feedback": 1,
        "exposure": 1,
    }
    assert [found for family in kept.values() for found in conflicts_within(family)] == []
    assert lock_problems(HERE) == []
    done = run()
    assert (done.exit_code, done.output) == (
        0,
        "10 versions of 7 schemas can all read each other\n",
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the schemas and their lock."""
    for path in [*HERE.glob("*.avsc"), HERE / "lock.json"]:
        shutil.copy(path, tmp_path)
    return tmp_path


def relock(directory: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    entries = json.loads((directory / "lock.json").read_text())
    change(entries)
    (directory / "lock.json").write_text(json.dumps(entries))


def test_what_does_not_fit_the_lock_is_named(copy: Path) -> None:
    (copy / "user.2.avsc").unlink()
    (copy / "follow.1.avsc").write_text("{}")
    shutil.copy(copy / "post.1.avsc", copy / "post.2.avsc")
    relock(copy, lambda entries: entries[0].update(id=2, version=3))
    done = run("--against", copy)
    assert done.exit_code == 1
    assert done.output.splitlines() == [
        "post.1.avsc: the lock has another subject or version for it",
        "follow.1.avsc: it was changed since the lock was written",
        "user.2.avsc: the lock names it, and it is not there",
        "post.2.avsc: the lock does not name it",
        "lock.json: 2 versions have the id 2",
        "lock.json: the versions of post are not 1 to 1",
    ]


def new_follow(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A third version of follow."""
    schema = json.loads((HERE / "follow.2.avsc").read_text())
    change(schema)
    file = path / "follow.3.avsc"
    file.write_text(json.dumps(schema))
    return file


def adding(**field: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda schema: schema["fields"].append(field)


def test_a_new_version_that_all_can_read_is_taken(tmp_path: Path) -> None:
    file = new_follow(tmp_path, adding(name="note", type=["null", "string"], default=None))
    done = run(file)
    assert (done.exit_code, done.output) == (
        0,
        "10 and 1 new versions of 7 schemas can all read each other\n",
    )


def test_the_field_and_the_rule_that_a_new_version_breaks_are_named(tmp_path: Path) -> None:
    done = run(new_follow(tmp_path, adding(name="note", type="string")))
    assert done.exit_code == 1
    lacks = "the writer does not have this field, and the reader has no default for it"
    assert done.output.splitlines() == [
        f"follow.3.avsc cannot read what follow.{n}.avsc writes (backward): Follow.note: {lacks}"
        for n in (1, 2)
    ]


def test_a_symbol_that_older_readers_do_not_know_is_refused(tmp_path: Path) -> None:
    def change(schema: dict[str, Any]) -> None:
        schema["fields"][1]["type"]["symbols"].append("poke")

    done = run(new_follow(tmp_path, change))
    assert done.exit_code == 1
    assert done.output.splitlines()[0] == (
        "follow.1.avsc cannot read what follow.3.avsc writes (forward): Follow.action: poke: "
        "not known to the reader, whose enum has no default"
    )


def test_versions_of_a_directory_without_a_lock_go_by_name_and_number(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    for number in (2, 10):
        schema = {"type": "record", "name": f"ns{number}.Mine", "fields": [A]}
        (base / f"mine.{number}.avsc").write_text(json.dumps(schema))
    assert [kept.name for kept in families(base)["Mine"]] == ["mine.2.avsc", "mine.10.avsc"]
    new = tmp_path / "mine.avsc"
    new.write_text(json.dumps({"type": "record", "name": "Mine", "fields": [A]}))
    assert run(new, "--against", base).output == (
        "2 and 1 new versions of 1 schemas can all read each other\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param('{"type": "record", "name": "Foo", "fields": []}', "Foo is the name of none"),
        pytest.param("no JSON", "Expecting value"),
        pytest.param('"string"', "no schema of a record"),
        pytest.param('{"type": "recrod", "name": "Follow"}', "no Avro schema"),
        pytest.param('{"type": "record", "name": "Follow"}', "takes no bytes"),
    ],
)
def test_what_is_none_of_the_schemas_is_explained(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.avsc").write_text(text)
    done = run(tmp_path / "x.avsc")
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert said in done.output


def test_a_directory_without_schemas_is_an_error(tmp_path: Path) -> None:
    assert "there is no *.avsc" in run("--against", tmp_path).output
