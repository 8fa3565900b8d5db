"""The learned ranker: its scores and terms, the model's file and its mistakes, and hot reloads."""

from __future__ import annotations

import builtins
import hashlib
import os
import subprocess
import sys
from math import exp, log
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from api.app import create_app
from api.ranking import watched_model
from api.ranking.columns import COLUMNS, KINDS, VERSION, columns_of
from api.ranking.features import Features
from api.ranking.model import ModelError, lightgbm, read_model, write_model
from api.ranking.order import ordered
from api.ranking.rankers import Learned, explaining, ranker_of
from api.ranking.watched_model import LOOK_SECONDS, WatchedModel
from api.ranking.weights import Learned as LearnedWeights
from api.ranking.weights import Weights
from connectors.settings import Settings
from headrace.train.examples import Example
from headrace.train.fit import Split, fit
from tests.unit.api_fakes import KEY, World
from tests.unit.ranking_rows import row

ROWS = [
    row(f"p{n}", f"a{n % 9}", age=float(n % 7), likes=n % 13, affinity=float(n % 5))
    for n in range(400)
]
"""What is liked often enough is engaged with."""


def trained(rounds: int = 20, *, likes: bool = True) -> str:
    labels = [(each.likes > 6) is likes for each in ROWS]
    parts = Split(0, [Example(0, "g", each) for each in ROWS], labels, [], [])
    return fit(parts, rounds=rounds, seed=1, threads=1, progress=lambda _line: None).text


@pytest.fixture(scope="module")
def text() -> str:
    return trained()


@pytest.fixture
def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "model.txt"
    write_model(path, text, 5)
    return path


def test_columns_have_names_in_their_order() -> None:
    values = dict(zip(COLUMNS, columns_of(row(age=2.0, likes=3, kind="video")), strict=True))
    assert (values["age_hours"], values["likes"], values["kind_video"]) == (2, 3, 1)
    assert sum(values[f"kind_{kind}"] for kind in KINDS) == 1
    assert set(Features.__struct_fields__) - set(COLUMNS) == {"post_id", "author_id", "at", "kind"}


def test_scores_are_probabilities_of_all_rows_at_once(file: Path) -> None:
    ranker = ranker_of(Weights(ranker="model", model=LearnedWeights(path=str(file))))
    scores = [score.value for score in ranker.scores(ROWS)]
    assert all(0 < score < 1 for score in scores)
    assert scores == [ranker.scores([each])[0].value for each in ROWS]
    assert scores[::-1] == [score.value for score in ranker.scores(ROWS[::-1])]
    assert min(s for s, r in zip(scores, ROWS, strict=True) if r.likes > 6) > max(
        s for s, r in zip(scores, ROWS, strict=True) if r.likes <= 6
    )
    assert ranker.scores([]) == []
    assert ranker.name == "model"


def test_one_prediction_serves_a_page(file: Path) -> None:
    ranker = Learned(WatchedModel(str(file)))
    booster, calls = ranker._model.current()._booster, []
    predict = booster.predict

    def counted(matrix: Any, **options: Any) -> Any:
        calls.append(matrix.shape)
        return predict(matrix, **options)

    booster.predict = counted
    ranker.scores(ROWS[:200])
    ranker.explaining().scores(ROWS[:200])
    assert calls == [(200, len(COLUMNS))] * 2


def test_terms_add_up_to_the_log_odds_and_only_when_explained(file: Path) -> None:
    ranker = Learned(WatchedModel(str(file)))
    assert all(score.terms == () for score in ranker.scores(ROWS))
    explained = explaining(ranker).scores(ROWS)
    for score, plain in zip(explained, ranker.scores(ROWS), strict=True):
        assert score.value == pytest.approx(plain.value)
        assert [name for name, _ in score.terms] == [*COLUMNS, "base"]
        odds = score.value / (1 - score.value)
        assert sum(value for _, value in score.terms) == pytest.approx(log(odds), abs=1e-6)
    strongest = max(explained[12].terms[:-1], key=lambda term: abs(term[1]))
    assert strongest[0] == "likes"


def test_other_rankers_explain_themselves() -> None:
    ranker = ranker_of(Weights())
    assert explaining(ranker) is ranker


def test_odds_beyond_a_float_are_probabilities(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranker = Learned(WatchedModel(str(file)))
    model = ranker._model.current()
    monkeypatch.setattr(model, "log_odds", lambda _rows: [-2_000.0, 0.0, 2_000.0, 1.0])
    found = [score.value for score in ranker.scores(ROWS[:4])]
    assert found == [0, 0.5, 1, pytest.approx(1 / (1 + exp(-1)))]


def changed(file: Path, **header: Any) -> None:
    first, _, body = file.read_bytes().partition(b"\n")
    raw = msgspec.json.decode(first) | header
    file.write_bytes(msgspec.json.encode(raw) + b"\n" + body)


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ({"version": VERSION + 1}, f"version {VERSION + 1} instead of {VERSION}"),
        ({"columns": COLUMNS[1:]}, f"without {COLUMNS[0]}"),
        ({"columns": (*COLUMNS, "mood")}, "with mood"),
        ({"columns": COLUMNS[::-1]}, "in another order"),
        ({"sha256": "0" * 64}, "damaged"),
        ({"columns": 3}, "no header"),
        ({"more": 1}, "no header"),
    ],
)
def test_what_differs_is_named(file: Path, header: dict[str, Any], named: str) -> None:
    changed(file, **header)
    with pytest.raises(ModelError, match=named) as raised:
        read_model(str(file))
    assert str(file) in str(raised.value)


def test_a_file_that_is_none_is_told(tmp_path: Path, file: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.txt cannot be read: No such file"):
        read_model(str(tmp_path / "none.txt"))
    header, _, body = file.read_bytes().partition(b"\n")
    file.write_bytes(b"\xff\n" + body)
    with pytest.raises(ModelError, match="no header"):
        read_model(str(file))
    file.write_bytes(header + b"\n" + body[: len(body) // 2])
    with pytest.raises(ModelError, match="damaged"):
        read_model(str(file))


@pytest.mark.parametrize("body", [b"tree\nno model", b"", b"\xff\xfe"])
def test_a_text_that_is_no_model_is_told(file: Path, body: bytes) -> None:
    header, _, _ = file.read_bytes().partition(b"\n")
    file.write_bytes(header + b"\n" + body)
    changed(file, sha256=hashlib.sha256(body).hexdigest())
    with pytest.raises(ModelError, match="not LightGBM's"):
        read_model(str(file))


def test_a_model_of_other_columns_than_its_header_says_is_told(file: Path, text: str) -> None:
    body = text.replace("age_hours", "age_days").encode()
    file.write_bytes(file.read_bytes().partition(b"\n")[0] + b"\n" + body)
    changed(file, sha256=hashlib.sha256(body).hexdigest())
    with pytest.raises(ModelError, match="not for the columns"):
        read_model(str(file))


def test_a_file_is_written_whole_or_not_at_all(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def fail(_number: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_model(file, "other", 6)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


class Watching:
    """A watched model with a clock of its own."""

    def __init__(self, file: Path) -> None:
        self.now = 0.0
        self.model = WatchedModel(str(file), lambda: self.now)

    def trained_to(self, after_s: float = LOOK_SECONDS) -> int:
        self.now += after_s
        return self.model.current().header.trained_to


def test_a_new_file_is_taken_up_within_seconds(file: Path, text: str) -> None:
    watching = Watching(file)
    write_model(file, text, 6)
    assert watching.trained_to(LOOK_SECONDS - 0.1) == 5
    assert watching.trained_to(0.1) == 6
    assert watching.trained_to(0.1) == 6


def test_a_file_is_looked_at_once_in_a_while(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watching = Watching(file)
    read = []
    monkeypatch.setattr(watched_model, "read_model", read.append)
    looked = []
    stamp_of = watching.model._stamp_of
    watching.model._stamp_of = lambda: looked.append(1) or stamp_of()  # type: ignore[method-assign]
    for _ in range(100):
        watching.trained_to(LOOK_SECONDS / 50)
    assert (len(looked), read) == (2, [])


def test_a_bad_new_file_leaves_the_former_and_is_logged_once(file: Path, text: str) -> None:
    watching = Watching(file)
    file.write_bytes(b"nonsense")
    with structlog.testing.capture_logs() as logs:
        assert [watching.trained_to() for _ in range(3)] == [5, 5, 5]
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert str(file) in logs[0]["reason"]
    file.unlink()
    with structlog.testing.capture_logs() as logs:
        assert [watching.trained_to() for _ in range(3)] == [5, 5, 5]
    assert len(logs) == 1
    write_model(file, text, 7)
    assert watching.trained_to() == 7


def test_a_model_that_raises_costs_the_order_alone(file: Path) -> None:
    ranker = Learned(WatchedModel(str(file)))

    def fail(*_: Any, **__: Any) -> Any:
        raise ValueError

    ranker._model.current()._booster.predict = fail
    order = ordered(ROWS[:30], Weights(), ranker)
    assert order.is_degraded
    assert len(order.places) == 30


def test_the_application_ranks_by_a_model(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = file.with_name("weights.toml")
    weights.write_text('ranker = "model"\n[model]\npath = "model.txt"\n')
    monkeypatch.setenv("HEADRACE_RANKING", str(weights))
    stores = World().app.state.services.stores
    app = create_app(Settings(jwt_secret=KEY), stores=stores)
    assert app.state.services.ranker.name == "model"
    file.write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="no header"):
        create_app(Settings(jwt_secret=KEY), stores=stores)


def test_training_is_deterministic(text: str) -> None:
    assert trained() == text
    assert trained(likes=False) != text


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    real = builtins.__import__

    def imported(name: str, *args: Any, **options: Any) -> Any:
        if name == "lightgbm":
            raise error
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", imported)


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (OSError("libgomp.so.1: cannot open shared object file"), "libgomp1"),
        (ModuleNotFoundError("No module named 'lightgbm'"), "not installed"),
    ],
)
def test_a_library_that_cannot_be_loaded_is_told(
    file: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, named: str
) -> None:
    refuse(monkeypatch, error)
    with pytest.raises(ModelError, match=named):
        lightgbm()
    with pytest.raises(ModelError, match=named):
        read_model(str(file))


def test_without_a_model_the_library_is_not_loaded() -> None:
    code = (
        "import sys, api.app, headrace.commands.train, headrace.train.fit; "
        "sys.exit('lightgbm' in sys.modules or 'scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
