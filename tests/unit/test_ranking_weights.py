"""The file of weights: what it may say, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.ranking.weights import Weights, WeightsError, load_weights


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "weights.toml"
    path.write_text(text)
    return str(path)


def test_without_a_file_the_weights_are_those_of_the_documents() -> None:
    weights = load_weights("")
    first, second = weights.first_pass, weights.heuristic
    assert (first.like, first.comment, first.share, first.age_rate) == (1, 3, 5, 0.08)
    assert (second.like, second.comment, second.share, second.hide) == (1, 2, 3, 5)
    assert (weights.weighted.time, weights.weighted.engagement) == (0.4, 0.4)
    assert weights.weighted.affinity == 0.2
    assert (weights.diversity.in_a_row, weights.diversity.in_window) == (2, 5)
    assert weights.diversity.window == 20


def test_a_file_sets_what_it_names(tmp_path: Path) -> None:
    text = 'ranker = "weighted"\n[first_pass]\nlike = 2\ntypes = {video = 1.5}\n'
    weights = load_weights(written(tmp_path, text))
    assert weights.ranker == "weighted"
    assert (weights.first_pass.like, weights.first_pass.comment) == (2, 3)
    assert weights.first_pass.types == {"video": 1.5}
    assert weights.diversity == Weights().diversity


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[first_pass]\nlike = -1", "`first_pass.like`"),
        ("[first_pass]\nlike = nan", "`first_pass.like`"),
        ("[first_pass]\nshare = inf", "`first_pass.share`"),
        ("[first_pass]\nlikes = 1", "`likes`"),
        ("[first_pass]\ntypes = {video = 0}", "`first_pass.types[...]`"),
        ('[first_pass]\ntypes = {"a b" = 1}', "`first_pass.types`"),
        ("[demotions]\nseen = 0", "`demotions.seen`"),
        ("[demotions]\nseen = 1.5", "`demotions.seen`"),
        ("[heuristic]\nlike_rate = 1", "`heuristic.like_rate`"),
        ("[diversity]\nwindow = 0", "`diversity.window`"),
        ("[weighted]\ntime = true", "`weighted.time`"),
        ('ranker = "other"', "`ranker`"),
        ('ranker = "model"', "`model.path`"),
        ("[model]\npath = 3", "`model.path`"),
        ("what = 1", "`what`"),
        ("[first_pass", "end of document"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(WeightsError) as raised:
        load_weights(written(tmp_path, text))
    said = str(raised.value)
    assert said.startswith("HEADRACE_RANKING: ")
    assert "weights.toml" in said
    assert named in said


def test_a_model_is_looked_for_beside_the_file(tmp_path: Path) -> None:
    text = 'ranker = "model"\n[model]\npath = "models/a.txt"\n'
    assert load_weights(written(tmp_path, text)).model.path == str(tmp_path / "models" / "a.txt")
    assert load_weights(written(tmp_path, '[model]\npath = "/m"\n')).model.path == "/m"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"HEADRACE_RANKING.*none\.toml.*No such file"):
        load_weights(str(tmp_path / "none.toml"))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WeightsError, match="HEADRACE_RANKING"):
        load_weights(str(tmp_path / "weights.toml"))
